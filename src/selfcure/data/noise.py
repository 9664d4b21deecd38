"""Label noise with a known answer: a new dataset folder whose given labels are wrong in a recorded way."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from selfcure.data.folder import SOFT_LABEL, SPLITS, UNKNOWN, Dataset, Split
from selfcure.data.folder_writer import Skip
from selfcure.data.noise_kinds import by_matrix, confusion, noise_rate, pairwise, symmetric
from selfcure.data.readers import LABEL_NUMBERS
from selfcure.data.readers.base import Reject
from selfcure.data.readers.matrix import as_matrix, read_matrix
from selfcure.data.readers.tabular import GivenLabels, given_label, texts
from selfcure.data.rewrite import Change, changed, derive, unchanged
from selfcure.data.vocabulary import CONFUSABLE, ClassIndex, canonical, listed
from selfcure.errors import SelfcureError, check_choice

_MOST_CLASSES = 100
"""Square tables of more classes than these are not written into ``dataset.json``."""


@dataclass(frozen=True, slots=True)
class _NewLabels:
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


def _symmetric(split: Split, settings: _Settings) -> _NewLabels:
    if settings.rate is None:
        raise SelfcureError("symmetric noise needs a rate, for instance 0.3")
    num_classes = len(split.dataset.class_names)
    return _NewLabels(symmetric(split.labels, num_classes, settings.rate, settings.generator(split)))


def _pairwise(split: Split, settings: _Settings) -> _NewLabels:
    if settings.rate is None:
        raise SelfcureError("pairwise noise needs a rate, for instance 0.3")
    partners = _partners(split.dataset.class_names, settings)
    return _NewLabels(pairwise(split.labels, partners, settings.rate, settings.generator(split)))


def _matrix(split: Split, settings: _Settings) -> _NewLabels:
    if settings.matrix is None:
        raise SelfcureError(
            "matrix noise needs a matrix: a CSV or JSON file, row = true class, column = given"
        )
    return _NewLabels(
        by_matrix(split.labels, _read_matrix(settings, split.dataset.class_names), settings.generator(split))
    )


def _annotator(split: Split, settings: _Settings) -> _NewLabels:
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
    return _NewLabels(new, reasons)


KINDS: dict[str, Callable[[Split, _Settings], _NewLabels]] = {
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
    partners, index = [], ClassIndex(class_names)
    for name in class_names:
        found = (index(other) for other in CONFUSABLE.get(canonical(name) or "", ()))
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
    partners, index = list(range(len(class_names))), ClassIndex(class_names)
    for source, target in pairs.items():
        indices = [index(name) for name in (source, target)]
        for name, number in zip((source, target), indices, strict=True):
            if number is None:
                raise SelfcureError(
                    f"pairs: {name!r} is not a class (write them like anger=disgust,fear=surprise; the classes are "
                    f"{listed(class_names)})"
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
    parent = Dataset(dataset_folder)
    if isinstance(splits, str) or not splits:
        raise SelfcureError(f"splits must be a list of names, for instance ('train',), not {splits!r}")
    if seed < 0:
        raise SelfcureError(f"seed must not be negative, it is {seed}")
    chosen = _Settings(rate, labels, numbers, pairs, matrix, seed)
    _check_settings(kind, chosen)
    noisy = {name: parent.split(name) for name in splits}
    changes = {name: KINDS[kind](split, chosen) for name, split in noisy.items()}
    opened = {name: noisy.get(name) or parent.split(name) for name in parent.splits}
    settings: dict[str, Any] = {"kind": kind, "rate": rate, "seed": None if kind == "annotator" else seed}
    settings |= {"labels": None if labels is None else str(labels), "splits": list(noisy)}
    settings |= _recorded(kind, chosen, parent.class_names)
    return derive(
        opened,
        out,
        kind="noise",
        settings=settings,
        shards={
            name: changed(split, _relabelled(split, changes[name])) if name in changes else unchanged(split)
            for name, split in opened.items()
        },
        plan={"labels": {name: _digest(change.labels) for name, change in changes.items()}},
        results={"results": {name: _result(split, changes[name].labels) for name, split in noisy.items()}},
        skipped=[skip for name, split in noisy.items() for skip in _dropped(split, changes[name])],
        progress=progress,
    )


def _recorded(kind: str, settings: _Settings, class_names: Sequence[str]) -> dict[str, Any]:
    """What else :func:`add_noise` was asked for, in full if it is not too large: a file may be gone tomorrow."""
    if kind == "pairwise":
        partners = _partners(class_names, settings)
        return {"pairs": {a: class_names[k] for a, k in zip(class_names, partners, strict=True)}}
    if kind == "matrix":
        matrix = _read_matrix(settings, class_names)
        return {"matrix": matrix.tolist() if len(class_names) <= _MOST_CLASSES else _digest(matrix)}
    return {"numbers": settings.numbers} if settings.numbers else {}


def _relabelled(split: Split, change: _NewLabels) -> Change:
    truth = _truth(split)

    def relabel(table: pa.Table, rows: slice) -> pa.Table:
        for name, values in (("label", change.labels[rows]), ("true_label", truth[rows])):
            table = table.set_column(table.column_names.index(name), name, pa.array(values))
        if (
            SOFT_LABEL in table.column_names
        ):  # a label that kept its soft one would show that it was not changed
            place, kind = table.column_names.index(SOFT_LABEL), table.schema.field(SOFT_LABEL).type
            table = table.set_column(place, SOFT_LABEL, pa.nulls(len(table), kind))
        return table.filter(pa.array(change.labels[rows] != UNKNOWN))

    return relabel


def _truth(split: Split) -> np.ndarray:
    return np.where(split.true_labels == UNKNOWN, split.labels, split.true_labels)


def _result(split: Split, labels: np.ndarray) -> dict[str, Any]:
    """What the noise came to, as plain JSON."""
    kept = labels != UNKNOWN
    given, truth = labels[kept], _truth(split)[kept]
    num_classes = len(split.dataset.class_names)
    counts = {}
    if num_classes <= _MOST_CLASSES:
        counts["confusion_given_by_true"] = confusion(given, truth, num_classes).tolist()
    return {
        "num_samples": int(kept.sum()),
        "num_dropped": int((~kept).sum()),
        "num_changed": int((labels != split.labels)[kept].sum()),
        "noise_rate": noise_rate(given, truth),
        **counts,
    }


def _dropped(split: Split, change: _NewLabels) -> list[Skip]:
    rows = np.flatnonzero(change.labels == UNKNOWN)
    return [
        Skip(f"{split.name}/{split.ids[row]}", why) for row, why in zip(rows, change.reasons, strict=True)
    ]


def _digest(values: np.ndarray) -> str:
    kind = "<f8" if values.dtype.kind == "f" else "<i8"
    return hashlib.sha256(values.astype(kind).tobytes()).hexdigest()


def _column_labels(split: Split, name: str) -> Callable[[int], int]:
    """Labels by row, from a column of class names or class numbers."""
    column = split.column(name)
    values = texts(pa.table({name: column}), name)
    class_names = split.dataset.class_names
    index = ClassIndex(class_names)
    numbers = pa.types.is_integer(column.type)
    known = {text: _number(text, class_names) if numbers else index(text) for text in set(values)}
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
