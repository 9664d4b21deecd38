"""What there is to review: every sample of a dataset folder as columns, with what a run says of its label."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from selfcure.data.folder import SPLITS, Dataset, Split
from selfcure.errors import SelfcureError
from selfcure.labels import label_table
from selfcure.review.outputs import Prepared
from selfcure.review.verdict import Verdict
from selfcure.runs import RunFolder

SOURCE_COLUMNS = ("source", "keyword", "clip", "usage")
"""Columns of a dataset folder that say where a sample came from: the first one that is there is a filter."""
_MOST_SOURCES = 500

SUGGESTED = "suggested_label"
"""A column of a run's last evidence that is preferred to our own reckoning: what the label should be."""


@dataclass
class Samples:
    """N samples of all splits, training first. Unknown numbers are NaN."""

    class_names: tuple[str, ...]
    splits: list[tuple[str, int]]
    """Name and size, in order."""
    ids: pa.ChunkedArray
    """[N] strings, unique in their split."""
    given: np.ndarray
    """[N] int32, the label in the dataset folder."""
    soft: dict[int, Verdict]
    """Row → what was given, of samples that were given several classes (by an earlier review, say)."""
    current: np.ndarray
    """[N] int32, the label at the end of training."""
    suggested: np.ndarray
    """[N] int32, what the run takes the sample for."""
    suspicion: np.ndarray
    """[N] float32 in [0, 1], higher is more likely wrong."""
    confidence: np.ndarray
    """[N] float32 in [0, 1], how sure the run is of the suggested label."""
    loss: np.ndarray
    """[N] float32, minus the logarithm of the last probability of the given label."""
    importance: np.ndarray
    """[N] float32 in (0, 1), NaN where the method has none."""
    sources: np.ndarray
    """[N] int32 into ``source_names``; −1 where there is none."""
    source_names: list[str]
    source_column: str
    """The column that sources come from, "" where there is none."""
    calibrated: bool
    """Suspicion is the run's own P(label wrong)."""

    def __len__(self) -> int:
        return len(self.given)

    def split_of(self, row: int) -> tuple[str, int]:
        """The split that a row belongs to, and its row there."""
        for name, size in self.splits:
            if row < size:
                return name, row
            row -= size
        raise IndexError(row)

    def given_verdict(self, row: int) -> Verdict:
        """The given label or labels."""
        return self.soft.get(row) or Verdict.of(self.given[row])

    def first_row(self, split: str) -> int:
        """The row at which a split begins.

        Raises:
            KeyError: there is no such split.
        """
        first = 0
        for name, size in self.splits:
            if name == split:
                return first
            first += size
        raise KeyError(split)

    def id(self, row: int) -> str:
        return str(self.ids[row].as_py())

    def rows_with(self, text: str) -> np.ndarray:
        """[N] bool: which ids contain ``text``, whatever the case."""
        return pc.match_substring(self.ids, text, ignore_case=True).to_numpy()


class RowFinder:
    """Rows by split and id; a split's table of ids is made at the first question."""

    def __init__(self, samples: Samples):
        self._samples = samples
        self._sizes = dict(samples.splits)
        self._rows: dict[str, dict[str, int]] = {}

    def row(self, split: str, id_: str) -> int | None:
        """The row of a sample, None where there is none of this name."""
        if split not in self._sizes:
            return None
        if split not in self._rows:
            first = self._samples.first_row(split)
            ids = self._samples.ids.slice(first, self._sizes[split]).to_pylist()
            self._rows[split] = {name: row for row, name in enumerate(ids, start=first)}
        return self._rows[split].get(id_)


def open_data(run: RunFolder, data: Path | None = None) -> Dataset:
    """The dataset folder that a run was trained on.

    Args:
        data: where it is now, if it was moved.

    Raises:
        SelfcureError: it is not there, or has other samples or labels than the run was trained on.
    """
    recorded = run.document["dataset"]
    path = Path(data or recorded["path"])
    if data is None and not path.exists():
        raise SelfcureError(f"{run.path} was trained on {path}, which is gone; say where it is with --data")
    dataset = Dataset(path)
    if (
        dataset.class_names != run.class_names
        or recorded["fingerprint"] != dataset.split("train").fingerprint()
    ):
        raise SelfcureError(
            f"{path} has other samples or labels than {run.path} was trained on; say where those are with --data"
        )
    return dataset


