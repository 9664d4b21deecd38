"""The run folder: everything a report, a review or a resume needs, and nothing that runs code when loaded.

config.json             resolved configuration, dataset, classes, environment
samples.parquet         row → id and original label
metrics.jsonl           one line an epoch
evidence/epoch-0001.parquet   per sample: prediction, confidence, probability of its original label, importance …
changes/epoch-0001.parquet    label changes: epoch, id, row, from, to, margin
checkpoint.safetensors  all that a resume needs, replaced atomically
model.safetensors       the weights kept at the end
tensorboard/            the scalars of metrics.jsonl again
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selfcure.core import LabelChanges
from selfcure.errors import SelfcureError

CONFIG = "config.json"
_SAMPLES = "samples.parquet"
_ROW_GROUP = 1 << 14
"""Rows that can be read alone: of many epochs at a time not all are wanted in memory."""
_BEGUN = {"evidence", "changes", _SAMPLES, _SAMPLES + ".tmp", CONFIG + ".tmp"}

_CHANGES = pa.schema(
    [
        ("epoch", pa.int32()),
        ("id", pa.string()),
        ("row", pa.int64()),
        ("from", pa.int64()),
        ("to", pa.int64()),
        ("margin", pa.float32()),
    ]
)


class RunFolder:
    """A run folder, opened.

    Raises:
        SelfcureError: ``path`` is not one, or its ``config.json`` is damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not (self.path / CONFIG).is_file():
            what = "is not a run folder (no config.json)" if self.path.exists() else "does not exist"
            raise SelfcureError(
                f"run folder {self.path} {what}; 'selfcure train DATA --out {self.path}' makes one"
            )
        try:
            self.document: dict[str, Any] = json.loads((self.path / CONFIG).read_text(encoding="utf-8"))
            self.class_names: tuple[str, ...] = tuple(self.document["class_names"])
        except (ValueError, KeyError, TypeError) as error:
            raise SelfcureError(f"{self.path / CONFIG} is damaged ({error!r}); train again") from error

    @classmethod
    def create(
        cls, path: Path, document: Mapping[str, Any], ids: np.ndarray, labels: np.ndarray
    ) -> "RunFolder":
        """Make a new run folder for a training on the samples ``ids`` with original ``labels``, both [N].

        Raises:
            SelfcureError: ``path`` exists and is not empty.
        """
        # A kill in here leaves no config yet: begin again, for there is nothing that a resume could take up.
        if path.exists() and (not path.is_dir() or not _BEGUN.issuperset(f.name for f in path.iterdir())):
            how = "go on with --resume, or " if (path / CONFIG).is_file() else ""
            raise SelfcureError(f"{path} already exists; {how}choose another --out")
        for folder in ("evidence", "changes"):
            (path / folder).mkdir(parents=True, exist_ok=True)
        _write_table(path / _SAMPLES, pa.table({"id": ids, "original": labels}))
        # Last, so that a folder with a config is a whole one.
        write_text(path / CONFIG, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return cls(path)

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def best(self) -> Path:
        """The weights that were best on validation so far, while training selects by it."""
        return self.path / "best.safetensors"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def finished(self) -> bool:
        return self.model.exists()

    def metrics(self) -> list[dict[str, Any]]:
        """One record per finished epoch."""
        file = self.path / "metrics.jsonl"
        if not file.exists():
            return []
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):  # torn by a kill or a full disk
            lines.pop()
        return [json.loads(line) for line in lines]

    def samples(self) -> pa.Table:
        """``id`` and ``original`` label of every sample, in row order."""
        return _read_table(self.path / _SAMPLES)

    def evidence(
        self, epoch: int, columns: list[str] | None = None, *, rows: slice | None = None
    ) -> pa.Table:
        """Per-sample evidence of one epoch, in row order; of ``rows`` (start to stop) alone if given."""
        return _read_table(self._epoch_file("evidence", epoch), columns, rows)

    def changes(self, columns: list[str] | None = None) -> pa.Table:
        """All label changes so far, oldest first."""
        files = sorted((self.path / "changes").glob("epoch-*.parquet"))
        tables = [_read_table(file, columns) for file in files] or [_CHANGES.empty_table()]
        return pa.concat_tables(tables).select(columns or _CHANGES.names)

    def write_epoch(
        self,
        record: Mapping[str, Any],
        evidence: Mapping[str, np.ndarray],
        changes: LabelChanges,
        ids: np.ndarray,
    ) -> None:
        """Store one finished epoch: its metrics line, evidence [N] by name, and label changes."""
        epoch = record["epoch"]
        _write_table(self._epoch_file("evidence", epoch), pa.table(dict(evidence)))
        if len(changes.ids):
            _write_table(self._epoch_file("changes", epoch), _changes_table(changes, ids))
        with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def forget_after(self, epoch: int) -> None:
        """Drop what was written after ``epoch``: a kill between the history and its checkpoint leaves more of it."""
        metrics = self.path / "metrics.jsonl"
        if metrics.exists():
            # The last line may be torn; it belongs to an epoch that has no checkpoint.
            kept = metrics.read_text(encoding="utf-8").splitlines(keepends=True)[:epoch]
            write_text(metrics, "".join(kept))
        for folder in ("evidence", "changes"):
            for file in (self.path / folder).glob("epoch-*"):
                if int(file.name.removeprefix("epoch-").split(".")[0]) > epoch:
                    file.unlink()

    def _epoch_file(self, folder: str, epoch: int) -> Path:
        return self.path / folder / f"epoch-{epoch:04d}.parquet"


def write_text(path: Path, text: str) -> None:
    """Write a small text file so that a reader finds the old or the new one, whole."""
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _read_table(path: Path, columns: list[str] | None = None, rows: slice | None = None) -> pa.Table:
    try:
        file = pq.ParquetFile(path)
        if rows is None:
            return file.read(columns=columns)
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        first, last = ends.searchsorted([rows.start, rows.stop - 1], side="right").tolist()
        table = file.read_row_groups(list(range(first, last + 1)), columns=columns)
        return table.slice(rows.start - (ends[first] - sizes[first]), rows.stop - rows.start)
    except (OSError, pa.ArrowInvalid) as error:
        raise SelfcureError(
            f"{path} is missing or damaged ({error}); train again (a benchmark's cells keep theirs with --keep all)"
        ) from error


def _write_table(path: Path, table: pa.Table) -> None:
    partial = path.with_name(path.name + ".tmp")
    pq.write_table(table, partial, compression="zstd", row_group_size=_ROW_GROUP)
    os.replace(partial, path)


def _changes_table(changes: LabelChanges, ids: np.ndarray) -> pa.Table:
    rows = changes.ids.numpy()
    columns = {
        "epoch": np.full(len(rows), changes.epoch),
        "id": ids[rows],
        "row": rows,
        "from": changes.old.numpy(),
        "to": changes.new.numpy(),
        "margin": changes.margins.numpy(),
    }
    return pa.table(columns, schema=_CHANGES)
