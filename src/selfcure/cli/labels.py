"""``selfcure labels``."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from selfcure.cli.output import errors, print_json

app = App(name="labels", help="What a run found out about every label.")


@app.command
def export(run: Path, /, *, out: Path, json: Annotated[bool, Parameter(negative=())] = False) -> None:
    """Write one row per training sample: id, original, current and suggested label, importance, confidence, suspicion.

    Parameters
    ----------
    run
        Run folder, finished or not.
    out
        A .parquet or .csv file.
    json
        Print the counts as one JSON object.
    """
    import pyarrow.compute as pc

    from selfcure.labels import export_labels

    rows = export_labels(run, out)
    changed = pc.sum(pc.not_equal(*(rows[c].cast("string") for c in ("original", "current")))).as_py()
    doubted = pc.sum(pc.not_equal(*(rows[c].cast("string") for c in ("original", "suggested")))).as_py()
    if json:
        print_json(
            {"out": str(out), "num_samples": len(rows), "num_changed": changed, "num_suggested": doubted}
        )
        return
    errors.print(
        f"{out}: {len(rows):,} samples; {changed:,} labels changed in training, {doubted:,} suggestions differ from the "
        "original label",
        soft_wrap=True,
    )
