"""The pages, from views to HTML."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from selfcure.benchmark.results import Entry, Table
from selfcure.report import bench, bench_charts, comparison, numbers, run_view
from selfcure.report.trainings import Training


def of_bench(
    path: Path, entries: Sequence[Entry], tables: Sequence[Table], commands: Mapping[str, list[str]]
) -> str:
    """A benchmark's page.

    Args:
        path: its folder, for the run folders that are kept there.
        commands: name of a cell → what does the same by hand.
    """
    views = bench.view(tables)
    sections = [
        {
            "view": view,
            "sweeps": bench_charts.sweeps(view.table, view.names, view.ident),
            "curves": bench_charts.curves(view.table, view.names, view.ident),
            "detection": bench_charts.detection(view.table, view.names, path, view.ident),
            "confusions": bench_charts.confusions(view.table, view.names),
        }
        for view in views
    ]
    return _render(
        "bench.html",
        title=path.resolve().name,
        sections=sections,
        counts=numbers.counts(entries),
        cells=[(entry, numbers.state_of(entry), commands[entry.cell.name]) for entry in entries],
        environment=_environment(entries),
    )


def of_runs(found: Sequence[Training]) -> str:
    """The page of one or more runs."""
    few = len(found) <= run_view.MOST_WITH_GALLERIES
    return _render(
        "runs.html",
        title=found[0].name if len(found) == 1 else f"{len(found)} runs side by side",
        comparison=comparison.compare(found),
        runs=[
            run_view.view(training, f"run-{number}", with_galleries=few)
            for number, training in enumerate(found)
        ],
    )


def _environment(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """Machine and versions, with all that was found where cells differ."""
    found: dict[str, set[str]] = {}
    for entry in entries:
        if entry.result is not None:
            for name, value in entry.result["environment"].items():
                found.setdefault(name.replace("_", " "), set()).add("none" if value is None else str(value))
    return [(name, " / ".join(sorted(values))) for name, values in sorted(found.items())]


@cache
def _templates() -> Environment:
    # Names of classes, files and samples come from outside: everything is escaped but what is Markup already.
    return Environment(
        loader=PackageLoader("selfcure.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)
