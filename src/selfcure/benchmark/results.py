"""Finished cells gathered into the numbers of tables; reads nothing but ``cell.json``, ``result.json``, ``failed.json``."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from selfcure.benchmark.cells import Cell, Place
from selfcure.benchmark.running import CELL, FAILED, RESULT, read_json

MIN_SEEDS_FOR_TEST = 5
"""From so many pairs on a paired test says something."""


@dataclass(frozen=True)
class Measure:
    """One number of a cell."""

    name: str
    title: str
    of: Callable[[Mapping[str, Any]], float | None]
    percent: bool = True
    compared: bool = False
    """Whether the difference to the baseline is shown."""


def measured_split(result: Mapping[str, Any]) -> str:
    """The split that accuracy is read on: validation, or test where there is no validation."""
    return next((name for name in ("validation", "test") if name in result["evaluation"]), "")


def headline(result: Mapping[str, Any], name: str = "accuracy") -> float | None:
    """A measure of the last evaluation, against the true labels where they are known."""
    split = measured_split(result)
    if not split:
        return None
    measured = result["evaluation"][split]
    return measured.get("true", measured["given"])[name]


def _last(*path: str) -> Callable[[Mapping[str, Any]], float | None]:
    def read(result: Mapping[str, Any]) -> float | None:
        value: Any = result["last"]
        for name in path:
            value = (value or {}).get(name)
        return value

    return read


MEASURES: tuple[Measure, ...] = (
    Measure("accuracy", "Accuracy", headline, compared=True),
    Measure(
        "mean_class_accuracy", "Mean class accuracy", lambda result: headline(result, "mean_class_accuracy")
    ),
    Measure("noise_after", "Training labels wrong at the end", _last("cure", "noise_after")),
    Measure("repaired", "Wrong training labels repaired", _last("cure", "repaired")),
    Measure("broken", "Right training labels broken", _last("cure", "broken")),
    Measure(
        "auroc_mean_given_prob",
        "AUROC of wrong labels by mean probability of the given label",
        _last("detection", "mean_given_prob", "auroc"),
        percent=False,
    ),
    Measure(
        "auroc_last_given_prob",
        "AUROC of wrong labels by last probability of the given label",
        _last("detection", "last_given_prob", "auroc"),
        percent=False,
    ),
    Measure(
        "auroc_importance",
        "AUROC of wrong labels by importance α",
        _last("detection", "importance", "auroc"),
        percent=False,
    ),
    Measure(
        "auroc_wrong_prob",
        "AUROC of wrong labels by P(label wrong)",
        _last("detection", "wrong_prob", "auroc"),
        percent=False,
    ),
    Measure("noise_estimated", "Training labels wrong, as estimated", _last("label_noise", "estimated")),
    Measure(
        "noise_estimated_after",
        "Training labels wrong after, as estimated",
        _last("label_noise", "estimated_after"),
    ),
    Measure(
        "wrong_prob_error",
        "Calibration error of P(label wrong)",
        _last("label_noise", "calibration_error"),
        percent=False,
    ),
    Measure("rank_margin", "δ1, where it is learned", _last("rank_margin"), percent=False),
)


@dataclass(frozen=True)
class Entry:
    """A cell in a table and what came of it."""

    cell: Cell
    result: Mapping[str, Any] | None
    failed: str
    """The reason, or empty."""


@dataclass(frozen=True)
class Spot:
    """All seeds of one row and column."""

    entries: Mapping[int, Entry] = field(default_factory=dict)

    def values(self, measure: Measure) -> dict[int, float]:
        """Seed → value, of the finished cells that have one."""
        found = {s: measure.of(e.result) for s, e in sorted(self.entries.items()) if e.result is not None}
        return {seed: value for seed, value in found.items() if value is not None}


@dataclass(frozen=True)
class Table:
    """The cells of one suite and group, by row and column in their order."""

    suite: str
    group: str
    rows: Sequence[tuple[str, ...]]
    columns: Sequence[str]
    spots: Mapping[tuple[tuple[str, ...], str], Spot]
    baselines: Mapping[tuple[str, ...], tuple[str, ...]]

    def spot(self, row: tuple[str, ...], column: str) -> Spot:
        return self.spots.get((row, column), Spot())

    def difference(self, row: tuple[str, ...], column: str, measure: Measure) -> list[float]:
        """Row minus its baseline, seed by seed; empty where there is no common seed."""
        baseline = self.baselines.get(row)
        if not baseline:
            return []
        ours = self.spot(row, column).values(measure)
        theirs = self.spot(baseline, column).values(measure)
        return [value - theirs[seed] for seed, value in ours.items() if seed in theirs]

    def entries(self) -> list[Entry]:
        return [entry for spot in self.spots.values() for entry in spot.entries.values()]


def load(path: Path) -> list[Entry]:
    """All cells of a benchmark folder, in the order of their names."""
    entries = []
    for file in sorted(path.glob(f"*/*/{CELL}")):
        folder = file.parent
        if folder.parent.name == "data":
            continue
        cell = Cell.from_dict(read_json(file)["cell"])
        result = read_json(folder / RESULT) if (folder / RESULT).is_file() else None
        failed = ""
        if result is None:
            failed = cell.not_run and f"not run: {cell.not_run}"
            if (folder / FAILED).is_file() and not failed:
                failed = f"failed: {read_json(folder / FAILED)['failed']}"
        entries.append(Entry(cell, result, failed))
    return entries


def gather(entries: Sequence[Entry]) -> list[Table]:
    """The tables of the entries, by suite and group."""
    placed: dict[tuple[str, str], list[tuple[Place, Entry]]] = {}
    for entry in entries:
        for place in entry.cell.places:
            placed.setdefault((entry.cell.suite, place.group), []).append((place, entry))
    return [_table(suite, group, items) for (suite, group), items in placed.items()]


def _table(suite: str, group: str, items: Sequence[tuple[Place, Entry]]) -> Table:
    rows = {place.row: place.order[0] for place, _ in items}
    columns = {place.column: place.order[1] for place, _ in items}
    spots: dict[tuple[tuple[str, ...], str], dict[int, Entry]] = {}
    for place, entry in items:
        spots.setdefault((place.row, place.column), {})[entry.cell.seed] = entry
    return Table(
        suite,
        group,
        sorted(rows, key=lambda row: (rows[row], row)),
        sorted(columns, key=lambda column: (columns[column], column)),
        {key: Spot(found) for key, found in spots.items()},
        {place.row: place.baseline for place, _ in items if place.baseline},
    )


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation, None of a single value.

    >>> mean_and_spread([1.0, 3.0])
    (2.0, 1.4142135623730951)
    """
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def paired_test(differences: Sequence[float]) -> float | None:
    """Two-sided p of a paired t-test of no difference; None below five pairs, where it says nothing.

    >>> round(paired_test([1.0, 2.0, 3.0, 4.0, 5.0]), 4)
    0.0132
    """
    if len(differences) < MIN_SEEDS_FOR_TEST:
        return None
    mean, spread = mean_and_spread(differences)
    if not spread:
        return 1.0 if mean == 0 else 0.0
    t = mean / (spread / math.sqrt(len(differences)))
    from scipy.stats import t as student

    return float(2 * student.sf(abs(t), len(differences) - 1))
