"""``selfcure labels``."""

from pathlib import Path

from cyclopts import App

from selfcure.cli.output import Flag, errors, one_line, print_json

app = App(name="labels", help="What a run found out about every label.", help_epilogue="", sort_key=4)


@app.command
def export(run: Path, /, *, out: Path, json: Flag = False) -> None:
    """Write one row per training sample: id, original, current and suggested label, importance, confidence, suspicion.

    importance: how far SCN trusts the label, 0 to 1. suspicion: how likely it is wrong, 0 to 1. confidence: how sure
    the network is of the suggested label, 0 to 1.

    Parameters
    ----------
    run
        Run folder, finished or not.
    out
        A .parquet or .csv file.
    json
        Print the counts as one JSON object.
    """
    from selfcure.labels import export_labels

    rows = export_labels(run, out)
    names = ("original", "current", "suggested")
    original, current, suggested = (rows[name].combine_chunks().indices.to_numpy() for name in names)
    changed, doubted = int((current != original).sum()), int((suggested != original).sum())
    if json:
        print_json(
            {"out": str(out), "num_samples": len(rows), "num_changed": changed, "num_suggested": doubted}
        )
        return
    errors.print(
        f"{one_line(str(out))}: {len(rows):,} samples; {changed:,} labels changed in training, {doubted:,} suggestions differ from the "
        "original label",
        soft_wrap=True,
    )
