"""``selfcure demo``."""

from contextlib import ExitStack
from pathlib import Path

from selfcure.cli.mistakes import go_on_with
from selfcure.cli.output import Flag, counting, errors, one_line, percent, print_json, print_table
from selfcure.cli.progress import TrainingProgress
from selfcure.cli.tables import results


def demo(*, out: Path = Path("selfcure-demo"), json: Flag = False) -> None:
    """Synthetic faces with planted label errors: plain training, SCN and cure, a table and pictures, in minutes.

    Parameters
    ----------
    out
        Folder for the faces, both runs and the pictures. Repeat the command to finish an interrupted demo.
    json
        Print the result as one JSON object.
    """
    from selfcure.demo import run_demo

    with ExitStack() as stack, go_on_with(["selfcure", "demo", "--out", str(out)], begun=out.exists):
        drawing = stack.enter_context(counting("drawing faces"))

        def reporter(method: str) -> TrainingProgress:
            stack.close()  # the bar of the stage before
            return stack.enter_context(TrainingProgress(method))

        result = run_demo(out, reporter=reporter, drawing=drawing)
    if json:
        print_json(result)
        return
    faces = result["data"]
    title = f"{faces['num']:,} synthetic faces, {percent(faces['wrong'])} wrong labels planted"
    print_table(results(result["methods"]), title)
    errors.print("\npictures:")
    for picture in result["pictures"]:
        errors.print(f"  {one_line(picture)}", soft_wrap=True)
