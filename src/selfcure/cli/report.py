"""``selfcure report``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from selfcure.cli.output import Flag, errors, one_line, print_json


def report(
    folders: Annotated[list[Path], Parameter(metavar="BENCH|RUN")],
    /,
    *,
    out: Annotated[list[Path], Parameter(negative=(), metavar="FILE")],
    data: Path | None = None,
    json: Flag = False,
) -> None:
    """Show what a benchmark or runs came to, on one page that needs no network, or as Markdown or CSV.

    Of a benchmark: every table with its spread over seeds and the published numbers, sweeps, curves, confusion, how
    wrong labels are found, and the exact commands. Of runs: curves, importance, the least trusted images, and, of
    several runs on the same images, what each makes of them.

    Parameters
    ----------
    folders
        A benchmark's folder, or one or more run folders.
    out
        File to write: .html, .md or .csv; repeatable.
    data
        The dataset folder of the runs, if it was moved.
    json
        Print one JSON object.
    """
    from selfcure.report.api import write_report

    found = write_report(folders, out, data=data)
    if json:
        print_json(found)
        return
    if found["kind"] == "benchmark":
        errors.print(
            f"{found['cells']} cells: "
            + ", ".join(f"{num} {state}" for state, num in found["states"].items()),
            soft_wrap=True,
        )
    for note in found.get("notes", ()):
        errors.print(one_line(note), soft_wrap=True)
    for file in found["files"]:
        print(one_line(file))
