"""A benchmark's tables as what a page shows. Every mean is :mod:`selfcure.benchmark.results`'s own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from markupsafe import Markup

from selfcure.benchmark.results import (
    Entry,
    Spot,
    Table,
    headline,
    mean_and_spread,
    measured_split,
    paired_test,
)
from selfcure.benchmark.suites import SUITES, Suite
from selfcure.report.names import Names, Row
from selfcure.report.numbers import (
    ACCURACY,
    OTHER_MEASURES,
    SHORT_TITLES,
    difference_text,
    mean_text,
    means,
    number,
    state_of,
)
from selfcure.report.svg import Axis, strip
from selfcure.report.verdicts import Verdict, verdict


@dataclass(frozen=True)
class SeedLine:
    """One seed of a cell of the table."""

    seed: int
    value: str
    difference: str


@dataclass(frozen=True)
class CellView:
    """A cell of the table of accuracies."""

    value: str = ""
    spread: str = ""
    num: int = 0
    status: str = ""
    """In place of a value: failed, not run, not finished, or a dash."""
    best: bool = False
    difference: str = ""
    p: str = ""
    tone: str = ""
    """up, down or nothing: the sign of the difference, where all seeds agree on it."""
    strip: Markup = field(default_factory=Markup)
    seeds: tuple[SeedLine, ...] = ()


@dataclass(frozen=True)
class PublishedValue:
    """A published number and where it is from."""

    text: str
    source: str


@dataclass(frozen=True)
class RowView:
    """A row of the table of accuracies."""

    key: Row
    """The parts of its heading."""
    name: str
    cells: tuple[CellView, ...]
    is_baseline: bool
    published: tuple[PublishedValue, ...] = ()


@dataclass(frozen=True)
class MeasureTable:
    """All other measures of one column: rows by measures."""

    column: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Problem:
    """A cell without a result."""

    name: str
    state: str
    reason: str


@dataclass(frozen=True)
class TableView:
    """One suite's table of one dataset."""

    ident: str
    suite: str
    what: str
    group: str
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[RowView, ...]
    baseline: str
    published_head: str
    published_rows: tuple[tuple[Row, tuple[tuple[PublishedValue, ...], ...]], ...]
    notes: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    summary: str
    """On what, in a line."""
    facts: tuple[tuple[str, str], ...]
    measures: tuple[MeasureTable, ...]
    problems: tuple[Problem, ...]
    num_cells: int
    num_done: int
    accuracy_of: str
    """Which split and labels the accuracy is of."""
    table: Table
    names: Names


def view(tables: Sequence[Table]) -> list[TableView]:
    """The tables in their order."""
    views = []
    # In the order of the paper's tables, the main question first.
    tables = sorted(tables, key=lambda table: list(SUITES).index(table.suite))
    for name, group in groupby(tables, key=lambda table: table.suite):
        for index, table in enumerate(group):
            views.append(_view(table, SUITES[name], f"{name}-{index}"))
    return views


def _view(table: Table, suite: Suite, ident: str) -> TableView:
    published, published_rows = suite.published(table), suite.published_rows(table)
    names = Names(suite.rows, [*table.rows, *(row for row, _ in published_rows)])
    axis = _axis(table)
    best = {column: _best(table, column) for column in table.columns}
    rows = []
    for index, row in enumerate(table.rows):
        cells = tuple(_cell(table, row, column, axis, row in best[column]) for column in table.columns)
        texts = _published(published[1][index]) if published else ()
        rows.append(RowView(names.key(row), names(row), cells, row in table.baselines.values(), texts))
    entries = {entry.cell.name: entry for entry in table.entries()}
    results = [entry.result for entry in entries.values() if entry.result is not None]
    return TableView(
        ident=ident,
        suite=table.suite,
        what=suite.what,
        group=table.group,
        heads=tuple(suite.rows[k] for k in names.kept),
        columns=tuple(table.columns),
        rows=tuple(rows),
        baseline=" / ".join(sorted({names(row) for row in table.baselines.values()})),
        published_head=published[0] if published else "",
        published_rows=tuple(
            (names.key(row), tuple(_published(text) for text in texts)) for row, texts in published_rows
        ),
        notes=suite.notes,
        verdicts=tuple(said for column in table.columns if (said := verdict(table, column, names))),
        summary=_summary(entries.values(), results),
        facts=(
            *((head.capitalize(), part) for head, part in names.common),
            *_facts(entries.values(), results),
        ),
        measures=tuple(found for column in table.columns if (found := _measures(table, column, names))),
        problems=_problems(entries.values()),
        num_cells=len(entries),
        num_done=len(results),
        accuracy_of=_accuracy_of(results),
        table=table,
        names=names,
    )


