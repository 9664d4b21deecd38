"""``selfcure demo``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from selfcure.cli.output import TrainingProgress, console, counting, errors, percent, print_json, table


def demo(*, out: Path = Path("selfcure-demo"), json: Annotated[bool, Parameter(negative=())] = False) -> None:
    """Synthetic faces with planted label errors: plain training beside SCN, a table and pictures, in minutes.

    Parameters
    ----------
    out
        Folder for the faces, both runs and the pictures. Repeat the command to finish an interrupted demo.
    json
        Print the result as one JSON object.
    """
    from contextlib import ExitStack

    from selfcure.demo import run_demo
    from selfcure.training.interrupt import Interrupted

    with ExitStack() as stack:
        drawing = stack.enter_context(counting("drawing faces"))

        def reporter(method: str) -> TrainingProgress:
            stack.close()  # the bar of the stage before
            return stack.enter_context(TrainingProgress(method))

        try:
            result = run_demo(out, reporter=reporter, drawing=drawing)
        except Interrupted as stop:
            raise Interrupted(f"{stop}; go on with: selfcure demo --out {out}") from None
    if json:
        print_json(result)
        return
    columns = table("", *result["methods"])
    columns.title = (
        f"{result['data']['num']:,} synthetic faces, {percent(result['data']['wrong'])} wrong labels planted"
    )
    for name, cell in _ROWS.items():
        columns.add_row(name, *(cell(row) for row in result["methods"].values()))
    console.print(columns)
    errors.print("\npictures: " + "  ".join(result["pictures"]), soft_wrap=True)


def _auroc(row: dict, score: str) -> str:
    return f"{row['detection'][score]['auroc']:.3f}" if score in row["detection"] else "–"


_ROWS = {
    "validation accuracy": lambda row: percent(row["validation"]["accuracy"]),
    "mean class accuracy": lambda row: percent(row["validation"]["mean_class_accuracy"]),
    "training labels wrong, before": lambda row: percent(row["cure"]["noise_before"]),
    "training labels wrong, after": lambda row: percent(row["cure"]["noise_after"]),
    "wrong labels repaired": lambda row: percent(row["cure"]["repaired"]),
    "right labels broken": lambda row: percent(row["cure"]["broken"]),
    "finds wrong labels, AUROC by mean probability": lambda row: _auroc(row, "mean_given_prob"),
    "finds wrong labels, AUROC by importance": lambda row: _auroc(row, "importance"),
}
