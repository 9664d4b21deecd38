"""Which classes are taken for which, for a page."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_SHOWN = 20
"""Of more classes than these only the most frequent confusions are shown."""

_MOST_PAIRS = 12


@dataclass(frozen=True)
class Cell:
    """A cell of the matrix: its count, its share of the row in whole per cents, and how dark it is, 0 to 10."""

    count: int
    percent: str
    shade: int


@dataclass(frozen=True)
class Confusion:
    """A matrix (rows are labels, columns predictions), or the most frequent confusions of very many classes."""

    title: str
    class_names: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    pairs: tuple[tuple[str, str, int], ...]
    """Label, prediction and count."""
    num_added: int
    """Evaluations whose counts are added up."""
    columns: str = "predicted"
    """What the columns are."""


def add_up(title: str, class_names: Sequence[str], measured: Sequence[Mapping[str, Any]]) -> Confusion:
    """The counts of several evaluations as one.

    Args:
        measured: each as :func:`selfcure.metrics.classification`, of the same classes.
    """
    names = tuple(class_names)
    if any("confusion" not in one for one in measured):
        counted: Counter[tuple[int, int]] = Counter()
        for one in measured:
            for pair in one.get("most_confused", ()):
                counted[pair["label"], pair["prediction"]] += round(pair["num_samples"])
        return Confusion(title, names, (), _most(names, counted), len(measured))
    counts = np.rint(np.sum([one["confusion"] for one in measured], axis=0)).astype(int)  # [K, K]
    if len(names) > MOST_SHOWN:
        wrong = {(i, j): int(counts[i, j]) for i, j in np.argwhere(counts).tolist() if i != j}
        return Confusion(title, names, (), _most(names, wrong), len(measured))
    sizes = counts.sum(axis=1)
    rows = tuple(
        tuple(_cell(int(count), int(size)) for count in row) for row, size in zip(counts, sizes, strict=True)
    )
    return Confusion(title, names, rows, (), len(measured))


def _cell(count: int, size: int) -> Cell:
    share = count / size if size else 0.0
    # One in a thousand is not none.
    percent = "" if not count else f"{100 * share:.0f}" if share >= 0.005 else "<1"
    return Cell(count, percent, math.ceil(10 * share))


def _most(names: Sequence[str], counts: Mapping[tuple[int, int], int]) -> tuple[tuple[str, str, int], ...]:
    order = sorted(counts, key=lambda pair: (-counts[pair], pair))[:_MOST_PAIRS]
    return tuple((names[label], names[prediction], counts[label, prediction]) for label, prediction in order)
