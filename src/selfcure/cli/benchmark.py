"""``selfcure benchmark``."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from selfcure.cli.mistakes import go_on_with
from selfcure.cli.output import Flag, console, errors, one_line, percent, print_json
from selfcure.cli.progress import duration
from selfcure.cli.train import field_values
from selfcure.errors import SelfcureError

if TYPE_CHECKING:
    from selfcure.benchmark.cells import Bench, Cell


def benchmark(
    suite: str,
    /,
    *,
    data: Annotated[list[Path], Parameter(consume_multiple=True, negative=(), metavar="DIR")],
    out: Path,
    methods: str | None = None,
    recipe: str | None = None,
    seeds: int = 3,
    budget: str = "short",
    rates: str | None = None,
    num_images: int | None = None,
    weights: Annotated[list[str] | None, Parameter(negative=(), metavar="FILE")] = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative=(), metavar="FIELD=VALUE")] = None,
    jobs: int = 1,
    retry: Flag = False,
    keep: str = "results",
    dry_run: Flag = False,
    json: Flag = False,
) -> None:
    """Train methods side by side as the paper's experiments do, and tabulate them.

    Each training is a cell, with a folder and its exact commands in BENCH. Cells run in any order; the same command
    again, or at once on other machines that share BENCH, does what is left. The tables, BENCH/table.md and .csv, say
    how accurate the last epoch's weights are.

    Parameters
    ----------
    suite
        noise: methods by share of flipped labels; original: labels as they are; human: people's labels against better
        ones; ablation, gamma, margins: SCN's parts and settings; switches: SCN and cure with one setting changed;
        joint: the datasets as one; pretrain: the first dataset before the others; sota: beside published results.
    data
        Dataset folders; each gives tables of its own, but where the suite puts them together.
    out
        Folder of the benchmark, BENCH: made, or gone on with.
    methods
        Rows, separated by commas, perhaps with a recipe: plain,scn,scn:reference. By default the suite's.
    recipe
        Of the methods that name none: paper (default), reference or modern.
    seeds
        Trainings of each kind, with the seeds 0, 1, 2 …, which draw the flipped labels too.
    budget
        short (default): 8,000 images of 48 pixels, 12 epochs; paper: all images, 224 pixels, the recipe's epochs.
    rates
        Percentages of labels to flip, separated by commas: 0,30. By default the suite's.
    num_images
        Training images to draw, 0 for all. By default the budget's.
    weights
        Checkpoint that the networks start from, perhaps with its backbone: ir50=FILE; repeatable.
    set_
        Set a field of the recipe for all cells, or a method's own field for its cells: --set image_size_px=112; repeatable.
    jobs
        Cells at once, on this machine's cores and GPUs.
    retry
        Run cells that failed again.
    keep
        results (default): drop weights, checkpoints and all evidence but the last of finished cells; all: keep them.
    dry_run
        Print the plan and an estimate of the time; write nothing.
    json
        Print one JSON object.
    """
    from selfcure.benchmark.api import run_benchmark

    listener = _screen()
    again = ["selfcure", *sys.argv[1:]]
    with go_on_with(again, begun=out.exists):
        report = run_benchmark(
            suite,
            data,
            out=out,
            methods=methods.split(",") if methods is not None else None,
            recipe=recipe,
            seeds=seeds,
            budget=budget,
            rates=_shares(rates),
            num_images=num_images,
            weights=weights or [],
            settings=field_values({}, set_ or []),
            jobs=jobs,
            retry=retry,
            keep=keep,
            dry_run=dry_run,
            listener=listener,
        )
    if json:
        print_json(report)
    elif dry_run:
        _print_plan(report)
    else:
        # As it is: the table is Markdown for a file as well as for the eye.
        console.print((out / "table.md").read_text(encoding="utf-8"), end="", soft_wrap=True)


def _screen() -> Any:
    from selfcure.benchmark.api import Listener
    from selfcure.benchmark.results import headline

    class Screen(Listener):
        """A line for each cell that is settled."""

        def planned(self, *, cells: Sequence["Cell"], states: Mapping[str, str], bench: "Bench") -> None:
            errors.print(f"{bench.path}: {_counted(list(states.values()))}", soft_wrap=True)

        def settled(
            self, name: str, result: Mapping[str, Any], *, num_left: int, seconds_left: float
        ) -> None:
            if "failed" in result:
                what = f"failed: {one_line(result['failed'])}"
            else:
                what = f"{percent(headline(result)):>7}  {duration(result['wall_seconds']):>7}"
            rest = f"{num_left} left, about {duration(seconds_left)}" if num_left else "none left"
            errors.print(f"{one_line(name)}  {what}  {rest}", soft_wrap=True)

        def died(self, how: str) -> None:
            why = "; too little memory for so many --jobs?" if how == "SIGKILL" else ""
            errors.print(f"a worker was killed by {how}{why}", style="bold yellow", soft_wrap=True)

        def stopping(self) -> None:
            with suppress(RuntimeError):  # the signal came amid another write; that one goes first
                errors.print(
                    "stopping after this batch, to save it; Ctrl-C again stops at once", soft_wrap=True
                )

    return Screen()


def _counted(states: Sequence[str]) -> str:
    """How many cells there are, by state.

    >>> _counted(["done", "left", "done"])
    '3 cells: 2 done, 1 left'
    """
    counts = {name: states.count(name) for name in ("done", "failed", "not run", "running", "left")}
    parts = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"{len(states)} cells: {parts}"


def _print_plan(report: Mapping[str, Any]) -> None:
    for cell in report["cells"]:
        more = cell.get("reason") or (percent(cell["accuracy"]) if cell["state"] == "done" else "")
        console.print(f"{one_line(cell['name'])}  {cell['state']}  {one_line(more)}".rstrip(), soft_wrap=True)
    console.print(_counted([cell["state"] for cell in report["cells"]]), soft_wrap=True)
    for line in report["estimate"]["lines"]:
        console.print(line, soft_wrap=True)


def _shares(rates: str | None) -> list[float] | None:
    if rates is None:
        return None
    try:
        return [round(float(text) / 100, 6) for text in rates.split(",")]
    except ValueError:
        raise SelfcureError(
            f"--rates takes percentages separated by commas, for instance 0,30, not {rates!r}"
        ) from None
