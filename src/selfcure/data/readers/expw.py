"""ExpW, Expression in-the-Wild (http://mmlab.ie.cuhk.edu.hk/projects/socialrelation/; arXiv:1609.06426).

A folder, or a zip of it, perhaps within a folder more (``data``, ``ExpW``):

    label/label.lst        angry_actor_104.jpg 0 28 113 226 141 22.9362 0
    image/origin/…jpg      whole photographs; image/…jpg is read too

with image name, number of the face in it, top, left, right and bottom of its box, confidence of the box, and the label:
0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral. (Layout: the readme of the download, quoted at
http://rhkb.cn/news/38351.html and in the loaders of several public repositories.) All of it is train: there is no
official split.
"""

from pathlib import Path

import pyarrow as pa

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import Entry, Listing, Reject, crop, shorten
from selfcure.data.readers.tree import Tree, find_base, is_image, open_tree, relative_name
from selfcure.errors import SelfcureError

LABELS_FILE = "label/label.lst"
FOLDERS = ("image/origin", "image")
CLASS_NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
LABELS = dict(enumerate(CLASS_NAMES))
SIDES = ("top", "left", "right", "bottom")
_NUM_FIELDS = 8


def read(source: Path) -> Listing:
    """List the faces of ``label.lst``, cut out at import; the id is the image's name and the face's number.

    Raises:
        SelfcureError: ``source`` is not this layout, or has no images.
    """
    tree = open_tree(source)
    base = find_base(tree, "ExpW", LABELS_FILE)
    folder = _image_folder(tree, base)
    unused = {name for name in tree.names if name.startswith(folder)}
    skipped = list(tree.refused)
    entries = []
    for number, line in enumerate(tree.lines(base + LABELS_FILE), 1):
        if not line.strip():
            continue
        try:
            fields = line.split()
            if len(fields) != _NUM_FIELDS:
                raise Reject(f"line has not {_NUM_FIELDS} fields")
            name, face, *box, confidence, label = fields
            if relative_name(name) is None:
                raise Reject("path leaves the source")
            path = f"{folder}{relative_name(name)}"
            unused.discard(path)
            extra = _numbers(face, box, confidence)
            entry = Entry(f"{name}-{extra['face']}", "train", path, _label(label), extra=extra)
            if path not in tree.names_set:
                raise Reject("image is missing")
            entries.append(entry)
        except Reject as reason:
            skipped.append(Skip(f"{base}{LABELS_FILE} line {number}", str(reason)))
    for path in sorted(unused):
        skipped.append(Skip(path, "image without a label" if is_image(path) else "not an image"))

    def read_bytes(entry: Entry) -> bytes:
        left, top, right, bottom = (entry.extra[f"box_{side}"] for side in ("left", "top", "right", "bottom"))
        return crop(tree.read(entry.path), (left, top, right, bottom))

    return Listing(
        layout="expw",
        source=source,
        class_names=CLASS_NAMES,
        entries=entries,
        skipped=skipped,
        read_bytes=read_bytes,
        extra_fields=[
            pa.field("face", pa.int32()),
            *(pa.field(f"box_{side}", pa.int32()) for side in SIDES),
            pa.field("box_confidence", pa.float32()),
        ],
    )


def _image_folder(tree: Tree, base: str) -> str:
    for name in FOLDERS:
        folder = f"{base}{name}/"
        if any(path.startswith(folder) and is_image(path) for path in tree.names):
            return folder
    raise SelfcureError(
        f"{tree.source} has no images in {base}{FOLDERS[0]}; unpack the parts of origin.7z there"
    )


def _numbers(face: str, box: list[str], confidence: str) -> dict[str, int | float]:
    malformed = Reject("face or box is not in whole numbers")
    try:
        numbers = [int(text) for text in (face, *box)]
        values: dict[str, int | float] = {"face": numbers[0], "box_confidence": float(confidence)}
    except ValueError:
        raise malformed from None
    if any(abs(number) >= 1 << 24 for number in numbers):
        raise malformed
    return values | {f"box_{side}": number for side, number in zip(SIDES, numbers[1:], strict=True)}


def _label(text: str) -> int:
    if text in map(str, LABELS):
        return int(text)
    raise Reject(f"label {shorten(text)!r} is not 0–{len(LABELS) - 1}")
