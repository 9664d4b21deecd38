"""Label noise with a known answer: a new dataset folder whose given labels are wrong in a recorded way."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selfcure.data.folder import CORE_COLUMNS, SPLITS, UNKNOWN, Dataset, FolderWriter, Skip, Split
from selfcure.data.readers import LABEL_NUMBERS
from selfcure.data.readers.base import Reject
from selfcure.data.readers.matrix import as_matrix, read_matrix
from selfcure.data.readers.tabular import GivenLabels, given_label, texts
from selfcure.data.vocabulary import CONFUSABLE, canonical, class_index
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


def pairwise(
    labels: np.ndarray, partners: Sequence[int], rate: float, generator: np.random.Generator
) -> np.ndarray:
    """Change a fixed share of each class to the one class that it is confused with.

    Args:
        labels: [N] int in 0 … K - 1.
        partners: [K] the class that each goes to; its own number keeps it clean.
        rate: share of each class; of its n samples exactly ``round(rate · n)`` change.

    Returns:
        [N] int64.

    Raises:
        SelfcureError: ``rate`` is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise SelfcureError(f"rate must be at least 0 and below 1, not {rate}")
    noisy = np.array(labels, dtype=np.int64)
    for label, partner in enumerate(partners):
        members = np.flatnonzero(labels == label)
        noisy[generator.choice(members, round(rate * len(members)), replace=False)] = partner
    return noisy


