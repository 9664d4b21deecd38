"""The dataset folder: Parquet shards that ``datasets.load_dataset`` opens as they are.

A folder holds ``{split}-00000-of-00003.parquet`` for the splits ``train``, ``validation`` and ``test``, one
``dataset.json`` that says where it came from, and ``skipped.csv`` with what was left out and why. It is complete or it
is not there: a writer works in ``NAME.partial`` and renames it at the end, and nothing is changed in place afterwards.

Columns: ``image`` (struct of encoded ``bytes`` and ``path``), ``id`` (stable, unique in its split), ``label`` (as
given, what training uses), ``true_label`` (null where unknown, never read by training), then what the source knew.
"""

import hashlib
import json
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from selfcure.data.encoded import EncodedImages
from selfcure.data.schema import CORE_COLUMNS
from selfcure.errors import SelfcureError, check_choice

SPLITS = ("train", "validation", "test")
MANIFEST = "dataset.json"
SKIPPED = "skipped.csv"
SOFT_LABEL = "soft_label"
CLIP = "clip"
ROW_GROUP = 1024
UNKNOWN = -1
"""Stands for a null ``true_label`` in arrays."""


class Dataset:
    """A dataset folder, opened for reading.

    Raises:
        SelfcureError: the folder is missing, unfinished, damaged, or not a dataset folder.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        file = self.path / MANIFEST
        if not file.is_file():
            raise SelfcureError(_why_not_a_dataset(self.path))
        try:
            self.manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            self.class_names: tuple[str, ...] = tuple(self.manifest["class_names"])
            self.splits: dict[str, int] = {s: n for s, n in self.manifest["splits"].items() if n}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SelfcureError(f"{file} is damaged ({error!r}); make the dataset again") from error

    def __repr__(self) -> str:
        return f"Dataset({str(self.path)!r}, classes={len(self.class_names)}, splits={self.splits})"

    def split(self, name: str) -> "Split":
        """One split.

        Raises:
            SelfcureError: the split has no samples, or a label outside the classes.
        """
        check_choice("split", name, SPLITS)
        if name not in self.splits:
            raise SelfcureError(
                f"{self.path} has no samples in split {name!r}; it has: {', '.join(self.splits) or 'none'}"
            )
        return Split(self, name)


class Split:
    """One split of a dataset folder. Rows are numbered 0 … N-1 in the order of the shards."""

    def __init__(self, dataset: Dataset, name: str):
        self.dataset, self.name = dataset, name
        self.files = sorted(dataset.path.glob(f"{name}-*.parquet"))
        if not self.files:
            raise SelfcureError(f"{self!r}: its files {name}-*.parquet are missing; make the dataset again")
        self.labels_if_given = self._label_column("label")
        """[N] int64, :data:`UNKNOWN` where there is none, as in a folder of faces that nobody has labelled."""
        if len(self.labels_if_given) != dataset.splits[name]:
            raise SelfcureError(
                f"{self!r} has {len(self.labels_if_given)} rows where {MANIFEST} says {dataset.splits[name]}; files are missing "
                "or were added; make the dataset again"
            )

    def __len__(self) -> int:
        return len(self.labels_if_given)

    def __repr__(self) -> str:
        return f"split {self.name!r} of {self.dataset.path}"

    @property
    def labels(self) -> np.ndarray:
        """[N] int64, as given.

        Raises:
            SelfcureError: a sample has none.
        """
        if (self.labels_if_given == UNKNOWN).any():
            raise SelfcureError(f"{self!r}: column 'label' has nulls; every sample needs a given label")
        return self.labels_if_given

    @cached_property
    def true_labels(self) -> np.ndarray:
        """[N] int64, :data:`UNKNOWN` where the truth is not known. For measuring only: training never reads it."""
        return self._label_column("true_label")

    @cached_property
    def soft_labels(self) -> np.ndarray | None:
        """[N, K] float32, the weights of classes that people settled on in an optional column ``soft_label``.

        1 for the label alone where a row has none, or where its label is no longer the soft one's largest (noise, say, was
        added since). ``None`` where no row has one.

        Raises:
            SelfcureError: weights that are not K shares of 1.
        """
        if SOFT_LABEL not in self.schema.names:
            return None
        column = self.column(SOFT_LABEL).combine_chunks()
        rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        if not len(rows):
            return None
        num_classes = len(self.dataset.class_names)
        lengths = pc.list_value_length(column.drop_null()).to_numpy()
        weights = column.drop_null().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        if (lengths != num_classes).any():
            raise SelfcureError(
                f"{self!r}: row {rows[lengths != num_classes][0]} has {SOFT_LABEL} of {lengths[lengths != num_classes][0]} "
                f"weights; it must be {num_classes}, one a class"
            )
        weights = weights.reshape(-1, num_classes)
        odd = ~((weights >= 0).all(axis=1) & (np.abs(weights.sum(axis=1) - 1) < 1e-3))
        if odd.any():
            raise SelfcureError(
                f"{self!r}: row {rows[odd][0]} has {SOFT_LABEL} {weights[odd][0].tolist()}; weights must be at least 0 and "
                f"sum to 1; {odd.sum()} such rows"
            )
        soft = np.eye(num_classes, dtype=np.float32)[self.labels]
        holds = weights.argmax(axis=1) == self.labels[rows]
        soft[rows[holds]] = weights[holds]
        return soft

    @cached_property
    def clips(self) -> np.ndarray:
        """[N] int64, equal for the frames of a clip (column ``clip``); a row without one is a clip of its own.

        Raises:
            SelfcureError: there is no such column.
        """
        if CLIP not in self.schema.names:
            raise SelfcureError(
                f"{self!r} has no column {CLIP!r}, which says what clip a frame is of; 'selfcure collect' makes folders that do"
            )
        codes = self.column(CLIP).combine_chunks().dictionary_encode().indices
        clips = codes.fill_null(-1).to_numpy().astype(np.int64)
        alone = np.flatnonzero(clips < 0)
        clips[alone] = clips.max(initial=-1) + 1 + np.arange(len(alone))
        return clips

    @property
    def num_without_clip(self) -> int:
        """Rows whose ``clip`` is null."""
        return self.column(CLIP).null_count

    @cached_property
    def ids(self) -> np.ndarray:
        """[N] str, as objects: a NumPy text array takes as much for each as for the longest."""
        return self.column("id").to_numpy()

    @cached_property
    def paths(self) -> list[str]:
        """[N] each image's name in its source."""
        return pc.struct_field(self._read("image.path"), "path").to_pylist()

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types of all columns."""
        try:
            return pq.read_schema(self.files[0])
        except (OSError, pa.ArrowInvalid) as error:
            raise SelfcureError(f"{self.files[0]} is damaged ({error}); make the dataset again") from error

    @property
    def extra_columns(self) -> list[str]:
        return [name for name in self.schema.names if name not in CORE_COLUMNS]

    def images(self, *, progress: Callable[[int, int], None] | None = None) -> EncodedImages:
        """The encoded images by row, from the disk, however many there are.

        Args:
            progress: called with (done, total) images while they are looked up.

        Raises:
            SelfcureError: a file is damaged.
        """
        return EncodedImages(self.files, progress=progress)

    def column(self, name: str) -> pa.ChunkedArray:
        """Any column, in row order."""
        check_choice("column", name, self.schema.names)
        return self._read(name)

    def fingerprint(self) -> str:
        """Hash of the ids, given and soft labels in order: two splits that train alike have the same one."""
        digest = hashlib.sha256()
        chunks = (chunk for chunk in self.column("id").chunks if len(chunk))
        # All ids as one text would be there three times.
        for number, ids in enumerate(chunks):
            digest.update(b"\n" if number else b"")
            digest.update("\n".join(ids.to_pylist()).encode())
        digest.update(self.labels.astype("<i8").tobytes())
        if self.soft_labels is not None:
            digest.update(self.soft_labels.astype("<f4").tobytes())
        return digest.hexdigest()[:16]

    def _read(self, column: str) -> pa.ChunkedArray:
        try:
            # ParquetFile, not read_table: that one would flatten ``image.path``.
            # One thread: for one column more of them cost more than they save.
            tables = [pq.ParquetFile(f).read(columns=[column], use_threads=False) for f in self.files]
            return pa.concat_tables(tables).column(0)
        except (OSError, pa.ArrowInvalid) as error:
            raise SelfcureError(f"{self!r} cannot be read: {error}; make the dataset again") from error

    def _label_column(self, name: str) -> np.ndarray:
        labels = self.column(name).fill_null(UNKNOWN).to_numpy().astype(np.int64)
        num_classes = len(self.dataset.class_names)
        bad = np.flatnonzero((labels < UNKNOWN) | (labels >= num_classes))
        if len(bad):
            raise SelfcureError(
                f"{self!r}: row {bad[0]} has {name} {labels[bad[0]]}, outside the {num_classes} classes "
                f"(0–{num_classes - 1}); {len(bad)} such rows"
            )
        return labels


def _why_not_a_dataset(path: Path) -> str:
    whole = Path(os.path.abspath(path))  # "." has no name, and "/" has none either
    if whole.name and whole.with_name(whole.name + ".partial").exists():
        return f"{path} is not finished; repeat the command that was making it"
    if not path.exists():
        return f"dataset folder {path} does not exist"
    if not path.is_dir():
        return f"{path} is a file, not a dataset folder; import it with 'selfcure data import'"
    if not any(path.iterdir()):
        return f"dataset folder {path} is empty"
    return f"{path} is not a dataset folder (no {MANIFEST}); make one with 'selfcure data import LAYOUT {path} --out DIR'"