def _axis(table: Table) -> Axis:
    """One scale for the strips of a table, so that all its cells can be compared by eye."""
    values = []
    for spot in table.spots.values():
        if found := list(spot.values(ACCURACY).values()):
            mean, spread = mean_and_spread(found)
            values += [*found, mean - (spread or 0), mean + (spread or 0)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    return Axis(low, high if high > low else low + 1e-6)


def _best(table: Table, column: str) -> list[Row]:
    """Rows with the highest mean; none where there is no other to beat."""
    found = means(table, column)
    if len(found) < 2:
        return []
    return [row for row, mean in found.items() if mean == max(found.values())]


def _cell(table: Table, row: Row, column: str, axis: Axis, best: bool) -> CellView:
    spot = table.spot(row, column)
    values = spot.values(ACCURACY)
    if not values:
        return CellView(status=_status(spot))
    mean, spread = mean_and_spread(list(values.values()))
    differences = table.difference(row, column, ACCURACY)
    by_seed = _differences_by_seed(table, row, column)
    p = paired_test(differences)
    return CellView(
        value=number(mean, ACCURACY),
        spread="" if spread is None else number(spread, ACCURACY),
        num=len(values),
        best=best,
        difference=difference_text(differences),
        p="" if p is None else f"p = {p:.2g}",
        tone=_tone(differences),
        strip=strip(list(values.values()), mean, spread, axis),
        seeds=tuple(
            SeedLine(
                seed, number(value, ACCURACY), number(by_seed[seed], ACCURACY, "+") if seed in by_seed else ""
            )
            for seed, value in values.items()
        ),
    )


def _status(spot: Spot) -> str:
    states = sorted({state_of(entry) for entry in spot.entries.values()} - {"done"})
    return " / ".join(states) or "–"


def _differences_by_seed(table: Table, row: Row, column: str) -> dict[int, float]:
    """Seed → row minus its baseline, as :meth:`Table.difference` takes them."""
    baseline = table.baselines.get(row)
    theirs = table.spot(baseline, column).values(ACCURACY) if baseline else {}
    seeds = [seed for seed in table.spot(row, column).values(ACCURACY) if seed in theirs]
    return dict(zip(seeds, table.difference(row, column, ACCURACY), strict=True))


def _tone(differences: Sequence[float]) -> str:
    if len(differences) < 2:
        return ""
    return "up" if min(differences, default=0) > 0 else "down" if max(differences, default=0) < 0 else "mixed"


def _measures(table: Table, column: str, names: Names) -> MeasureTable | None:
    known = [
        measure
        for measure in sorted(OTHER_MEASURES, key=lambda m: list(SHORT_TITLES).index(m.name))
        if any(table.spot(row, column).values(measure) for row in table.rows)
    ]
    if not known:
        return None
    rows = []
    num_seeds = len({entry.cell.seed for entry in table.entries()})
    for row in table.rows:
        spot = table.spot(row, column)
        rows.append(
            (names(row), tuple(mean_text(list(spot.values(m).values()), m, num_seeds) for m in known))
        )
    return MeasureTable(column, tuple(SHORT_TITLES[m.name] for m in known), tuple(rows))


def _problems(entries: Any) -> tuple[Problem, ...]:
    found = []
    for entry in entries:
        state = state_of(entry)
        if state != "done":
            reason = entry.failed.partition(": ")[2] or "left to do, or being worked on"
            found.append(Problem(entry.cell.name, state, reason))
    order = ["failed", "not run", "not finished"]
    return tuple(sorted(found, key=lambda problem: (order.index(problem.state), problem.name)))


def _published(text: str) -> tuple[PublishedValue, ...]:
    """The numbers of a published cell, each with its source.

    >>> _published("77.15 / 71.88 (scratch; recalled); 83.39 (pretrained; other paper)")[1]
    PublishedValue(text='83.39', source='pretrained; other paper')
    >>> _published("–")
    ()
    """
    return tuple(PublishedValue(*found) for found in re.findall(r"(\d[\d./ ]*?) \(([^)]*)\)", text))


def _accuracy_of(results: Sequence[Any]) -> str:
    splits = sorted({measured_split(result) for result in results} - {""})
    labels = {
        "true" if "true" in result["evaluation"][measured_split(result)] else "given"
        for result in results
        if headline(result) is not None
    }
    if not splits:
        return "no split to measure on"
    return f"{' / '.join(splits)} split against its {' / '.join(sorted(labels))} labels"


def _summary(entries: Any, results: Sequence[Any]) -> str:
    """Seeds, data and training in a line."""
    num_seeds = len({entry.cell.seed for entry in entries})
    parts = [f"{num_seeds} seed{'s' if num_seeds > 1 else ''}"]
    if results:
        sizes = sorted({result["num_samples"] for result in results})
        parts.append(f"{' / '.join(f'{size:,}' for size in sizes)} training images")
        for name, unit in (("image_size_px", " px"), ("num_epochs", " epochs")):
            found = sorted({result["config"][name] for result in results})
            parts.append(f"{' / '.join(map(str, found))}{unit}")
        parts.append(f"accuracy on the {_accuracy_of(results)}")
    return " · ".join(parts)


def _facts(entries: Any, results: Sequence[Any]) -> tuple[tuple[str, str], ...]:
    """What all cells have in common, as far as they agree."""
    entries = list(entries)
    facts = {
        "Seeds": [str(seed) for seed in sorted({entry.cell.seed for entry in entries})],
        "Training images": sorted({f"{result['num_samples']:,}" for result in results}),
        "Network": sorted({result["config"]["backbone"] for result in results}),
        "Image size": sorted({f"{result['config']['image_size_px']} px" for result in results}),
        "Epochs": sorted({str(result["config"]["num_epochs"]) for result in results}),
        "Batch": sorted({str(result["config"].get("batch_size", "")) for result in results} - {""}),
        "Weights measured": sorted({result["weights"] for result in results}),
        "Started from": sorted({_start(entry) for entry in entries}),
        "Computed on": sorted(
            {result["environment"]["gpu"] or result["environment"]["cpu"] for result in results}
        ),
    }
    return tuple((name, " / ".join(values)) for name, values in facts.items() if values)


def _start(entry: Entry) -> str:
    weights = entry.cell.weights
    if not weights:
        return "needs weights" if entry.cell.not_run else "scratch"
    return "another cell's weights" if entry.cell.after else weights.removeprefix("file:")
