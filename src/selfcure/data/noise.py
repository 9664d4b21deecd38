"""Label noise with a known answer: a new dataset folder whose given labels are wrong in a recorded way."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selfcure.data.folder import CORE_COLUMNS, SPLITS, UNKNOWN, Dataset, FolderWriter, Skip, Split
from selfcure.data.readers.base import Reject
from selfcure.data.readers.tabular import GivenLabels, given_label, texts
from selfcure.data.vocabulary import class_index
from selfcure.errors import SelfcureError, check_choice


def symmetric(
    labels: np.ndarray, num_classes: int, rate: float, generator: np.random.Generator
) -> np.ndarray:
    """Change a fixed share of each class to another class, uniformly: the paper's protocol.

    Args:
        labels: [N] int in 0 … ``num_classes`` - 1.
        rate: share of each class; of its n samples exactly ``round(rate · n)`` change.

    Returns:
        [N] int64.

    Raises:
        SelfcureError: ``rate`` is not in [0, 1), or there is no other class to change to.
    """
    if not 0 <= rate < 1:
        raise SelfcureError(f"rate must be at least 0 and below 1, not {rate}")
    if num_classes < 2:
        raise SelfcureError("symmetric noise needs at least 2 classes")
    noisy = np.array(labels, dtype=np.int64)
    for label in range(num_classes):
        members = np.flatnonzero(labels == label)
        chosen = generator.choice(members, round(rate * len(members)), replace=False)
        noisy[chosen] = (label + generator.integers(1, num_classes, len(chosen))) % num_classes
    return noisy


def confusion(given: np.ndarray, true: np.ndarray, num_classes: int) -> np.ndarray:
    """[K, K] how many samples have given label (row) and true label (column); unknown truth is left out.

    >>> confusion(np.array([0, 1, 1]), np.array([0, 0, -1]), 2).tolist()
    [[1, 0], [1, 0]]
    """
    known = true != UNKNOWN
    counts = np.bincount(given[known] * num_classes + true[known], minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def noise_rate(given: np.ndarray, true: np.ndarray) -> float | None:
    """Share of the samples of known truth whose given label is not the true one; None where no truth is known."""
    known = true != UNKNOWN
    return float((given != true)[known].mean()) if known.any() else None


@dataclass(frozen=True, slots=True)
class _Change:
    """New given labels of one split: [N] int64, ``UNKNOWN`` for samples to drop; ``reasons`` [num dropped]."""

    labels: np.ndarray
    reasons: Sequence[str] = ()


def _symmetric(split: Split, *, rate: float | None, seed: int, labels: str | Path | None) -> _Change:
    if rate is None:
        raise SelfcureError("symmetric noise needs a rate, for instance 0.3")
    if labels is not None:
        raise SelfcureError("labels is for annotator noise; symmetric noise takes a rate")
    # A stream for each split, so that the noise of one does not depend on which others get some.
    generator = np.random.default_rng([seed, SPLITS.index(split.name)])
    return _Change(symmetric(split.labels, len(split.dataset.class_names), rate, generator))


def _annotator(split: Split, *, rate: float | None, seed: int, labels: str | Path | None) -> _Change:
    if labels is None:
        raise SelfcureError(
            "annotator noise needs labels: a column of the dataset folder, or a table of image and label"
        )
    if rate is not None:
        raise SelfcureError("rate is for symmetric noise; annotator noise takes the labels as they are")
    lookup = (
        _column_labels(split, str(labels))
        if str(labels) in split.extra_columns
        else _file_labels(split, labels)
    )
    new = np.full(len(split), UNKNOWN, dtype=np.int64)
    reasons = []
    for row in range(len(split)):
        try:
            new[row] = lookup(row)
        except Reject as reason:
            reasons.append(str(reason))
    return _Change(new, reasons)


KINDS: dict[str, Callable[..., _Change]] = {"symmetric": _symmetric, "annotator": _annotator}


def add_noise(
    dataset_folder: str | Path,
    *,
    out: str | Path,
    kind: str = "symmetric",
    rate: float | None = None,
    seed: int = 0,
    labels: str | Path | None = None,
    splits: Sequence[str] = ("train",),
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Make a new dataset folder with other given labels: the twin of ``selfcure data noise``.

    Images, ids and all other columns stay. ``true_label`` is the parent's where it is known, else the parent's label.
    Splits that get no noise are copied. Parent, settings and what came of them are in ``dataset.json`` under
    ``parent`` and ``noise``. Interrupted, the same call finishes the work.

    Args:
        kind: a key of :data:`KINDS`. ``symmetric`` changes a share of each class of the *given* labels;
            ``annotator`` replaces them by ``labels``, and drops samples that have none there.
        rate: symmetric: the share, in [0, 1).
        seed: symmetric: fixes which labels change, and to what.
        labels: annotator: a column of the folder (names of classes, or their numbers), or a table of sample and label
            (see :class:`~selfcure.data.readers.tabular.GivenLabels`).
        splits: which splits get noise.
        progress: called with (done, total) samples after every shard.

    Raises:
        SelfcureError: an argument does not fit, no sample has a label, or ``out`` is in the way.
    """
    check_choice("kind of noise", kind, KINDS)
    parent, out = Dataset(dataset_folder), Path(out)
    if isinstance(splits, str) or not splits:
        raise SelfcureError(f"splits must be a list of names, for instance ('train',), not {splits!r}")
    if seed < 0:
        raise SelfcureError(f"seed must not be negative, it is {seed}")
    noisy = {name: parent.split(name) for name in splits}
    changes = {name: KINDS[kind](split, rate=rate, seed=seed, labels=labels) for name, split in noisy.items()}
    dropped = [skip for name, split in noisy.items() for skip in _dropped(split, changes[name])]
    opened = {name: noisy.get(name) or parent.split(name) for name in parent.splits}
    settings: dict[str, Any] = {"kind": kind, "rate": rate, "seed": seed if kind == "symmetric" else None}
    settings |= {"labels": None if labels is None else str(labels), "splits": list(noisy)}
    origin = {
        "path": str(parent.path),
        "fingerprint": {name: split.fingerprint() for name, split in opened.items()},
    }
    schema = pq.read_schema(next(iter(opened.values())).files[0])
    writer = FolderWriter(
        out,
        class_names=parent.class_names,
        plan={
            "noise": settings,
            "parent": origin,
            "labels": {n: _digest(c.labels) for n, c in changes.items()},
        },
        num_shards={name: len(split.files) for name, split in opened.items()},
        extra=[field for field in schema if field.name not in CORE_COLUMNS],
    )
    done, total = 0, sum(map(len, opened.values()))
    for name, split in opened.items():
        first = 0
        for index, file in enumerate(split.files):
            num_rows = pq.read_metadata(file).num_rows
            if not writer.has(name, index):
                writer.write(name, index, _shard(file, split, changes.get(name), first))
            first += num_rows
            done += num_rows
            if progress:
                progress(done, total)
    results = {name: _result(split, changes[name].labels) for name, split in noisy.items()}
    inherited = ("layout", "source", "options", "parent", "noise")
    history = {key: parent.manifest[key] for key in inherited if key in parent.manifest}
    manifest = {
        "layout": "noise",
        "source": str(parent.path),
        "parent": origin | history,
        "noise": settings | {"results": results},
    }
    return writer.finish(manifest, dropped)


