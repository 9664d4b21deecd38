"""What a run found out about each sample's label, as one table."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from selfcure.errors import SelfcureError
from selfcure.runs import RunFolder

_CELLS = 1 << 20
"""Predictions held in memory at a time: samples × epochs."""

_ROWS_WRITTEN = 1 << 16


def label_table(run: str | Path | RunFolder) -> pa.Table:
    """One row for every training sample, in the order of the dataset folder.

    Columns: ``id``; ``original``, ``current`` and ``suggested`` label as dictionary columns whose codes are the class
    numbers; ``importance`` in (0, 1) of the last epoch (null where the method has none, or the epoch did not draw the
    sample), higher is more trusted; ``suspicion`` in [0, 1], one minus the mean over epochs of the probability of the
    original label, higher is more likely wrong; ``confidence`` in [0, 1], the mean over epochs of the predicted
    probability where the prediction was the suggested label, else 0. The suggested label is the one with the highest
    confidence. Means are over the epochs that drew the sample; of one never drawn the original label is suggested, with
    confidence 0 and suspicion null. ``wrong_prob`` and ``wrong_prob_after`` in [0, 1], the run's own P(label wrong) of the
    original and of the current label, so that sums are expected numbers of errors; null where the method has none.

    All is seen from training: the truth plays no part.

    Raises:
        SelfcureError: not a run folder, or no epoch is finished.
    """
    run = run if isinstance(run, RunFolder) else RunFolder(run)
    epochs = [record["epoch"] for record in run.metrics()]
    if not epochs:
        raise SelfcureError(f"{run.path} has no finished epoch yet; go on with 'selfcure train … --resume'")
    samples = run.samples()
    original = samples["original"].to_numpy().astype(np.int32)
    current = original.copy()
    changes = run.changes(["row", "to"])
    # In order of epoch, so the last change of a sample is the one that stays.
    current[changes["row"].to_numpy()] = changes["to"].to_numpy()
    suggested, confidence, suspicion = _opinions(run, epochs, original)
    last = run.evidence(epochs[-1])

    def scores(name: str) -> pa.Array:
        if name not in last.column_names:
            return pa.nulls(len(original), pa.float32())
        values = last[name].to_numpy()
        return pa.array(values, mask=np.isnan(values))

    class_names = pa.array(run.class_names)

    def named(labels: np.ndarray) -> pa.Array:
        return pa.DictionaryArray.from_arrays(labels, class_names)

    return pa.table(
        {
            "id": samples["id"],
            "original": named(original),
            "current": named(current),
            "importance": scores("importance"),
            "confidence": confidence,
            "suspicion": pa.array(suspicion, mask=np.isnan(suspicion)),
            "suggested": named(suggested),
            "wrong_prob": scores("wrong_prob"),
            "wrong_prob_after": scores("wrong_prob_after"),
        }
    )


@dataclass(frozen=True)
class ExpectedErrors:
    """How many labels a run expects to be wrong."""

    before: float
    """Of the original labels."""
    after: float
    """Of the current ones."""
    num_worst: int
    among_worst: float
    """Of the ``num_worst`` current labels with the highest P(label wrong)."""


def expected_errors(table: pa.Table, *, num_worst: int = 500) -> ExpectedErrors | None:
    """What a :func:`label_table`'s P(label wrong) adds up to; None where the method has none.

    As good as that is calibrated: see ``label_noise`` in metrics.jsonl where the truth is known.
    """
    before, after = (table[name].drop_null().to_numpy() for name in ("wrong_prob", "wrong_prob_after"))
    if not len(after):
        return None
    worst = np.sort(after)[::-1][:num_worst]
    return ExpectedErrors(float(before.sum()), float(after.sum()), len(worst), float(worst.sum()))


def export_labels(run: str | Path | RunFolder, out: Path) -> pa.Table:
    """Write :func:`label_table` to ``out``, a ``.parquet`` or ``.csv`` file, and return it.

    Raises:
        SelfcureError: another file type, or as :func:`label_table`.
    """
    check_table_name(out)
    table = label_table(run)
    write_table(table, out)
    return table


def check_table_name(out: Path) -> None:
    """Raise :class:`SelfcureError` unless a table can be written to a file of this name."""
    if out.suffix not in (".parquet", ".csv"):
        raise SelfcureError(f"--out must end in .parquet or .csv, not {out.name!r}")


def write_table(table: pa.Table, out: Path) -> None:
    """Write a table to ``out``, a ``.parquet`` or ``.csv`` file; an older file stays until the new one is whole.

    Raises:
        SelfcureError: it cannot be written.
    """
    partial = out.with_name(out.name + ".tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".csv":
            _write_csv(table, partial)
        else:
            pq.write_table(table, partial)
        os.replace(partial, out)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise SelfcureError(f"cannot write {out}: {error.strerror or error}") from error


def _write_csv(table: pa.Table, path: Path) -> None:
    plain = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in table.schema]
    with pyarrow.csv.CSVWriter(path, pa.schema(plain)) as file:
        for start in range(0, len(table), _ROWS_WRITTEN):
            file.write_table(table.slice(start, _ROWS_WRITTEN).cast(pa.schema(plain)))


def _opinions(
    run: RunFolder, epochs: list[int], original: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[N] the suggested label, its confidence, and the suspicion; some samples at a time."""
    num_samples, step = len(original), max(1, _CELLS // len(epochs))
    suggested = np.empty(num_samples, np.int32)
    confidence, suspicion = np.empty(num_samples, np.float32), np.empty(num_samples, np.float32)
    columns = ["prediction", "confidence", "original_prob"]
    for start in range(0, num_samples, step):
        rows = slice(start, min(start + step, num_samples))
        seen = [run.evidence(epoch, columns, rows=rows) for epoch in epochs]
        prediction, sure, of_original = (np.stack([s[c].to_numpy() for s in seen], axis=1) for c in columns)
        drawn = prediction >= 0  # [n, E]
        times = np.maximum(drawn.sum(axis=1), 1)
        chosen, votes = _most_votes(prediction, np.where(drawn, sure, 0))
        suggested[rows] = np.where(chosen < 0, original[rows], chosen)
        confidence[rows] = votes / times
        share = np.where(drawn, of_original, 0).sum(axis=1, dtype=np.float64) / times
        suspicion[rows] = np.where(drawn.any(axis=1), 1 - share, np.nan)
    return suggested, confidence, suspicion


def _most_votes(choices: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[n] the choice with the largest sum of weights in each row of [n, E], and that sum; the lower one of equals.

    Choice −1 counts only where there is no other. Costs nothing for a class that nobody chose.

    >>> _most_votes(np.array([[2, 0, 2], [1, 0, -1]]), np.array([[0.4, 0.7, 0.5], [0.5, 0.5, 0.0]]))
    (array([2, 0]), array([0.9, 0.5]))
    """
    order = choices.argsort(axis=1, kind="stable")
    choices, weights = np.take_along_axis(choices, order, 1), np.take_along_axis(weights, order, 1)
    begins = np.ones(choices.shape, bool)
    begins[:, 1:] = choices[:, 1:] != choices[:, :-1]
    starts = np.flatnonzero(begins)  # [V] where the votes for one choice in one row begin
    row, choice = starts // choices.shape[1], choices.ravel()[starts]
    sums = np.add.reduceat(weights.ravel(), starts)
    sums[choice < 0] = -1
    best = np.maximum.reduceat(sums, np.flatnonzero(starts % choices.shape[1] == 0))  # [n]
    winners = np.flatnonzero(sums == best[row])
    winners = winners[np.diff(row[winners], prepend=-1) > 0]  # the first of each row
    return choice[winners], np.maximum(best, 0)
