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
    the network is of the suggested label, 0 to 1. wrong_prob, wrong_prob_after: of 'cure', P(label wrong) of the original
    and of the current label.

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
    from dataclasses import asdict

    from selfcure.labels import expected_errors, export_labels

    rows = export_labels(run, out)
    names = ("original", "current", "suggested")
    original, current, suggested = (rows[name].combine_chunks().indices.to_numpy() for name in names)
    changed, doubted = int((current != original).sum()), int((suggested != original).sum())
    expected = expected_errors(rows)
    if json:
        counts = {"out": str(out), "num_samples": len(rows), "num_changed": changed, "num_suggested": doubted}
        print_json(counts | ({"expected_wrong": asdict(expected)} if expected else {}))
        return
    errors.print(
        f"{one_line(str(out))}: {len(rows):,} samples; {changed:,} labels changed in training, {doubted:,} suggestions differ from the "
        "original label",
        soft_wrap=True,
    )
    if expected:
        errors.print(
            f"by the run's own P(label wrong) {expected.before:,.0f} labels were wrong at first and {expected.after:,.0f} are now; "
            f"the {expected.num_worst:,} most doubtful hold {expected.among_worst:,.0f} of these",
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


@app.command
def detect(
    probs: Path,
    labels: Path,
    /,
    *,
    out: Path,
    features: Path | None = None,
    truth: Path | None = None,
    classes: str | None = None,
    json: Flag = False,
) -> None:
    """Score given labels by any model's saved predictions: P(label wrong), margin, neighbours, cleanlab's scores.

    Best are predictions on samples that the model was not trained on, or those of every epoch.

    Parameters
    ----------
    probs
        .npy or .npz of probabilities [samples, classes], or over time [epochs, samples, classes].
    labels
        The given labels: .npy, .npz, or .csv (its column 'label', or its only one); numbers from 0 on, or with --classes
        names.
    out
        A .csv or .parquet file.
    features
        .npy or .npz of features [samples, size], for the agreement of nearest neighbours.
    truth
        True labels, as the given ones: prints how well each score finds the wrong ones.
    classes
        Names of the classes in the order of their numbers, with commas between.
    json
        Print one JSON object.
    """
    from selfcure.cli.arrays import load_array, load_labels
    from selfcure.detection import detect as run_detection
    from selfcure.labels import check_table_name, write_table

    check_table_name(out)
    names = tuple(name.strip() for name in classes.split(",")) if classes else None
    given = load_labels(labels, names)
    found = run_detection(
        given,
        load_array(probs, "probs"),
        None if features is None else load_array(features, "features"),
        class_names=names,
    )
    comparison = None if truth is None else found.compare(given != load_labels(truth, names, num=len(given)))
    write_table(found.table(), out)
    num_suggested = int((found.suggested_label != found.labels).sum())
    num_wrong = float(found.wrong_prob.sum())
    if json:
        scores = (
            {} if comparison is None else {"num_wrong": comparison.num_wrong, "scores": comparison.scores}
        )
        print_json(
            {
                "out": str(out),
                "num_samples": len(found),
                "num_suggested": num_suggested,
                "expected_wrong": num_wrong,
                "has_cleanlab": found.cleanlab_self_confidence is not None,
                **scores,
            }
        )
        return
    errors.print(
        f"{one_line(str(out))}: {len(found):,} labels, about {num_wrong:,.0f} of them wrong (by the model's own confidence, not "
        f"checked against any truth); {num_suggested:,} suggestions differ from the given label",
        soft_wrap=True,
    )
    if found.cleanlab_self_confidence is None:
        errors.print(
            "no scores of cleanlab: it is not installed (pip install 'selfcure[cleanlab]')", soft_wrap=True
        )
    if comparison is not None:
        rows = table("score", "AUROC", "average precision")
        for name, values in comparison.scores.items():
            rows.add_row(name, f"{values['auroc']:.3f}", f"{values['average_precision']:.3f}")
        print_table(rows, f"{comparison.num_wrong:,} of {comparison.num_samples:,} labels are wrong")


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