def by_matrix(labels: np.ndarray, matrix: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Give the samples of each class the labels of its row, in exact numbers.

    Of n samples of class k, n · ``matrix[k, j]`` get label j, rounded by largest remainder; which ones is random.

    Args:
        labels: [N] int in 0 … K - 1, the true class.
        matrix: [K, K] rows that sum to 1; row = true class, column = given class.

    Returns:
        [N] int64.
    """
    noisy = np.array(labels, dtype=np.int64)
    for label, row in enumerate(matrix):
        members = generator.permutation(np.flatnonzero(labels == label))
        noisy[members] = np.repeat(np.arange(len(row)), _largest_remainder(row, len(members)))
    return noisy


def _largest_remainder(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers with sum ``total``, as near to the shares as they can be.

    >>> _largest_remainder(np.array([0.5, 0.3, 0.2]), 7).tolist()
    [4, 2, 1]
    """
    exact = shares * total
    counts = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts


@dataclass(frozen=True, slots=True)
class _Change:
    """New given labels of one split: [N] int64, ``UNKNOWN`` for samples to drop; ``reasons`` [num dropped]."""

    labels: np.ndarray
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Settings:
    """The arguments of :func:`add_noise` that say what the noise is; None where not given."""

    rate: float | None
    labels: str | Path | None
    numbers: str | None
    pairs: Mapping[str, str] | str | None
    matrix: Any
    seed: int

    def generator(self, split: Split) -> np.random.Generator:
        """A stream for each split, so that the noise of one does not depend on which others get some."""
        return np.random.default_rng([self.seed, SPLITS.index(split.name)])


def _symmetric(split: Split, settings: _Settings) -> _Change:
    if settings.rate is None:
        raise SelfcureError("symmetric noise needs a rate, for instance 0.3")
    num_classes = len(split.dataset.class_names)
    return _Change(symmetric(split.labels, num_classes, settings.rate, settings.generator(split)))


def _pairwise(split: Split, settings: _Settings) -> _Change:
    if settings.rate is None:
        raise SelfcureError("pairwise noise needs a rate, for instance 0.3")
    partners = _partners(split.dataset.class_names, settings)
    return _Change(pairwise(split.labels, partners, settings.rate, settings.generator(split)))


def _matrix(split: Split, settings: _Settings) -> _Change:
    if settings.matrix is None:
        raise SelfcureError(
            "matrix noise needs a matrix: a CSV or JSON file, row = true class, column = given"
        )
    return _Change(
        by_matrix(split.labels, _read_matrix(settings, split.dataset.class_names), settings.generator(split))
    )


def _annotator(split: Split, settings: _Settings) -> _Change:
    labels = settings.labels
    if labels is None:
        raise SelfcureError(
            "annotator noise needs labels: a column of the dataset folder, or a table of image and label"
        )
    lookup = (
        _column_labels(split, str(labels))
        if str(labels) in split.extra_columns
        else _file_labels(split, labels, settings.numbers)
    )
    new = np.full(len(split), UNKNOWN, dtype=np.int64)
    reasons = []
    for row in range(len(split)):
        try:
            new[row] = lookup(row)
        except Reject as reason:
            reasons.append(str(reason))
    return _Change(new, reasons)


KINDS: dict[str, Callable[[Split, _Settings], _Change]] = {
    "symmetric": _symmetric,
    "pairwise": _pairwise,
    "matrix": _matrix,
    "annotator": _annotator,
}

_FOR = {
    "rate": ("symmetric", "pairwise"),
    "labels": ("annotator",),
    "numbers": ("annotator",),
    "pairs": ("pairwise",),
    "matrix": ("matrix", "pairwise"),
}
"""Which kinds take an argument."""


def _check_settings(kind: str, settings: _Settings) -> None:
    for name, kinds in _FOR.items():
        if getattr(settings, name) is not None and kind not in kinds:
            raise SelfcureError(f"{name} is for {' and '.join(kinds)} noise, not for {kind} noise")
    if settings.pairs is not None and settings.matrix is not None:
        raise SelfcureError("pairs and matrix both say which class goes where; give one of them")


def _read_matrix(settings: _Settings, class_names: Sequence[str]) -> np.ndarray:
    if isinstance(settings.matrix, str | Path):
        return read_matrix(Path(settings.matrix), class_names)
    return as_matrix(settings.matrix, class_names, "matrix")


def _partners(class_names: Sequence[str], settings: _Settings) -> list[int]:
    """[K] where each class goes: as given, or else its largest confusion, or else by :data:`CONFUSABLE`."""
    if settings.matrix is not None:
        matrix = _read_matrix(settings, class_names)
        np.fill_diagonal(matrix, 0)
        return [k if not row.any() else int(row.argmax()) for k, row in enumerate(matrix)]
    if settings.pairs is not None:
        return _given_partners(class_names, settings.pairs)
    partners = []
    for name in class_names:
        found = (class_index(other, class_names) for other in CONFUSABLE.get(canonical(name) or "", ()))
        partner = next((k for k in found if k is not None), None)
        if partner is None:
            other = next((other for other in class_names if other != name), "OTHER")
            raise SelfcureError(
                f"nothing is known of what class {name!r} is confused with; give pairs, for instance "
                f"'{name}={other}', or a matrix"
            )
        partners.append(partner)
    return partners


def _given_partners(class_names: Sequence[str], pairs: Mapping[str, str] | str) -> list[int]:
    """Classes that are not named keep their labels."""
    if isinstance(pairs, str):
        items = [item.partition("=") for item in pairs.split(",")]
        pairs = {a.strip(): b.strip() for a, _, b in items}
    partners = list(range(len(class_names)))
    for source, target in pairs.items():
        indices = [class_index(name, class_names) for name in (source, target)]
        for name, index in zip((source, target), indices, strict=True):
            if index is None:
                raise SelfcureError(
                    f"pairs: {name!r} is not a class (write them like anger=disgust,fear=surprise; the classes are "
                    f"{', '.join(class_names)})"
                )
        partners[indices[0] or 0] = indices[1] or 0
    return partners


def add_noise(
    dataset_folder: str | Path,
    *,
    out: str | Path,
    kind: str = "symmetric",
    rate: float | None = None,
    seed: int = 0,
    labels: str | Path | None = None,
    numbers: str | None = None,
    pairs: Mapping[str, str] | str | None = None,
    matrix: str | Path | Sequence[Sequence[float]] | np.ndarray | None = None,
    splits: Sequence[str] = ("train",),
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Make a new dataset folder with other given labels: the twin of ``selfcure data noise``.

    Images, ids and all other columns stay. ``true_label`` is the parent's where it is known, else the parent's label.
    Splits that get no noise are copied. Parent, settings and what came of them are in ``dataset.json`` under
    ``parent`` and ``noise``. Interrupted, the same call finishes the work.

    Args:
        kind: a key of :data:`KINDS`. ``symmetric`` changes a share of each class of the *given* labels to any other
            class, ``pairwise`` to the one that it is most confused with; ``matrix`` does what a confusion matrix says;
            ``annotator`` replaces the labels by ``labels``, and drops samples that have none there.
        rate: symmetric, pairwise: the share, in [0, 1).
        seed: fixes which labels change, and to what (annotator noise is not random).
        labels: annotator: a column of the folder (names of classes, or their numbers), or a table of sample and label,
            or a published list of lines ``path label`` (see
            :class:`~selfcure.data.readers.tabular.GivenLabels`).
        numbers: annotator: the layout whose numbers the labels are, a key of
            :data:`~selfcure.data.readers.LABEL_NUMBERS`; by default the one that the folder was imported from.
        pairs: pairwise: class → class, or text like ``anger=disgust,fear=surprise``; classes that are not named keep
            their labels. Without it expressions go by :data:`~selfcure.data.vocabulary.CONFUSABLE`.
        matrix: matrix: [K, K], row = true class, column = given class, or a file of it (see
            :func:`~selfcure.data.readers.matrix.read_matrix`); pairwise: each class goes to the largest other one of
            its row.
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
    chosen = _Settings(rate, labels, numbers, pairs, matrix, seed)
    _check_settings(kind, chosen)
    noisy = {name: parent.split(name) for name in splits}
    changes = {name: KINDS[kind](split, chosen) for name, split in noisy.items()}
    dropped = [skip for name, split in noisy.items() for skip in _dropped(split, changes[name])]
    opened = {name: noisy.get(name) or parent.split(name) for name in parent.splits}
    settings: dict[str, Any] = {"kind": kind, "rate": rate, "seed": None if kind == "annotator" else seed}
    settings |= {"labels": None if labels is None else str(labels), "splits": list(noisy)}
    settings |= _recorded(kind, chosen, parent.class_names)
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


def _recorded(kind: str, settings: _Settings, class_names: Sequence[str]) -> dict[str, Any]:
    """What else :func:`add_noise` was asked for, in full: a file may be gone tomorrow."""
    if kind == "pairwise":
        partners = _partners(class_names, settings)
        return {"pairs": {a: class_names[k] for a, k in zip(class_names, partners, strict=True)}}
    if kind == "matrix":
        return {"matrix": _read_matrix(settings, class_names).tolist()}
    return {"numbers": settings.numbers} if settings.numbers else {}


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


def _file_labels(split: Split, labels: str | Path, numbers: str | None) -> Callable[[int], int]:
    if not Path(labels).exists():
        raise SelfcureError(
            f"labels {str(labels)!r} is neither a column of {split.dataset.path} "
            f"({', '.join(split.extra_columns) or 'it has no extra ones'}) nor a file"
        )
    if numbers is not None:
        check_choice("numbers", numbers, LABEL_NUMBERS)
    layout = numbers or _layout(split.dataset.manifest)
    given = GivenLabels(Path(labels), split.dataset.class_names, numbers=LABEL_NUMBERS.get(layout))
    return lambda row: given.label(split.ids[row], split.paths[row])


def _layout(manifest: Mapping[str, Any]) -> str:
    """The published layout that a folder comes from, however often it was changed since; "" where not known."""
    while isinstance(manifest.get("parent"), Mapping):
        manifest = manifest["parent"]
    return str(manifest.get("layout", ""))


def _number(text: str, class_names: Sequence[str]) -> int | None:
    return int(text) if text and 0 <= int(text) < len(class_names) else None
