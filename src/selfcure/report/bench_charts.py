"""The charts of a benchmark's table: sweeps, curves, detection curves and confusion, each gathered over seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selfcure.benchmark.cells import Bench
from selfcure.benchmark.results import Entry, Table, mean_and_spread, measured_split
from selfcure.benchmark.suites import SUITES
from selfcure.errors import SelfcureError
from selfcure.report.charts import Panel, Series, highlighted, share_axis, sweep
from selfcure.report.confusion import Confusion, add_up
from selfcure.report.ending import GRID, detection_curves, read_ending
from selfcure.report.names import Names, Row, number_of
from selfcure.report.numbers import ACCURACY
from selfcure.report.svg import Axis
from selfcure.runs import RunFolder

MOST_PANELS_OPEN = 12
"""A group of more panels than this is folded."""

_SCORES = {
    "last_given_prob": "the last probability of the given label",
    "importance": "importance α",
    "wrong_prob": "P(label wrong)",
}


@dataclass(frozen=True)
class Group:
    """Charts or matrices of one column of a table."""

    title: str
    panels: tuple[Panel, ...] = ()
    matrices: tuple[Confusion, ...] = ()
    parts: tuple["Group", ...] = ()


@dataclass(frozen=True)
class Detection:
    """Curves of how the scores find wrong labels, and the runs that could not be read for them."""

    groups: tuple[Group, ...]
    num_read: int
    unread: tuple[tuple[str, int], ...]
    """Reason and number of cells."""


def sweeps(table: Table, names: Names, ident: str) -> list[Panel]:
    """Accuracy along a setting: rows that differ in a last number, or else columns that are numbers."""
    by_rows = _row_sweeps(table, names)
    if by_rows:
        return by_rows
    xs = {column: value for column in table.columns if (value := number_of(column)) is not None}
    if len(xs) < 2:
        return []
    series = [
        _across(table, [(x, (row, column)) for column, x in xs.items()], names(row)) for row in table.rows
    ]
    return highlighted(
        [line for line in series if line.points],
        x_title="% of training labels flipped",
        unit=" %",
        ident=f"{ident}-sweep",
        x=Axis(
            min(xs.values()),
            max(xs.values()),
            "% of training labels flipped",
            tuple((x, f"{x:g}") for x in sorted(xs.values())),
        ),
    )


def _across(table: Table, places: Sequence[tuple[float, tuple[Row, str]]], name: str) -> Series:
    xs, ys, spreads = [], [], []
    for x, (at, column) in places:
        if values := list(table.spot(at, column).values(ACCURACY).values()):
            mean, spread = mean_and_spread(values)
            xs.append(x)
            ys.append(100 * mean)
            spreads.append(None if spread is None else 100 * spread)
    return Series(name, xs, ys, spreads)


def _row_sweeps(table: Table, names: Names) -> list[Panel]:
    """A panel for each setting, a line for each column; what is no number stands at the right end."""
    settings: dict[Row, list[tuple[str, Row]]] = {}
    for row in table.rows:
        settings.setdefault(row[:-1], []).append((row[-1], row))
    panels = []
    for setting, values in settings.items():
        numbers = [value for text, _ in values if (value := number_of(text)) is not None]
        if len(numbers) < 3:
            continue
        beyond = max(numbers) + (max(numbers) - min(numbers)) / 8
        places = {
            row: beyond if (value := number_of(text)) is None else value
            for text, row in sorted(values, key=lambda item: number_of(item[0]) or 0.0)
        }
        unnumbered = [text for text, _ in values if number_of(text) is None]
        named = {beyond: ", ".join(unnumbered)} if unnumbered else {}
        series = [
            _across(table, sorted((x, (row, column)) for row, x in places.items()), column)
            for column in table.columns
        ]
        head = SUITES[table.suite].rows[-1]
        shown = names.key(values[0][1])[:-1]
        symbol = setting[-1] if head == "value" else head
        if panel := sweep(" ".join(shown) or symbol, series, x_title=symbol, named=named):
            panels.append(panel)
    return panels


def curves(table: Table, names: Names, ident: str) -> list[Group]:
    """Accuracy on validation by epoch: for each column a panel for each row, mean and spread over seeds."""
    groups = []
    for number, column in enumerate(table.columns):
        series = [_curve(table, row, column, names(row)) for row in table.rows]
        panels = highlighted(series, x_title="epoch", unit=" %", ident=f"{ident}-curves-{number}")
        if panels:
            groups.append(Group(column, tuple(panels)))
    return groups


def _curve(table: Table, row: Row, column: str, name: str) -> Series:
    by_epoch: dict[int, list[float]] = {}
    for entry in _finished(table, row, column):
        for record in entry.result["epochs"]:  # type: ignore[index]  # finished: there is a result
            if "validation" in record:
                by_epoch.setdefault(record["epoch"], []).append(100 * record["validation"]["accuracy"])
    moments = [mean_and_spread(values) for _, values in sorted(by_epoch.items())]
    return Series(
        name,
        sorted(by_epoch),
        [mean for mean, _ in moments],
        [spread for _, spread in moments],
    )


def confusions(table: Table, names: Names) -> list[Group]:
    """For each column the confusion matrix of each row, the counts of all seeds added up."""
    groups = []
    for column in table.columns:
        matrices = []
        for row in table.rows:
            results = [entry.result for entry in _finished(table, row, column) if entry.result]
            measured = [_measured(result) for result in results if measured_split(result)]
            if measured:
                found = add_up(names(row), results[0]["class_names"], measured)
                matrices.append(found)
        if matrices:
            groups.append(Group(column, matrices=tuple(matrices)))
    return groups


def _measured(result: Mapping[str, Any]) -> Mapping[str, Any]:
    found = result["evaluation"][measured_split(result)]
    return found.get("true", found["given"])


def _finished(table: Table, row: Row, column: str) -> list[Entry]:
    entries = table.spot(row, column).entries
    return [entries[seed] for seed in sorted(entries) if entries[seed].result is not None]


def detection(table: Table, names: Names, path: Path, ident: str) -> Detection:
    """ROC and precision–recall curves of the scores of each row, from the run folders that are kept.

    Args:
        path: the benchmark's folder.
    """
    # A cell may stand in several rows; it is read once.
    read: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    unread: dict[str, str] = {}
    for entry in table.entries():
        if entry.result is not None and entry.cell.name not in read:
            try:
                read[entry.cell.name] = _curves_of(entry, path)
            except SelfcureError as error:
                unread[entry.cell.name] = str(error)
    found: dict[tuple[Row, str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    for column in table.columns:
        for row in table.rows:
            for entry in _finished(table, row, column):
                for name, pair in read.get(entry.cell.name, {}).items():
                    found.setdefault((row, column, name), []).append(pair)
    groups = []
    for number, column in enumerate(table.columns):
        parts = []
        for which, (title, x_title) in enumerate((("ROC", "false positive rate"), ("Precision", "recall"))):
            for score, name in _SCORES.items():
                series = [
                    _mean_curve(names(row), [pair[which] for pair in found[row, column, score]])
                    for row in table.rows
                    if (row, column, score) in found
                ]
                panels = highlighted(
                    series,
                    x_title=x_title,
                    ident=f"{ident}-{score.replace('_', '-')}-{number}-{which}",
                    x=share_axis(x_title),
                    y=share_axis(""),
                    unit="",
                )
                if panels:
                    parts.append(Group(f"{title}, by {name}", tuple(panels)))
        if parts:
            groups.append(Group(column, parts=tuple(parts)))
    return Detection(tuple(groups), len(read), tuple(sorted(Counter(unread.values()).items())))


def _curves_of(entry: Entry, path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Score → its two curves, of a finished cell; empty where no label is known to be wrong.

    Raises:
        SelfcureError: why there are none; the same words for all cells that lack the same.
    """
    folder = Bench(path).folder(entry.cell) / "run"
    if not folder.is_dir():
        raise SelfcureError("no run folder")
    run = RunFolder(folder)
    if not any(run.path.glob("evidence/epoch-*.parquet")):
        raise SelfcureError("no evidence kept")
    places = [Path(run.document["dataset"]["path"])]
    if entry.cell.data.kind != "source":
        places.insert(0, path / "data" / entry.cell.data.name)
    # Only the last epoch's evidence, which every finished cell keeps: whatever was kept, the page is the same.
    ending = read_ending(run, places, all_epochs=False)
    if ending.dataset is None:
        raise SelfcureError("no dataset folder, so the truth is not known")
    if ending.wrong is None:
        return {}
    known = ending.truth >= 0  # type: ignore[operator]  # there is a truth where there are wrong labels
    curves = {
        name: detection_curves(ending.wrong[known], score[known])
        for name, score in ending.suspicions().items()
    }
    return {name: pair for name, pair in curves.items() if pair is not None}


def _mean_curve(name: str, curves: Sequence[np.ndarray]) -> Series:
    moments = [mean_and_spread(values.tolist()) for values in np.stack(curves, axis=1)]
    return Series(name, GRID.tolist(), [mean for mean, _ in moments], [spread for _, spread in moments])
