"""What there is to look through: a folder tree, a zip, a manifest, one photograph or one video."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from selfcure.data.folder_writer import Skip
from selfcure.data.readers import table
from selfcure.data.readers.base import SPLIT_NAMES, Entry, Reject
from selfcure.data.readers.class_folders import _below, _common_folder, _split_and_class
from selfcure.data.readers.tabular import (
    DELIMITERS,
    LABEL_COLUMNS,
    PARQUET,
    PATH_COLUMNS,
    find_column,
    read_table,
)
from selfcure.data.readers.tree import MAX_FILE_BYTES, Tree, is_image, natural_key, open_tree
from selfcure.errors import SelfcureError, check_choice
from selfcure.faces.videos import count_samples, is_video

LABELS = ("auto", "folders", "none")
SEGMENT = 512
"""Frames of a video that are worked on at a time: a long video is shared by the workers and resumed within."""


@dataclass(frozen=True, slots=True)
class Item:
    """One photograph, or a stretch of one video."""

    id: str
    split: str
    path: str
    """Relative to :attr:`Source.root`."""
    label: int | None = None
    true_label: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    frames: tuple[int, int | None] | None = None
    """First and last + 1 number of the frames to sample of a video, the last open where it is None."""
    weight: int = 1
    """About how many pictures that is."""


@dataclass(frozen=True)
class Source:
    """What was found."""

    root: Path
    """The folder, or the zip, that the paths are relative to."""
    items: Sequence[Item]
    skipped: Sequence[Skip]
    class_names: Sequence[str] = ()
    labels_from: str | None = None
    """Where the labels come from, None if there are none."""
    extra_fields: Sequence[pa.Field] = ()

    @property
    def has_videos(self) -> bool:
        return any(item.frames for item in self.items)


def open_source(
    source: Path,
    *,
    fps: float,
    labels: str = "auto",
    path_column: str | None = None,
    label_column: str | None = None,
    class_names: str | Sequence[str] | None = None,
) -> Source:
    """List the photographs and videos of a source.

    Args:
        source: a folder or zip, a table with a column of paths, a photograph, or a video.
        fps: frames a second to take of videos.
        labels: ``auto``: a table's column of labels if it has one, or the names of the folders if all photographs lie
            in two or more class folders; ``folders``: class folders, what lies outside is skipped; ``none``.
        path_column, label_column, class_names: of a table, as :func:`selfcure.data.readers.table.read` has them.

    Raises:
        SelfcureError: there is nothing to look through, or an option does not fit.
    """
    check_choice("labels", labels, LABELS)
    is_table = source.is_file() and source.suffix.lower() in (*DELIMITERS, *PARQUET)
    if not is_table and (path_column or label_column or class_names):
        raise SelfcureError(f"path_column, label_column and class_names are for tables, and {source} is none")
    if not source.exists():
        raise SelfcureError(f"source {source} does not exist")
    if is_table:
        if labels == "folders":
            raise SelfcureError(f"labels from folders need a folder, and {source} is a table")
        found = _from_table(source, labels, path_column, label_column, class_names)
    elif source.is_file() and (is_image(source.name) or is_video(source.name)):
        if labels == "folders":
            raise SelfcureError(f"labels from folders need a folder, and {source} is one file")
        found = Source(source.parent, [Item(source.name, "train", source.name)], ())
    else:
        found = _from_tree(open_tree(source), labels)
    if not found.items and not found.skipped:
        raise SelfcureError(f"{source} is empty")
    return _with_segments(found, fps)


def _from_tree(tree: Tree, labels: str) -> Source:
    skipped = list(tree.refused)
    names = []
    for name in tree.names:
        if is_image(name) or (is_video(name) and tree.source.is_dir()):
            names.append(name)
        else:
            skipped.append(Skip(name, "video in a zip" if is_video(name) else "not an image or video"))
    if not names:
        raise SelfcureError(f"{tree.source} has no image or video in it ({len(tree.names):,} other files)")
    top = _common_folder(names)
    placed = {} if labels == "none" else dict(_placed(names, top))
    class_names = sorted({name for _, name in placed.values()}, key=natural_key)
    if labels == "folders" and not placed:
        raise SelfcureError(f"{tree.source} is not a tree of class folders: it has no image in a folder")
    is_class_tree = len(placed) == len(names) and len(class_names) > 1
    if labels == "none" or (labels == "auto" and not is_class_tree):
        return Source(tree.source, [Item(name, "train", name) for name in names], skipped)
    skipped += [Skip(name, "not in a class folder") for name in names if name not in placed]
    number = {name: k for k, name in enumerate(class_names)}
    items = [
        Item("/".join(_below(name, top)), split, name, number[class_name])
        for name, (split, class_name) in placed.items()
    ]
    return Source(tree.source, items, skipped, class_names, "folder names")


def _placed(names: Sequence[str], top: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """(name, (split, class)) of all that lie in class folders, as ``selfcure data import folder`` reads them."""
    below = {name: _below(name, top) for name in names}
    has_splits = any(parts[0].lower() in SPLIT_NAMES for parts in below.values() if len(parts) > 2)
    for name, parts in below.items():
        try:
            yield name, _split_and_class(parts, has_splits)
        except Reject:
            continue  # whoever asked sees that it is missing


def _from_table(
    source: Path,
    labels: str,
    path_column: str | None,
    label_column: str | None,
    class_names: str | Sequence[str] | None,
) -> Source:
    if not source.stat().st_size:
        raise SelfcureError(f"source file {source} is empty")
    rows, _ = read_table(source, text_columns=())
    column = find_column(rows, label_column, LABEL_COLUMNS) if labels != "none" else None
    if column is None:
        # Every row has a path: read as its label it passes, and is dropped below.
        label_column, class_names = find_column(rows, path_column, PATH_COLUMNS), None
    listing = table.read(source, path_column=path_column, label_column=label_column, class_names=class_names)
    taken = {field.name for field in face_fields(with_videos=True)}
    names = {f.name: f"source_{f.name}" if f.name in taken else f.name for f in listing.extra_fields}
    return Source(
        source.parent,
        [_item(entry, names, labelled=column is not None) for entry in listing.entries],
        listing.skipped,
        listing.class_names if column else (),
        f"column {column!r}" if column else None,
        [f.with_name(names[f.name]) for f in listing.extra_fields],
    )


def _item(entry: Entry, names: Mapping[str, str], *, labelled: bool) -> Item:
    return Item(
        entry.id,
        entry.split,
        entry.path,
        entry.label if labelled else None,
        entry.true_label if labelled else None,
        {names[name]: value for name, value in entry.extra.items()},
    )


def face_fields(*, with_videos: bool) -> list[pa.Field]:
    """The columns of a dataset folder of faces beyond the core ones."""
    fields = [
        pa.field("source", pa.string()),
        pa.field("face", pa.int32()),
        pa.field("num_faces", pa.int32()),
        pa.field("score", pa.float32()),
        pa.field("box", pa.list_(pa.float32())),
        pa.field("landmarks", pa.list_(pa.list_(pa.float32()))),
    ]
    if with_videos:
        fields += [pa.field("frame", pa.int64()), pa.field("time_sec", pa.float64())]
    return fields


def _with_segments(found: Source, fps: float) -> Source:
    """Videos cut into stretches, those that cannot be read left out."""
    items: list[Item] = []
    skipped = list(found.skipped)
    for item in found.items:
        if not is_video(item.path):
            items.append(item)
            continue
        try:
            total = count_samples(found.root / item.path, fps)
        except (Reject, OSError) as reason:
            skipped.append(Skip(item.path, str(reason) if isinstance(reason, Reject) else "unreadable file"))
            continue
        starts = range(0, total or 1, SEGMENT)
        for start in starts:
            last = start == starts[-1]
            # Durations in files are not exact, so the last stretch goes on to the end.
            weight = max(1, (total or SEGMENT) - start) if last else SEGMENT
            items.append(replace(item, frames=(start, None if last else start + SEGMENT), weight=weight))
    return replace(found, items=items, skipped=skipped)


def read_bytes(root: Path, path: str) -> bytes:
    """One file of a source, in any process.

    Raises:
        Reject: it is too large to be an image.
        OSError: it cannot be read.
    """
    if root.is_dir():
        if (root / path).stat().st_size > MAX_FILE_BYTES:
            raise Reject("file too large")
        return (root / path).read_bytes()
    return _archive(root).read(path)


@cache
def _archive(root: Path) -> Tree:
    return open_tree(root)  # its table of contents is read once in each process
