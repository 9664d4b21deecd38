"""What the review desk shows of a run, without a server: its doubts about labels, in pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from selfcure.data.folder import Dataset
from selfcure.errors import SelfcureError
from selfcure.report.faces import SIZE_PX, data_uris
from selfcure.report.trainings import Training
from selfcure.review.outputs import Prepared, load_prepared
from selfcure.review.queue import Query, Sorter, select
from selfcure.review.reckoning import Reckoning
from selfcure.review.reviewed import read_book
from selfcure.review.samples import Samples, read_samples
from selfcure.review.summary import Change, conflicting_duplicates, suggested_changes

NUM_SUSPICIOUS, NUM_AMBIGUOUS, NUM_OF_CLASS, NUM_GROUPS, NUM_IN_GROUP = 24, 12, 8, 8, 4
_MOST_CLASSES = 12
"""Of more classes only those with most suggested changes have a row of images."""
_MOST_SQUARE = 20
"""Of more classes the most frequent pairs are listed instead of a matrix."""
_NUM_PAIRS = 20
_ROW_PX = 64


@dataclass(frozen=True)
class Doubt:
    """An image, and what the run makes of its label."""

    uri: str
    id: str
    given: str
    suggested: str
    """Empty where it is the given label."""
    score: str
    """Its P(wrong) or suspicion, or how ambiguous it is; empty where nothing is known."""
    importance: str
    """Empty where the method has none."""
    truth: str
    """Empty where it is unknown."""
    wrong: bool
    """The given label is known to be wrong."""


@dataclass(frozen=True)
class OfClass:
    """The images of one given class that the run takes for others."""

    name: str
    num_changes: int
    num_samples: int
    doubts: tuple[Doubt, ...]


@dataclass(frozen=True)
class Matrix:
    """Suggested changes, given × suggested."""

    class_names: tuple[str, ...]
    rows: tuple[tuple[tuple[int, int], ...], ...]
    """Count and shade from 0 to 10; empty where there are too many classes."""
    sizes: tuple[int, ...]
    pairs: tuple[tuple[str, str, int], ...]
    """Given, suggested and count, where there are too many classes for rows."""
    num_changes: int


@dataclass(frozen=True)
class Galleries:
    """The desk's views of the training split, as far as a page shows them."""

    about_score: str
    """What the number beside an image is: P(wrong) or suspicion."""
    expected: str
    decided: str
    suspicious: tuple[Doubt, ...]
    ambiguous: tuple[Doubt, ...]
    classes: tuple[OfClass, ...]
    num_classes_left_out: int
    matrix: Matrix
    groups: tuple[tuple[Doubt, ...], ...]
    about_groups: str


def galleries(training: Training) -> tuple[Galleries | None, str]:
    """What the desk would show of a run, or why not (empty where another note says so already)."""
    ending = training.ending
    if ending is None or ending.dataset is None:
        return None, ""
    if ending.mean_given_prob is None:
        return None, "Doubtful labels are not shown: that takes the evidence of all epochs."
    try:
        return _Maker(training, ending.dataset).all(), ""
    except SelfcureError as error:
        return None, f"Doubtful labels are not shown: {error}."


