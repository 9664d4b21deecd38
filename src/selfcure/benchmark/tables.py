"""The tables of a benchmark as Markdown and CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from selfcure.benchmark.published import Column
from selfcure.benchmark.results import (
    MEASURES,
    Measure,
    Table,
    mean_and_spread,
    measured_split,
    paired_test,
)
from selfcure.benchmark.suites import SUITES, Suite


def markdown(tables: Sequence[Table]) -> str:
    """All tables, suite by suite."""
    parts = []
    for name, group in groupby(tables, key=lambda table: table.suite):
        suite = SUITES[name]
        parts.append(f"# {name}: {suite.what}")
        for table in group:
            parts += _section(suite, table)
    return "\n\n".join(parts) + "\n"


def _section(suite: Suite, table: Table) -> Iterator[str]:
    yield f"## {table.group}"
    yield _caption(suite, table)
    for measure in MEASURES:
        known = any(spot.values(measure) for spot in table.spots.values())
        if not known and measure.name != "accuracy":
            continue
        yield f"**{measure.title}**" + (", %" if measure.percent else "")
        cells = [[_value(table, row, column, measure) for column in table.columns] for row in table.rows]
        if measure.name == "accuracy":
            below = suite.published_rows(table)
            rows = [*table.rows, *(row for row, _ in below)]
            yield _grid(suite, table, rows, [*cells, *(texts for _, texts in below)], suite.published(table))
        else:
            yield _grid(suite, table, table.rows, cells)
        if measure.compared and table.baselines:
            rows = [row for row in table.rows if row in table.baselines]
            cells = [[_difference(table, row, column, measure) for column in table.columns] for row in rows]
            yield f"**{measure.title}: difference to {_baseline_names(table)} on the same seeds**, points"
            yield _grid(suite, table, rows, cells)
    if problems := _problems(table):
        yield "Not in the tables:"
        yield "\n".join(problems)
    if suite.notes:
        yield "\n".join(f"- {note}" for note in suite.notes)


def _problems(table: Table) -> list[str]:
    """What failed, cell by cell, and what was not run, by reason."""
    failed = {entry.cell.name: entry.failed for entry in table.entries() if entry.failed.startswith("failed")}
    lines = [f"- {name.partition('/')[2]}: {reason}" for name, reason in sorted(failed.items())]
    not_run: dict[str, set[str]] = {}
    for entry in table.entries():
        if entry.failed.startswith("not run"):
            not_run.setdefault(entry.failed, set()).add(entry.cell.name)
    return [*lines, *(f"- {reason}: {len(names)} cells" for reason, names in sorted(not_run.items()))]


def _caption(suite: Suite, table: Table) -> str:
    results = [entry.result for entry in table.entries() if entry.result is not None]
    num = len({entry.cell.name for entry in table.entries()})
    done = len({entry.cell.name for entry in table.entries() if entry.result is not None})
    text = [f"{done} of {num} cells. Mean ± standard deviation over seeds (n)."]
    if results:
        splits = sorted({measured_split(result) for result in results} - {""})
        truth = {
            "true" if "true" in result["evaluation"][measured_split(result)] else "given"
            for result in results
            if measured_split(result)
        }
        weights = sorted({result["weights"] for result in results})
        text.append(
            f"Accuracy on the split {' / '.join(splits) or '–'} against its {' / '.join(sorted(truth)) or '–'} labels, "
            f"with the weights of {' / '.join(weights)}."
        )
        text.append(_setting(results))
    return " ".join(text)


def _setting(results: Sequence[Any]) -> str:
    """What all cells were trained with, as far as they agree."""
    configs = [result["config"] for result in results]

    def common(name: str, unit: str = "") -> str:
        found = sorted({str(config[name]) for config in configs})
        return f"{' / '.join(found)}{unit}"

    sizes = sorted({result["num_samples"] for result in results})
    machines = sorted({result["environment"]["gpu"] or result["environment"]["cpu"] for result in results})
    return (
        f"{common('backbone')}, {common('image_size_px', ' px')}, {common('num_epochs', ' epochs')}, "
        f"{' / '.join(f'{size:,}' for size in sizes)} training images. Computed on {' / '.join(machines)}."
    )


def _grid(
    suite: Suite,
    table: Table,
    rows: Sequence[tuple[str, ...]],
    cells: Sequence[Sequence[str]],
    extra: Column | None = None,
) -> str:
    head = [*suite.rows, *table.columns, *([extra[0]] if extra else [])]
    lines = [head, ["---"] * len(suite.rows) + ["--:"] * len(table.columns) + ["---"] * bool(extra)]
    for index, (row, texts) in enumerate(zip(rows, cells, strict=True)):
        lines.append([*row, *texts, *([extra[1][index]] if extra else [])])
    return "\n".join(f"| {' | '.join(_escape(text) for text in line)} |" for line in lines)


def _value(table: Table, row: tuple[str, ...], column: str, measure: Measure) -> str:
    spot = table.spot(row, column)
    values = list(spot.values(measure).values())
    if not values:
        failed = {entry.failed.partition(":")[0] for entry in spot.entries.values()} - {""}
        return " / ".join(sorted(failed)) if failed and measure.name == "accuracy" else "–"
    mean, spread = mean_and_spread(values)
    return _number(mean, spread, len(values), measure)


def _number(mean: float, spread: float | None, num: int, measure: Measure, *, signed: bool = False) -> str:
    scale, digits = (100, 2) if measure.percent else (1, 3)
    text = f"{scale * mean:{'+' if signed else ''}.{digits}f}"
    if spread is not None:
        text += f" ± {scale * spread:.{digits}f}"
    return f"{text} ({num})"


def _difference(table: Table, row: tuple[str, ...], column: str, measure: Measure) -> str:
    differences = table.difference(row, column, measure)
    if not differences:
        return "–"
    mean, spread = mean_and_spread(differences)
    text = _number(mean, spread, len(differences), measure, signed=True)
    p = paired_test(differences)
    return text if p is None else f"{text}, p = {p:.2g}"


def _baseline_names(table: Table) -> str:
    return " / ".join(sorted({" ".join(row) for row in table.baselines.values()}))


def _escape(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


CSV_COLUMNS = (
    "suite",
    "data",
    "row",
    "column",
    "measure",
    "n",
    "mean",
    "sd",
    "values",
    "difference_n",
    "difference_mean",
    "difference_sd",
    "p",
    "status",
)


def as_csv(tables: Sequence[Table]) -> str:
    """One line for each row, column and measure; ``values`` are by rising seed. A paired p needs five seeds."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in tables:
        for row in table.rows:
            for column in table.columns:
                for measure in MEASURES:
                    if line := _csv_line(table, row, column, measure):
                        writer.writerow(line)
    return buffer.getvalue()


def _csv_line(table: Table, row: tuple[str, ...], column: str, measure: Measure) -> list[Any]:
    spot = table.spot(row, column)
    values = list(spot.values(measure).values())
    if not values and (measure.name != "accuracy" or not spot.entries):
        return []
    mean, spread = mean_and_spread(values) if values else ("", "")
    differences = table.difference(row, column, measure) if measure.compared else []
    compared: list[Any] = ["", "", "", ""]
    if differences:
        p = paired_test(differences)
        compared = [len(differences), *mean_and_spread(differences), "" if p is None else p]
    status = "; ".join(sorted({entry.failed for entry in spot.entries.values() if entry.failed}))
    return [
        table.suite,
        table.group,
        " ".join(row),
        column,
        measure.name,
        len(values),
        mean,
        "" if spread is None else spread,
        " ".join(map(repr, values)),
        *["" if value is None else value for value in compared],
        status,
    ]
