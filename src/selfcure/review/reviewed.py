"""What reviewers made of a run's labels, read without the desk."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selfcure.data.folder import Dataset, Split
from selfcure.errors import SelfcureError
from selfcure.review.book import DECIDED, DISPUTED, Book
from selfcure.review.samples import RowFinder, Samples, open_data
from selfcure.review.store import NAME, Entry, Store
from selfcure.review.verdict import Verdict
from selfcure.runs import RunFolder


@dataclass(frozen=True)
class Reviewed:
    """The samples of a dataset folder by split, with what reviewers made of them."""

    run: RunFolder
    dataset: Dataset
    splits: dict[str, Split]
    verdicts: dict[str, dict[int, Verdict]]
    """Split → row in it → verdict, of the samples that are decided."""
    last: dict[str, dict[int, Entry]]
    """The entry that decided it."""
    entries: list[Entry]
    """All that is stored."""
    counts: dict[str, int]
    """``decided``, ``relabelled``, ``soft``, ``rejected``, ``disputed`` (left as given) and ``unknown`` (samples gone)."""

    def labels(self, split: str) -> np.ndarray:
        """[N] int64 labels after review, the main class of soft ones; −1 where rejected."""
        labels = self.splits[split].labels.copy()
        for row, verdict in self.verdicts[split].items():
            labels[row] = verdict.label
        return labels

    def soft_labels(self, split: str) -> list[list[float] | None]:
        """[N] weights of all classes [K] where there are several, as decided or else as given; None for one class."""
        given = self.splits[split].soft_labels
        soft: list[list[float] | None] = [None] * len(self.splits[split])
        if given is not None:
            for row in np.flatnonzero(given.max(axis=1) < 1).tolist():
                soft[row] = given[row].tolist()
        for row, verdict in self.verdicts[split].items():
            soft[row] = verdict.array(len(self.dataset.class_names)).tolist() if verdict.is_soft else None
        return soft


def read_book(run: RunFolder, samples: Samples) -> Book:
    """Who decided what on the samples of a run so far; nothing where nobody has begun.

    Raises:
        SelfcureError: as :class:`~selfcure.review.store.Store`.
    """
    book = Book(len(samples))
    if (run.path / NAME).is_file():
        finder = RowFinder(samples)
        entries = _entries(run)
        book.add((finder.row(entry.split, entry.id), entry) for entry in entries)
    return book


def read_reviewed(run: RunFolder, data: Path | None = None) -> Reviewed:
    """What was decided on a run, without the desk.

    Raises:
        SelfcureError: nothing was decided, or the dataset folder is gone or another.
    """
    dataset = open_data(run, data)
    entries = _entries(run)
    splits = {name: dataset.split(name) for name in dataset.splits}
    rows = {name: {id_: row for row, id_ in enumerate(split.ids)} for name, split in splits.items()}
    books = {name: Book(len(split)) for name, split in splits.items()}
    num_unknown = 0
    for entry in entries:
        row = rows.get(entry.split, {}).get(entry.id)
        if row is None:
            num_unknown += 1
        else:
            books[entry.split].add([(row, entry)])
    decided = {name: np.flatnonzero(book.state == DECIDED).tolist() for name, book in books.items()}
    verdicts = {name: {row: _verdict(books[name], row) for row in found} for name, found in decided.items()}
    last = {
        name: {
            row: max(books[name].opinions(row).values(), key=lambda e: (e.settles, e.seq)) for row in found
        }
        for name, found in decided.items()
    }
    tally: Counter[str] = Counter()
    for name, found in verdicts.items():
        tally["decided"] += len(found)
        tally["disputed"] += int((books[name].state == DISPUTED).sum())
        for row, verdict in found.items():
            tally["rejected"] += verdict.rejected
            tally["soft"] += verdict.is_soft
            tally["relabelled"] += not verdict.rejected and verdict.label != int(splits[name].labels[row])
    if not tally["decided"]:
        raise SelfcureError(
            f"{run.path} has no decided label yet; decide some with 'selfcure review {run.path}'"
        )
    names = ("decided", "relabelled", "soft", "rejected", "disputed")
    counts = {name: tally[name] for name in names} | {"unknown": num_unknown}
    return Reviewed(run, dataset, splits, verdicts, last, entries, counts)


def _entries(run: RunFolder) -> list[Entry]:
    store = Store(run.path, str(run.document["dataset"]["fingerprint"]), read_only=True)
    try:
        return store.after(0)
    finally:
        store.close()


def _verdict(book: Book, row: int) -> Verdict:
    verdict = book.verdict(row)
    assert verdict is not None  # asked of decided rows only
    return verdict
