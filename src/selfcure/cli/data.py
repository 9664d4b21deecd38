"""``selfcure data``: import, info, noise, sample, synth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from selfcure.cli.output import console, counting, percent, print_json, table

if TYPE_CHECKING:
    from selfcure.data.folder import Dataset

app = App(name="data", help="Make, look at and corrupt dataset folders.")

Json = Annotated[bool, Parameter(negative=())]


@app.command(name="import")
def import_(
    layout: str,
    source: Path,
    /,
    *,
    out: Path,
    convention: str | None = None,
    given_labels: Path | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    true_label_column: str | None = None,
    split_column: str | None = None,
    class_names: str | None = None,
    json: Json = False,
) -> None:
    """Turn a dataset, in the layout in which it is published, into a dataset folder.

    Broken images are skipped and listed in DIR/skipped.csv. Interrupted, repeat the command to finish.

    Parameters
    ----------
    layout
        ferplus (folder or zip), fer2013 (csv of pixels), folder (a folder per class), table (csv or parquet of path
        and label).
    source
        The folder or file to read.
    out
        Dataset folder to make.
    convention
        ferplus: majority (default) or argmax of the votes.
    given_labels
        ferplus: a csv with another annotator's labels, to train on; the crowd's become the true labels.
    path_column
        table: column with the image's path.
    label_column
        table: column with the label.
    true_label_column
        table: column with the true label, if known.
    split_column
        table: column that says train, validation or test.
    class_names
        table: names of the classes 0, 1, 2 …, separated by commas.
    json
        Print the counts as one JSON object.
    """
    from selfcure.data.importing import import_dataset

    options: dict[str, Any] = {
        "convention": convention,
        "given_labels": given_labels,
        "path_column": path_column,
        "label_column": label_column,
        "true_label_column": true_label_column,
        "split_column": split_column,
        "class_names": class_names.split(",") if class_names else None,
    }
    chosen = {name: value for name, value in options.items() if value is not None}
    with counting(f"importing {source}") as progress:
        dataset = import_dataset(layout, source, out=out, progress=progress, **chosen)
    _show(dataset, json)


@app.command
def info(data: Path, /, *, json: Json = False) -> None:
    """Show what a dataset folder holds and where it came from.

    Parameters
    ----------
    data
        Dataset folder.
    json
        Print one JSON object.
    """
    from selfcure.data.folder import Dataset

    _show(Dataset(data), json)


@app.command
def noise(
    data: Path,
    /,
    *,
    out: Path,
    rate: float | None = None,
    kind: str = "symmetric",
    seed: int = 0,
    labels: str | None = None,
    json: Json = False,
) -> None:
    """Make a new dataset folder with noisy training labels; the labels before become the truth to measure against.

    Parameters
    ----------
    data
        Dataset folder to start from; it stays as it is.
    out
        Dataset folder to make.
    rate
        symmetric: share of each class whose labels are changed, 0 to 1.
    kind
        symmetric: uniformly to another class; annotator: another annotator's labels become the given ones.
    seed
        Fixes which labels change.
    labels
        annotator: a column of the dataset folder, or a csv of image and label.
    json
        Print the counts as one JSON object.
    """
    from selfcure.data.noise import add_noise

    with counting("writing") as progress:
        dataset = add_noise(data, out=out, kind=kind, rate=rate, seed=seed, labels=labels, progress=progress)
    _show(dataset, json)


@app.command
def sample(
    data: Path,
    /,
    *,
    out: Path,
    num: int,
    seed: int = 0,
    split: str = "train",
    json: Json = False,
) -> None:
    """Make a new dataset folder with a random part of one split and all of the others.

    Parameters
    ----------
    data
        Dataset folder to draw from; it stays as it is.
    out
        Dataset folder to make.
    num
        Samples to keep.
    seed
        Fixes which.
    split
        The split to draw from.
    json
        Print the counts as one JSON object.
    """
    from selfcure.data.sample import sample as call

    with counting("writing") as progress:
        dataset = call(data, out=out, num=num, seed=seed, split=split, progress=progress)
    _show(dataset, json)


@app.command
def synth(
    *,
    out: Path,
    num: int = 4000,
    num_validation: int | None = None,
    wrong: float = 0.2,
    ambiguous: float = 0.1,
    low_quality: float = 0.1,
    size: int = 64,
    seed: int = 0,
    json: Json = False,
) -> None:
    """Draw synthetic faces with 8 expressions and planted wrong labels, ambiguous and low-quality faces.

    Parameters
    ----------
    out
        Dataset folder to make.
    num
        Training images.
    num_validation
        Validation images, of other people and rightly labelled; a quarter of --num by default.
    wrong
        Share of training images with a wrong label.
    ambiguous
        Share of faces between two expressions.
    low_quality
        Share of blurred, covered, dark or coarse images.
    size
        Side of the images in pixels.
    seed
        Fixes every pixel.
    json
        Print the counts as one JSON object.
    """
    from selfcure.data.synthetic_folder import write_synthetic

    with counting("drawing faces") as progress:
        dataset = write_synthetic(
            out,
            num,
            num_validation=num_validation,
            wrong=wrong,
            ambiguous=ambiguous,
            low_quality=low_quality,
            size_px=size,
            seed=seed,
            progress=progress,
        )
    _show(dataset, json)


def _show(dataset: "Dataset", as_json: bool) -> None:
    from selfcure.data.info import describe

    facts = describe(dataset)
    if as_json:
        print_json(facts)
        return
    console.print(f"{dataset.path}  ({facts['layout']})", style="bold", soft_wrap=True)
    splits = facts["splits"]
    counts = table("given label", *splits)
    for name in dataset.class_names:
        counts.add_row(name, *(f"{split['given'][name]:,}" for split in splits.values()))
    counts.add_section()
    counts.add_row("all", *(f"{split['num_samples']:,}" for split in splits.values()))
    if any(split["noise_rate"] is not None for split in splits.values()):
        counts.add_row("differs from truth", *(percent(split["noise_rate"]) for split in splits.values()))
    console.print(counts)
    if facts["num_skipped"]:
        console.print(
            f"\nskipped {facts['num_skipped']:,} (listed in {dataset.path / 'skipped.csv'}):", soft_wrap=True
        )
        for reason, number in facts["skipped"].items():
            console.print(f"  {number:,} × {reason}", soft_wrap=True, markup=False)