def read_samples(run: RunFolder, dataset: Dataset, prepared: Prepared | None = None) -> Samples:
    """All samples of ``dataset`` with what ``run`` says of them.

    Of the training split it is what training saw (:func:`~selfcure.labels.label_table`); of other splits the trained
    network's opinion, where it was asked (``prepared``).

    Raises:
        SelfcureError: the run has no finished epoch, or the folder is damaged.
    """
    splits = {name: dataset.split(name) for name in SPLITS if name in dataset.splits}
    columns: dict[str, list[np.ndarray]] = {}
    first = 0
    calibrated = False
    for name, split in splits.items():
        if name == "train":
            seen, calibrated = _of_training(run)
        else:
            seen = _of_network(split, prepared.probs[first : first + len(split)] if prepared else None)
        for column, values in seen.items():
            columns.setdefault(column, []).append(values)
        first += len(split)
    source_column, sources, source_names = _sources(list(splits.values()))
    return Samples(
        class_names=dataset.class_names,
        splits=[(name, len(split)) for name, split in splits.items()],
        ids=pa.chunked_array(
            [chunk for s in splits.values() for chunk in s.column("id").chunks], pa.string()
        ),
        given=np.concatenate([split.labels for split in splits.values()]).astype(np.int32),
        soft=_soft(list(splits.values())),
        sources=sources,
        source_names=source_names,
        source_column=source_column,
        calibrated=calibrated,
        **{name: np.concatenate(parts) for name, parts in columns.items()},
    )


def _of_training(run: RunFolder) -> tuple[dict[str, np.ndarray], bool]:
    table = label_table(run)
    epochs = [record["epoch"] for record in run.metrics()]
    last = run.evidence(epochs[-1])

    def codes(name: str) -> np.ndarray:
        return table[name].combine_chunks().indices.to_numpy().astype(np.int32)

    def numbers(name: str) -> np.ndarray:
        return table[name].to_numpy().astype(np.float32)

    of_given = last["original_prob"].to_numpy()  # NaN where the last epoch did not draw the sample
    seen = {
        "current": codes("current"),
        "suggested": codes("suggested"),
        "suspicion": numbers("suspicion"),
        "confidence": numbers("confidence"),
        "importance": numbers("importance"),
        "loss": -np.log(np.maximum(of_given, 1e-12)).astype(np.float32),
    }
    calibrated = table["wrong_prob"].null_count < len(table)
    if calibrated:
        seen["suspicion"] = numbers("wrong_prob")
    if SUGGESTED in last.column_names:
        seen["suggested"] = last[SUGGESTED].to_numpy().astype(np.int32)
    return seen, calibrated


def _of_network(split: Split, probs: np.ndarray | None) -> dict[str, np.ndarray]:
    labels = split.labels.astype(np.int32)
    unknown = np.full(len(labels), np.nan, np.float32)
    if probs is None:
        suggested, confidence, of_given = labels, np.zeros_like(unknown), unknown
    else:
        suggested = probs.argmax(axis=1).astype(np.int32)
        confidence = probs.max(axis=1).astype(np.float32)
        of_given = probs[np.arange(len(labels)), labels].astype(np.float32)
    return {
        "current": labels,
        "suggested": suggested,
        "suspicion": 1 - of_given,
        "confidence": confidence,
        "importance": unknown,
        "loss": -np.log(np.maximum(of_given, 1e-12)),
    }


def _soft(splits: Sequence[Split]) -> dict[int, Verdict]:
    found, first = {}, 0
    for split in splits:
        if split.soft_labels is not None:
            for row in np.flatnonzero(split.soft_labels.max(axis=1) < 1).tolist():
                found[first + row] = Verdict.from_array(split.soft_labels[row])
        first += len(split)
    return found


def _sources(splits: Sequence[Split]) -> tuple[str, np.ndarray, list[str]]:
    """The column of sources, [N] int32 and names; no column where none has a few different texts."""
    num = sum(len(split) for split in splits)
    for column in SOURCE_COLUMNS:
        if column not in splits[0].extra_columns:
            continue
        values = pa.chunked_array([c for s in splits for c in s.column(column).cast(pa.string()).chunks])
        coded = values.combine_chunks().dictionary_encode()
        if 2 <= len(coded.dictionary) <= _MOST_SOURCES:
            codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
            return column, codes, coded.dictionary.to_pylist()
    return "", np.full(num, -1, np.int32), []
