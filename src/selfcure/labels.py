"""What a run found out about each sample's label, as one table."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from selfcure.errors import SelfcureError
from selfcure.runs import RunFolder

_CELLS = 1 << 24
"""Votes held in memory at a time: samples × classes."""


def label_table(run: str | Path | RunFolder) -> pa.Table:
    """One row for every training sample, in the order of the dataset folder.

    Columns: ``id``; ``original``, ``current`` and ``suggested`` label as dictionary columns whose codes are the class
    numbers; ``importance`` in (0, 1) of the last epoch (null where the method has none), higher is more trusted;
    ``suspicion`` in [0, 1], one minus the mean over epochs of the probability of the original label, higher is more
    likely wrong; ``confidence`` in [0, 1], the mean over epochs of the predicted probability where the prediction was
    the suggested label, else 0. The suggested label is the one with the highest confidence.

    All is seen from training: the truth plays no part.

    Raises:
        SelfcureError: not a run folder, or no epoch is finished.
    """
    run = run if isinstance(run, RunFolder) else RunFolder(run)
    epochs = [record["epoch"] for record in run.metrics()]
    if not epochs:
        raise SelfcureError(f"{run.path} has no finished epoch yet; go on with 'selfcure train … --resume'")
    samples = run.samples()
    original = samples["original"].to_numpy()
    current = original.copy()
    changes = run.changes()
    # In order of epoch, so the last change of a sample is the one that stays.
    current[changes["row"].to_numpy()] = changes["to"].to_numpy()
    given_prob = np.zeros(len(original))
    for epoch in epochs:
        given_prob += run.evidence(epoch, ["original_prob"])["original_prob"].to_numpy()
    suspicion = 1.0 - given_prob / len(epochs)
    suggested, confidence = _votes(run, epochs, len(original))
    last = run.evidence(epochs[-1])
    importance = (
        last["importance"] if "importance" in last.column_names else pa.nulls(len(original), pa.float32())
    )

    def named(labels: np.ndarray) -> pa.Array:
        return pa.DictionaryArray.from_arrays(labels.astype(np.int32), list(run.class_names))

    return pa.table(
        {
            "id": samples["id"],
            "original": named(original),
            "current": named(current),
            "importance": importance,
            "confidence": confidence.astype(np.float32),
            "suspicion": suspicion.astype(np.float32),
            "suggested": named(suggested),
        }
    )


def export_labels(run: str | Path | RunFolder, out: Path) -> pa.Table:
    """Write :func:`label_table` to ``out``, a ``.parquet`` or ``.csv`` file, and return it.

    Raises:
        SelfcureError: another file type, or as :func:`label_table`.
    """
    if out.suffix not in (".parquet", ".csv"):
        raise SelfcureError(f"--out must end in .parquet or .csv, not {out.name!r}")
    table = label_table(run)
    partial = out.with_name(out.name + ".tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".csv":
            plain = [
                column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
                for column in table.columns
            ]
            pyarrow.csv.write_csv(pa.table(plain, names=table.column_names), partial)
        else:
            pq.write_table(table, partial)
        os.replace(partial, out)  # an older file stays until the new one is whole
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise SelfcureError(f"cannot write {out}: {error.strerror or error}") from error
    return table


def _votes(run: RunFolder, epochs: list[int], num_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """[N] label with the most confidence over all epochs, and its mean confidence, in bounded memory."""
    num_classes = len(run.class_names)
    step = max(1, _CELLS // num_classes)
    suggested, confidence = np.empty(num_samples, np.int64), np.empty(num_samples)
    for start in range(0, num_samples, step):
        stop = min(start + step, num_samples)
        votes = np.zeros((stop - start, num_classes), np.float32)
        for epoch in epochs:
            seen = run.evidence(epoch, ["prediction", "confidence"]).slice(start, stop - start)
            votes[np.arange(stop - start), seen["prediction"].to_numpy()] += seen["confidence"].to_numpy()
        suggested[start:stop], confidence[start:stop] = votes.argmax(1), votes.max(1) / len(epochs)
    return suggested, confidence