class _Maker:
    """The views of one run; images are read once for all of them."""

    def __init__(self, training: Training, dataset: Dataset):
        self._training = training
        self._splits = {name: dataset.split(name) for name in dataset.splits}
        self._prepared: Prepared | None = load_prepared(training.run, dataset)
        self._samples: Samples = read_samples(training.run, dataset, self._prepared)
        self._book = read_book(training.run, self._samples)
        self._reckoning = Reckoning(self._samples, self._book)
        self._sorter = Sorter(self._samples)
        self._num = len(self._splits["train"])  # training comes first

    def all(self) -> Galleries:
        samples, train = self._samples, slice(0, self._num)
        num_classes = len(samples.class_names)
        changes = suggested_changes(samples.given[train], samples.suggested[train], num_classes)
        classes, num_left_out = self._classes(changes)
        groups, about_groups = self._groups()
        return Galleries(
            about_score=self._about_score(),
            expected=expected_text(self._reckoning.expected_wrong()),
            decided=self._decided_text(),
            suspicious=self._doubts(self._rows(NUM_SUSPICIOUS, sort="suspicion"), self._score),
            ambiguous=self._doubts(
                self._rows(NUM_AMBIGUOUS, sort="ambiguity"),
                lambda row: f"confidence {self._samples.confidence[row]:.2f}",
            ),
            classes=classes,
            num_classes_left_out=num_left_out,
            matrix=self._matrix(changes),
            groups=groups,
            about_groups=about_groups,
        )

    def _rows(self, num: int, **filters: Any) -> list[int]:
        """The head of the desk's queue of what nobody has decided."""
        query = Query(state="open", split="train", **filters)
        rows = select(self._samples, self._book, self._sorter, query)
        drawn = ~np.isnan(self._samples.suspicion[rows])
        return rows[drawn][:num].tolist()

    def _classes(self, changes: Sequence[Change]) -> tuple[tuple[OfClass, ...], int]:
        given = np.array([change.given for change in changes], np.int64)
        counts = np.array([change.num_samples for change in changes], np.int64)
        num_classes = len(self._samples.class_names)
        by_class = np.bincount(given, counts, minlength=num_classes).astype(int)
        chosen = [k for k in (-by_class).argsort(kind="stable").tolist() if by_class[k]]
        sizes = np.bincount(self._samples.given[: self._num], minlength=num_classes)
        rows = tuple(
            OfClass(
                self._samples.class_names[k],
                int(by_class[k]),
                int(sizes[k]),
                self._doubts(
                    self._rows(NUM_OF_CLASS, sort="suspicion", given=k, differs=True), self._score, _ROW_PX
                ),
            )
            for k in sorted(chosen[:_MOST_CLASSES])
        )
        return rows, len(chosen) - len(rows)

    def _matrix(self, changes: Sequence[Change]) -> Matrix:
        names = self._samples.class_names
        sizes = np.bincount(self._samples.given[: self._num], minlength=len(names)).tolist()
        total = sum(change.num_samples for change in changes)
        if len(names) > _MOST_SQUARE:
            pairs = tuple((names[c.given], names[c.suggested], c.num_samples) for c in changes[:_NUM_PAIRS])
            return Matrix(names, (), tuple(sizes), pairs, total)
        most = max((change.num_samples for change in changes), default=1)
        at = {(change.given, change.suggested): change.num_samples for change in changes}
        rows = tuple(
            tuple((count := at.get((i, j), 0), -(-10 * count // most)) for j in range(len(names)))
            for i in range(len(names))
        )
        return Matrix(names, rows, tuple(sizes), (), total)

    def _groups(self) -> tuple[tuple[tuple[Doubt, ...], ...], str]:
        if self._prepared is None:
            return (), "Duplicates are not known: 'selfcure review RUN --prepare' looks for them."
        found = conflicting_duplicates(self._samples, self._book, self._prepared.duplicates)
        if not found.num_groups:
            return (), "No image is in the dataset twice or nearly so."
        text = (
            f"{found.num_images:,} images are in the dataset twice or nearly so, in {found.num_groups:,} groups; the labels of "
            f"{len(found.conflicting):,} groups differ."
        )
        shown = [rows[:NUM_IN_GROUP] for rows in found.conflicting[:NUM_GROUPS]]
        return tuple(self._doubts(rows, self._score) for rows in shown), text

    def _doubts(
        self, rows: Sequence[int], score: Callable[[int], str], size_px: int = SIZE_PX
    ) -> tuple[Doubt, ...]:
        places = [self._samples.split_of(row) for row in rows]
        uris: dict[int, str] = {}
        for name, split in self._splits.items():
            own = [(row, position) for row, (of, position) in zip(rows, places, strict=True) if of == name]
            if own:
                made = data_uris(split, [position for _, position in own], size_px)
                uris |= {row: uri for (row, _), uri in zip(own, made, strict=True)}
        return tuple(self._doubt(uris[row], row, score(row)) for row in rows)

    def _doubt(self, uri: str, row: int, score: str) -> Doubt:
        samples, names = self._samples, self._samples.class_names
        split, position = samples.split_of(row)
        truth = int(self._splits[split].true_labels[position])
        importance = float(samples.importance[row])
        return Doubt(
            uri=uri,
            id=samples.id(row),
            given=names[samples.given[row]],
            suggested=names[samples.suggested[row]] if samples.suggested[row] != samples.given[row] else "",
            score=score,
            importance="" if np.isnan(importance) else f"{importance:.3f}",
            truth=names[truth] if truth >= 0 else "",
            wrong=truth >= 0 and truth != int(samples.given[row]),
        )

    def _score(self, row: int) -> str:
        probability = self._reckoning.probability(row)
        if probability is not None:
            return f"P(wrong) {probability:.2f}"
        suspicion = float(self._samples.suspicion[row])
        return "" if np.isnan(suspicion) else f"suspicion {suspicion:.2f}"

    def _about_score(self) -> str:
        if self._samples.calibrated:
            return "P(wrong) is the run's own probability that the given label is wrong."
        if self._reckoning.expected_wrong() is not None:
            return (
                "P(wrong) is guessed from the reviewers' decisions so far, as this run has none of its own."
            )
        return (
            "Suspicion is one minus the mean over epochs of the probability of the given label. It orders images; as this "
            "run has no P(wrong) of its own, it is no probability."
        )

    def _decided_text(self) -> str:
        counts = self._book.counts()
        if not counts["decided"] and not counts["disputed"]:
            return ""
        return f"Reviewers have decided {counts['decided']:,} images, {counts['disputed']:,} are disputed; galleries show the others."


def expected_text(expected: dict[str, Any] | None) -> str:
    """How many wrong labels are left, in a sentence that says how sure that is; empty where it cannot be told.

    >>> expected_text({"guess": 12.3, "low": 8, "high": 17.2, "num_samples": 90, "calibrated": True, "decided": None})
    "About 12 labels (8 to 17) of the 90 undecided images are wrong: the sum of the run's own P(wrong)."
    """
    if expected is None:
        return ""
    how = (
        "the sum of the run's own P(wrong)"
        if expected["calibrated"]
        else "a rough guess from the decisions so far, as suspicion is no calibrated probability"
    )
    text = (
        f"About {expected['guess']:,.0f} labels ({expected['low']:,.0f} to {expected['high']:,.0f}) of the "
        f"{expected['num_samples']:,.0f} undecided images are wrong: {how}."
    )
    if seen := expected["decided"]:
        text += (
            f" Of {seen['num_samples']:,} decided images it foretold {seen['foretold']:,.0f} wrong labels; "
            f"{seen['found']:,} were."
        )
    return text
