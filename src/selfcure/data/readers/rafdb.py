"""RAF-DB, the single-label ("basic") part, as published by its authors (http://www.whdeng.cn/RAF/model1.html).

A folder, or a zip of it, perhaps within a folder more (``basic``, ``raf-basic``):

    EmoLabel/list_patition_label.txt        (spelled so)  train_00001.jpg 5
    Image/aligned/train_00001_aligned.jpg   100 × 100, aligned
    Image/original/train_00001.jpg          as found on the web, of any size

The number is 1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral; the name begins with train_ or
test_, which is the split. (Layout: of the aligned images the readme of
https://github.com/zyh-uaiaaaa/Erasing-Attention-Consistency; of the list and the numbers, loaders in several public
repositories; counts as in the paper, 12,271 and 3,068.)
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import Entry, Listing, Reject, shorten
from selfcure.data.readers.tree import Tree, find_base, is_image, open_tree
from selfcure.errors import SelfcureError, check_choice

LABELS_FILE = "EmoLabel/list_patition_label.txt"
CLASS_NAMES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
LABELS = dict(enumerate(CLASS_NAMES, 1))
IMAGES = {"aligned": "_aligned", "original": ""}
"""Folder below ``Image`` → what its file names have before the suffix."""


def read(source: Path, *, images: str = "aligned") -> Listing:
    """List the images that ``list_patition_label.txt`` names; the id is the name there (``train_00001.jpg``).

    Args:
        images: which of the two folders of images, a key of :data:`IMAGES`.

    Raises:
        SelfcureError: ``source`` is not this layout, or does not have these images.
    """
    check_choice("images", images, IMAGES)
    tree = open_tree(source)
    base = find_base(tree, "RAF-DB", LABELS_FILE)
    folder = f"{base}Image/{images}/"
    unused = {name for name in tree.names if name.startswith(folder)}
    if not unused:
        raise SelfcureError(f"{source} has no images in {folder}; unpack Image/{images}.zip there")
    skipped = list(tree.refused)
    entries = []
    for place, name, text in _rows(tree, base, skipped):
        path = PurePosixPath(folder, f"{PurePosixPath(name).stem}{IMAGES[images]}.jpg").as_posix()
        try:
            split = name.split("_")[0]
            if split not in ("train", "test"):
                raise Reject("name does not begin with train_ or test_")
            label = _label(text)
            if path not in tree.names_set:
                raise Reject("image is missing")
            entries.append(Entry(name, split, path, label))
        except Reject as reason:
            skipped.append(Skip(place, str(reason)))
        unused.discard(path)
    for path in sorted(unused):
        skipped.append(Skip(path, "image without a label" if is_image(path) else "not an image"))
    return Listing(
        layout="rafdb",
        source=source,
        class_names=CLASS_NAMES,
        entries=entries,
        skipped=skipped,
        read_bytes=lambda entry: tree.read(entry.path),
        options={"images": images},
    )


def _rows(tree: Tree, base: str, skipped: list[Skip]) -> Iterator[tuple[str, str, str]]:
    """(place, name, number) of the lines of the list."""
    for number, line in enumerate(tree.lines(base + LABELS_FILE), 1):
        place = f"{base}{LABELS_FILE} line {number}"
        fields = line.split()
        if len(fields) == 2:
            yield place, fields[0], fields[1]
        elif fields:
            skipped.append(Skip(place, "line is not a name and a number"))


def _label(text: str) -> int:
    if text in map(str, LABELS):
        return int(text) - 1
    raise Reject(f"label {shorten(text)!r} is not 1–{len(LABELS)}")
