"""``selfcure labels``."""

from pathlib import Path

from cyclopts import App

from selfcure.cli.output import Flag, console, counting, errors, one_line, print_json, print_table, table
from selfcure.errors import SelfcureError

app = App(name="labels", help="What a run found out about every label.", help_epilogue="", sort_key=4)


@app.command
def export(
    run: Path,
    /,
    *,
    out: Path,
    reviewed: Flag = False,
    format: str | None = None,
    data: Path | None = None,
    json: Flag = False,
) -> None:
    """Write one row per training sample: id, original, current and suggested label, importance, confidence, suspicion.

    importance: how far SCN trusts the label, 0 to 1. suspicion: how likely it is wrong, 0 to 1. confidence: how sure
    the network is of the suggested label, 0 to 1.

    With --reviewed: the labels as 'selfcure review' left them, by default as a new dataset folder to train on.
    Rejected images are left out; faces that reviewers disagree about stay as given.

    Parameters
    ----------
    run
        Run folder, finished or not.
    out
        A .parquet or .csv file; with --reviewed the folder or file to make.
    reviewed
        Export what reviewers decided.
    format
        With --reviewed: dataset (default), csv, parquet, cleanlab, fiftyone, labelstudio.
    data
        With --reviewed: the dataset folder that the run was trained on, if it was moved.
    json
        Print the counts as one JSON object.
    """
    if reviewed:
        _export_reviewed(run, out, format, data, json)
        return
    if format is not None or data is not None:
        raise SelfcureError("--format and --data go with --reviewed")
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


@app.command
def diff(a: Path, b: Path, /, *, out: Path | None = None, json: Flag = False) -> None:
    """Show what changed between two versions of the labels, sample by sample.

    Parameters
    ----------
    a, b
        Each a dataset folder, a run folder (its labels after training) or a table as 'labels export' writes it.
    out
        A .csv file to write the samples that differ to.
    json
        Print the counts as one JSON object.
    """
    from selfcure.review.difference import diff_labels

    found = diff_labels(a, b)
    if out is not None:
        found.write(out)
    if json:
        print_json({"a": str(a), "b": str(b), **found.summary()})
        return
    rows = table("from → to", "samples")
    for (before, after), num in found.pairs:
        rows.add_row(one_line(f"{before} → {after}"), f"{num:,}")
    print_table(rows, f"{len(found.changed):,} labels changed, {found.num_same:,} the same")
    for name, only in (("the first", found.only_a), ("the second", found.only_b)):
        if only:
            console.print(f"{len(only):,} samples are in {name} alone")


def _export_reviewed(run: Path, out: Path, format: str | None, data: Path | None, json: bool) -> None:
    from selfcure.review.export import export_reviewed

    chosen = format or {".csv": "csv", ".parquet": "parquet"}.get(out.suffix, "dataset")
    with counting("exporting") as progress:
        counts = export_reviewed(run, out, format=chosen, data=data, progress=progress)
    if json:
        print_json(counts)
        return
    errors.print(
        f"{one_line(str(out))}: {counts['decided']:,} labels reviewed: {counts['relabelled']:,} changed, {counts['soft']:,} soft, "
        f"{counts['rejected']:,} images rejected",
        soft_wrap=True,
    )
    if counts["disputed"]:
        errors.print(
            f"{counts['disputed']:,} disputed, left as given; settle them with 'selfcure review'",
            soft_wrap=True,
        )
    if counts["unknown"]:
        errors.print(f"{counts['unknown']:,} decisions are on samples that are gone", soft_wrap=True)
