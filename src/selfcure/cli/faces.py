"""``selfcure faces``."""

from pathlib import Path
from typing import Any

from selfcure.cli.output import Flag, console, counting, one_line, print_json, print_table, table


def faces(
    source: Path,
    /,
    *,
    out: Path,
    size: int = 224,
    align: str = "similarity",
    margin: float = 0.0,
    keep: str = "largest",
    min_face_px: int = 40,
    min_score: float = 0.95,
    detector: str = "mtcnn",
    weights: Path | None = None,
    labels: str = "auto",
    path_column: str | None = None,
    label_column: str | None = None,
    class_names: str | None = None,
    fps: float = 1.0,
    format: str = "jpeg",
    max_pixels: int = 100_000_000,
    device: str = "cpu",
    workers: int | None = None,
    engine: str = "local",
    json: Flag = False,
) -> None:
    """Find the faces in photographs and videos, and make a dataset folder of them, cut out and aligned.

    Pictures without a face, unreadable ones and faces that are not kept are listed in DIR/skipped.csv. Interrupted, repeat
    the command to finish.

    Parameters
    ----------
    source
        A folder or zip of photographs, a csv or parquet with a column of paths, one photograph, or a video; folders and
        tables may have videos in them.
    out
        Dataset folder to make.
    size
        Side of the crops in pixels.
    align
        similarity: turn and scale each face so that eyes, nose and mouth come to the standard places; box: cut out the
        square around it.
    margin
        How much more to show on each side, as a share of the crop without it.
    keep
        largest face of each picture, or all.
    min_face_px
        Side of the smallest face to look for, in pixels of the photograph. Half of it takes about four times as long.
    min_score
        Leave out faces of which the detector is less sure, 0 to 1.
    detector
        mtcnn; or yunet, with its model file as --weights.
    weights
        yunet: its model file.
    labels
        auto: a table's column of labels, or the names of folders where all photographs lie in two or more; folders: their
        names, and what lies outside is left out; none.
    path_column
        Table: column with the path, relative to the table; by default path, image, file or the like.
    label_column
        Table: column with the label; by default label, expression, emotion or class, if there is one.
    class_names
        Table: names of the classes 0, 1, 2 …, separated by commas. By default the labels that occur, sorted.
    fps
        Videos: frames a second to take.
    format
        Of the crops: jpeg or png.
    max_pixels
        Refuse photographs with more.
    device
        Where the detector computes: cpu or cuda.
    workers
        Processes; by default one for each processor, or none beside this one for fewer than 256 pictures.
    engine
        local, or ray: a Ray cluster, if RAY_ADDRESS says so. The result is the same.
    json
        Print the counts as one JSON object.
    """
    from selfcure.faces.extraction import FaceSettings
    from selfcure.faces.pipeline import describe_faces, extract_faces

    settings = FaceSettings(
        size=size,
        align=align,
        margin=margin,
        keep=keep,
        format=format,
        detector=detector,
        weights=str(weights.absolute()) if weights else None,
        min_face_px=min_face_px,
        min_score=min_score,
        max_pixels=max_pixels,
        fps=fps,
        device=device,
    )
    with counting("finding faces") as progress:
        dataset = extract_faces(
            source,
            out=out,
            settings=settings,
            labels=labels,
            path_column=path_column,
            label_column=label_column,
            class_names=class_names,
            workers=workers,
            engine=engine,
            progress=progress,
        )
    facts = describe_faces(dataset)
    if json:
        print_json(facts)
    else:
        _show(facts)


def _show(facts: dict[str, Any]) -> None:
    name = one_line(facts["path"])
    console.print(
        f"{name}: {facts['num_faces']:,} faces from {facts['num_pictures']:,} pictures "
        f"({facts['num_with_several']:,} with several)",
        soft_wrap=True,
    )
    by_class = facts["num_by_class"]
    if by_class is None:
        how = "give a table with labels, or one folder for each class"
        console.print(f"no labels: to train on these faces, {how}", soft_wrap=True)
    else:
        counts = table(f"label, from {facts['options']['labels']}", *by_class)
        for label in next(iter(by_class.values())):
            counts.add_row(one_line(label), *(f"{split[label]:,}" for split in by_class.values()))
        print_table(counts)
    if facts["num_skipped"]:
        listing = one_line(f"{facts['path']}/skipped.csv")
        console.print(f"\nleft out {facts['num_skipped']:,} (listed in {listing}):", soft_wrap=True)
        for reason, number in facts["skipped"].items():
            console.print(f"  {number:,} × {one_line(reason)}", soft_wrap=True)