def _shard(file: Path, split: Split, change: _Change | None, first: int) -> Iterator[pa.Table]:
    """One shard with its labels replaced, a row group at a time; its first row is row ``first`` of the split."""
    source = pq.ParquetFile(file)
    truth = _truth(split) if change else None
    for group in range(source.num_row_groups):
        table = source.read_row_group(group)
        rows = slice(first, first + len(table))
        first += len(table)
        if change is not None and truth is not None:
            for name, values in (("label", change.labels[rows]), ("true_label", truth[rows])):
                table = table.set_column(table.column_names.index(name), name, pa.array(values))
            table = table.filter(pa.array(change.labels[rows] != UNKNOWN))
        yield table


def _truth(split: Split) -> np.ndarray:
    return np.where(split.true_labels == UNKNOWN, split.labels, split.true_labels)


def _result(split: Split, labels: np.ndarray) -> dict[str, Any]:
    """What the noise came to, as plain JSON."""
    kept = labels != UNKNOWN
    given, truth = labels[kept], _truth(split)[kept]
    return {
        "num_samples": int(kept.sum()),
        "num_dropped": int((~kept).sum()),
        "num_changed": int((labels != split.labels)[kept].sum()),
        "noise_rate": noise_rate(given, truth),
        "confusion_given_by_true": confusion(given, truth, len(split.dataset.class_names)).tolist(),
    }


def _dropped(split: Split, change: _Change) -> list[Skip]:
    rows = np.flatnonzero(change.labels == UNKNOWN)
    return [
        Skip(f"{split.name}/{split.ids[row]}", why) for row, why in zip(rows, change.reasons, strict=True)
    ]


def _digest(labels: np.ndarray) -> str:
    return hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()


def _column_labels(split: Split, name: str) -> Callable[[int], int]:
    """Labels by row, from a column of class names or class numbers."""
    column = split.column(name)
    values = texts(pa.table({name: column}), name)
    class_names = split.dataset.class_names
    numbers = pa.types.is_integer(column.type)
    known = {
        text: _number(text, class_names) if numbers else class_index(text, class_names)
        for text in set(values)
    }
    return lambda row: given_label(values[row], known.__getitem__)


def _file_labels(split: Split, labels: str | Path) -> Callable[[int], int]:
    if not Path(labels).exists():
        raise SelfcureError(
            f"labels {str(labels)!r} is neither a column of {split.dataset.path} "
            f"({', '.join(split.extra_columns) or 'it has no extra ones'}) nor a file"
        )
    given = GivenLabels(Path(labels), split.dataset.class_names)
    return lambda row: given.label(split.ids[row], split.paths[row])


def _number(text: str, class_names: Sequence[str]) -> int | None:
    return int(text) if text and 0 <= int(text) < len(class_names) else None
