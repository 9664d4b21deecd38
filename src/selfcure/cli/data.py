"""``selfcure data``: import, info, noise, sample, split, join, synth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from selfcure.cli.output import Flag, console, counting, one_line, percent, print_json, print_table, table

if TYPE_CHECKING:
    from selfcure.data.folder import Dataset

_MOST_CLASSES, _NUM_ENDS = 40, 10

app = App(name="data", help="Make, look at and corrupt dataset folders.", help_epilogue="", sort_key=1)


@app.command(name="import")
def import_(
    layout: str,
    source: str,
    /,
    *,
    out: Path,
    convention: str | None = None,
    given_labels: Path | None = None,
    given_column: str | None = None,
    soft_labels: bool | None = None,
    path_column: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    true_label_column: str | None = None,
    split_column: str | None = None,
    id_column: str | None = None,
    class_names: str | None = None,
    config: str | None = None,
    images: str | None = None,
    num_classes: int | None = None,
    crop: bool | None = None,
    neutral: bool | None = None,
    camera: str | None = None,
    light: str | None = None,
    validation_share: float | None = None,
    seed: int | None = None,
    json: Flag = False,
) -> None:
    """Turn a dataset, in the layout in which it is published, into a dataset folder.

    Broken images are skipped and listed in DIR/skipped.csv. Interrupted, repeat the command to finish.

    Parameters
    ----------
    layout
        ferplus, fer2013, rafdb, affectnet, expw, ckplus, jaffe, oulu or sfew: as their authors publish them; huggingface:
        what its library opens; folder: a folder per class; table: a csv or parquet of path and label.
    source
        The folder, zip or file to read; for huggingface also a name on the hub.
    out
        Dataset folder to make.
    convention
        ferplus: majority (default) or argmax of the votes.
    given_labels
        ferplus: a csv with another annotator's labels, to train on; the crowd's become the true labels.
    given_column
        ferplus: the column of --given-labels with the labels, where it cannot be guessed.
    soft_labels
        ferplus: also keep the votes as soft labels, which plain, scn and elr learn from.
    path_column
        table: column with the image's path, relative to the table; by default path, image, file or the like.
    image_column
        huggingface: column with the image, where it cannot be guessed.
    label_column
        table, huggingface: column with the label; by default label, expression, emotion or class.
    true_label_column
        table: column with the true label, where it is known; by default true_label, if there is one.
    split_column
        table: column that says train, validation or test; by default split, usage or subset. Without one all is train.
    id_column
        table: column with a name for each image that stays the same; by default id, or else the path.
    class_names
        table, huggingface: names of the classes 0, 1, 2 …, separated by commas. By default the labels that occur, sorted.
    config
        huggingface: which configuration of a dataset that has several.
    images
        rafdb, sfew: aligned (default) faces, or the original pictures.
    num_classes
        affectnet: 8 (default), or 7 to leave contempt out.
    crop
        affectnet: whether to cut photographs to their face boxes (default).
    neutral
        ckplus, oulu: whether to take the first, neutral frames too (default).
    camera
        oulu: VL (default) or NI, visible light or near infrared.
    light
        oulu: Strong (default), Weak or Dark.
    validation_share
        ckplus, jaffe, oulu: share of the images, those of some people, that becomes the validation split. Default: 0.1.
    seed
        ckplus, jaffe, oulu: fixes which people. Default: 0.
    json
        Print the counts as one JSON object.
    """
    from selfcure.data.importing import import_dataset

    options: dict[str, Any] = {
        "convention": convention,
        "given_labels": given_labels,
        "given_column": given_column,
        "soft_labels": soft_labels,
        "path_column": path_column,
        "image_column": image_column,
        "label_column": label_column,
        "true_label_column": true_label_column,
        "split_column": split_column,
        "id_column": id_column,
        "class_names": class_names,
        "config": config,
        "images": images,
        "num_classes": num_classes,
        "crop": crop,
        "neutral": neutral,
        "camera": camera,
        "light": light,
        "validation_share": validation_share,
        "seed": seed,
    }
    chosen = {name: value for name, value in options.items() if value is not None}
    with counting(f"importing {source}") as progress:
        dataset = import_dataset(layout, source, out=out, progress=progress, **chosen)
    _show(dataset, json)


@app.command
def info(data: Path, /, *, json: Flag = False) -> None:
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
    kind: str = "symmetric",
    rate: float | None = None,
    seed: int = 0,
    pairs: str | None = None,
    matrix: Path | None = None,
    labels: str | None = None,
    numbers: str | None = None,
    json: Flag = False,
) -> None:
    """Make a new dataset folder with noisy training labels; the labels before become the truth to measure against.

    Parameters
    ----------
    data
        Dataset folder to start from; it stays as it is.
    out
        Dataset folder to make.
    kind
        symmetric: uniformly to another class; pairwise: to the class that it is most confused with; matrix: as a
        confusion matrix says; annotator: another annotator's labels become the given ones.
    rate
        symmetric, pairwise: share of each class whose labels are changed, from 0 to below 1.
    seed
        Fixes which labels change.
    pairs
        pairwise: what is confused with what, for instance anger=disgust,fear=surprise; expressions have a default.
    matrix
        matrix, pairwise: a csv or json with a row for each true and a column for each given class.
    labels
        annotator: a column of the dataset folder, or a csv of image and label.
    numbers
        annotator: the layout whose numbers the labels are; by default the one that the folder was imported from.
    json
        Print the counts as one JSON object.
    """
    from selfcure.data.noise import add_noise

    options: dict[str, Any] = {
        "kind": kind,
        "rate": rate,
        "seed": seed,
        "pairs": pairs,
        "matrix": matrix,
        "labels": labels,
        "numbers": numbers,
    }
    chosen = {name: value for name, value in options.items() if value is not None}
    with counting("writing") as progress:
        dataset = add_noise(data, out=out, progress=progress, **chosen)
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
    json: Flag = False,
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
def split(
    data: Path,
    /,
    *,
    out: Path,
    validation: float = 0.1,
    seed: int = 0,
    by: str | None = None,
    json: Flag = False,
) -> None:
    """Make a new dataset folder in which a share of the training images is the validation split.

    Parameters
    ----------
    data
        Dataset folder without a validation split; it stays as it is.
    out
        Dataset folder to make.
    validation
        Share of the training images to move.
    seed
        Fixes which.
    by
        A column, such as subject, whose equal values stay together; by default each class gives its share.
    json
        Print the counts as one JSON object.
    """
    from selfcure.data.split import split as call

    with counting("writing") as progress:
        dataset = call(data, out=out, validation=validation, seed=seed, by=by, progress=progress)
    _show(dataset, json)


@app.command
def join(
    data: Annotated[list[Path], Parameter(negative=())],
    /,
    *,
    out: Path,
    names: str | None = None,
    json: Flag = False,
) -> None:
    """Join dataset folders into a new one; their classes are matched by name, happy with happiness.

    Parameters
    ----------
    data
        Two or more dataset folders; they stay as they are.
    out
        Dataset folder to make.
    names
        What to put before the ids of each, separated by commas; by default the folders' names.
    json
        Print the counts as one JSON object.
    """
    from selfcure.data.join import join as call

    with counting("joining") as progress:
        dataset = call(*data, out=out, names=names.split(",") if names else None, progress=progress)
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
    json: Flag = False,
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
    splits = facts["splits"]
    counts = table("given label", *splits)
    for name in _shown(dataset.class_names, next(iter(splits.values()))["given"]):
        if name is None:
            counts.add_row(f"… {len(dataset.class_names) - 2 * _NUM_ENDS:,} more", *("…" for _ in splits))
        else:
            counts.add_row(one_line(name), *(f"{split['given'][name]:,}" for split in splits.values()))
    if any(split["num_unlabelled"] for split in splits.values()):
        counts.add_row("without one", *(f"{split['num_unlabelled']:,}" for split in splits.values()))
    counts.add_section()
    counts.add_row("all", *(f"{split['num_samples']:,}" for split in splits.values()))
    if any(split["noise_rate"] is not None for split in splits.values()):
        counts.add_row("differs from truth", *(percent(split["noise_rate"]) for split in splits.values()))
    print_table(counts, f"{dataset.path}  ({facts['layout']})")
    if facts["num_skipped"]:
        listing = one_line(str(dataset.path / "skipped.csv"))
        console.print(f"\nskipped {facts['num_skipped']:,} (listed in {listing}):", soft_wrap=True)
        for reason, number in facts["skipped"].items():
            console.print(f"  {number:,} × {one_line(reason)}", soft_wrap=True)


def _shown(class_names: Sequence[str], sizes: Mapping[str, int]) -> list[str | None]:
    """All classes, or of many the largest and the smallest, with None for those between.

    >>> _shown([str(k) for k in range(99)], {str(k): k for k in range(99)})[8:12]
    ['90', '89', None, '9']
    """
    if len(class_names) <= _MOST_CLASSES:
        return list(class_names)
    by_size = sorted(class_names, key=sizes.__getitem__, reverse=True)
    return [*by_size[:_NUM_ENDS], None, *by_size[-_NUM_ENDS:]]
