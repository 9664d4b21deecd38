"""AffectNet, in both forms in which it is handed out (http://mohammadmahoor.com/affectnet/; arXiv:1708.03985).

The first, whole photographs with a box around the face:

    Manually_Annotated_file_lists/training.csv     header, then  689/737db….jpg,134,134,899,899,181.64;530.91;…,1,0.78,-0.05
    Manually_Annotated_file_lists/validation.csv   the same columns, published without the header
    Manually_Annotated_Images/689/737db….jpg       or Manually_Annotated/Manually_Annotated_Images/…

with columns subDirectory_filePath, face_x, face_y, face_width, face_height, facial_landmarks (68 times x;y),
expression, valence, arousal. The second, faces already cut out at 224 × 224:

    train_set/images/0.jpg
    train_set/annotations/0_exp.npy    0-dimensional, the number as text; 0_val.npy and 0_aro.npy likewise
    train_set/annotations/0_lnd.npy    68 times x, y
    val_set/…                          likewise

Expressions: 0 neutral, 1 happy, 2 sad, 3 surprise, 4 fear, 5 disgust, 6 anger, 7 contempt, 8 none, 9 uncertain, 10 no
face; the last three are no labels. (Layouts: the loaders of
https://github.com/siqueira-hc/Efficient-Facial-Feature-Learning-with-Wide-Ensemble-based-Convolutional-Neural-Networks
and others that are public, one of which skips a header in training.csv alone.)
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import Entry, Listing, Reject, shorten
from selfcure.data.readers.base import crop as crop_image
from selfcure.data.readers.tree import Tree, find_base, has_any, is_image, open_tree, relative_name
from selfcure.errors import SelfcureError

CLASS_NAMES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
LABELS = dict(enumerate(CLASS_NAMES))
NO_LABELS = {8: "none", 9: "uncertain", 10: "no face"}
LISTS, PHOTOS = "Manually_Annotated_file_lists", "Manually_Annotated_Images"
CSV_FILES = {"training.csv": "train", "validation.csv": "validation"}
COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
SETS = {"train_set": "train", "val_set": "validation"}
_LANDMARKS = 2 * 68
_AFFECT = [pa.field("valence", pa.float32()), pa.field("arousal", pa.float32())]
_POINTS = pa.field("facial_landmarks", pa.list_(pa.float32()))


def read(source: Path, *, num_classes: int = 8, crop: bool = True) -> Listing:
    """List the manually annotated images. The validation set of AffectNet is the split ``validation``.

    The id is the path below ``Manually_Annotated_Images``, or the file name (``0.jpg``). Valence, arousal and landmarks
    are kept, null where they are missing (AffectNet writes -2 for valence and arousal that nobody gave); landmarks are
    in pixels of the imported image.

    Args:
        num_classes: 8, or 7 to leave contempt out.
        crop: cut the photographs of the first layout to their face boxes.

    Raises:
        SelfcureError: ``source`` is neither layout, or an option does not fit.
    """
    if num_classes not in (7, 8):
        raise SelfcureError(f"num_classes of AffectNet is 7 or 8, not {num_classes}")
    tree = open_tree(source)
    sets = [f"{name}/annotations" for name in SETS]
    if has_any(tree, LISTS):
        found = _photographs(tree, num_classes, crop)
    elif has_any(tree, *sets):
        if not crop:
            raise SelfcureError(f"{source} has faces that are cut out already; leave crop out")
        found = _faces(tree, num_classes)
    else:
        raise SelfcureError(f"{source} is not AffectNet: it has no {' or '.join([LISTS, *sets])}")
    return Listing(
        layout="affectnet",
        source=source,
        class_names=CLASS_NAMES[:num_classes],
        entries=found.entries,
        skipped=[*tree.refused, *found.skipped],
        read_bytes=found.read_bytes,
        extra_fields=found.extra_fields,
        options={"num_classes": num_classes, "crop": crop},
        read_extra=found.read_extra,
    )


@dataclass(frozen=True)
class _Found:
    """What one of the layouts gives for a :class:`Listing`."""

    entries: list[Entry]
    skipped: list[Skip]
    read_bytes: Callable[[Entry], bytes]
    read_extra: Callable[[Entry], Mapping[str, Any]]
    extra_fields: list[pa.Field]


def _photographs(tree: Tree, num_classes: int, cut: bool) -> _Found:
    base = find_base(tree, "AffectNet", LISTS)
    files = {f: f"{base}{LISTS}/{f}" for f in CSV_FILES if f"{base}{LISTS}/{f}" in tree.names_set}
    if not files:
        raise SelfcureError(f"{tree.source} is not AffectNet: {base}{LISTS} has no {' or '.join(CSV_FILES)}")
    folder = f"{find_base(tree, 'AffectNet', PHOTOS)}{PHOTOS}/"
    unused = {name for name in tree.names if name.startswith(folder)}
    entries: list[Entry] = []
    skipped: list[Skip] = []
    landmarks: dict[str, np.ndarray] = {}
    for file, path_of_file in files.items():
        for place, row in _rows(tree, path_of_file, skipped):
            name = relative_name(row["subDirectory_filePath"])
            path = f"{folder}{name}"
            unused.discard(path)
            try:
                if name is None:
                    raise Reject("path leaves the source")
                label = _label(row["expression"], num_classes)
                if path not in tree.names_set:
                    raise Reject("image is missing")
                box = _box(row)
                if cut and None in box.values():
                    raise Reject("face box is not four whole numbers")
            except Reject as reason:
                skipped.append(Skip(place, str(reason)))
                continue
            extra = {**box, "valence": _number(row["valence"]), "arousal": _number(row["arousal"])}
            entries.append(Entry(name, CSV_FILES[file], path, label, extra=extra))
            points = _points(row["facial_landmarks"].split(";"))
            if points is not None:
                landmarks[path] = points
    for path in sorted(unused):
        skipped.append(Skip(path, "image without a label" if is_image(path) else "not an image"))

    def read_bytes(entry: Entry) -> bytes:
        data = tree.read(entry.path)
        if not cut:
            return data
        x, y, width, height = (entry.extra[f"face_{side}"] for side in ("x", "y", "width", "height"))
        return crop_image(data, (x, y, x + width, y + height))

    def read_extra(entry: Entry) -> Mapping[str, Any]:
        points = landmarks.get(entry.path)
        if points is not None and cut:
            corner = [max(entry.extra["face_x"], 0), max(entry.extra["face_y"], 0)]
            points = (points.reshape(-1, 2) - np.array(corner, np.float32)).ravel()
        return {"facial_landmarks": points}

    boxes = [pa.field(f"face_{side}", pa.int32()) for side in ("x", "y", "width", "height")]
    return _Found(entries, skipped, read_bytes, read_extra, [*boxes, *_AFFECT, _POINTS])


def _rows(tree: Tree, file: str, skipped: list[Skip]) -> Iterator[tuple[str, dict[str, str]]]:
    """(place, row by column) of a CSV with or without its header."""
    columns = list(COLUMNS)
    for number, row in enumerate(_fields(tree, file), 1):
        place = f"{file} line {number}"
        if number == 1 and COLUMNS[0] in (fields := [field.strip() for field in row]):
            missing = [name for name in COLUMNS if name not in fields]
            if missing:
                raise SelfcureError(
                    f"{tree.source} is not AffectNet: {file} has no column {', '.join(missing)}"
                )
            columns = fields
        elif len(row) == len(columns):
            yield place, dict(zip(columns, (field.strip() for field in row), strict=True))
        elif row:
            skipped.append(Skip(place, f"row has not {len(columns)} fields"))


def _fields(tree: Tree, file: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(tree.lines(file))
    except csv.Error as error:
        raise SelfcureError(f"{file} in {tree.source} is not a CSV: {error}") from error


def _faces(tree: Tree, num_classes: int) -> _Found:
    entries: list[Entry] = []
    skipped: list[Skip] = []
    for folder, split in SETS.items():
        if not has_any(tree, f"{folder}/annotations"):
            continue
        base = f"{find_base(tree, 'AffectNet', f'{folder}/annotations')}{folder}/"
        images = [name for name in tree.names if name.startswith(f"{base}images/")]
        unused = {name for name in tree.names if name.startswith(f"{base}annotations/")}
        for path in images:
            if not is_image(path):
                skipped.append(Skip(path, "not an image"))
                continue
            stem = _annotation(path)
            unused -= {f"{stem}_{kind}.npy" for kind in ("exp", "val", "aro", "lnd")}
            try:
                if f"{stem}_exp.npy" not in tree.names_set:
                    raise Reject("image without a label")
                label = _label(str(_array(tree, f"{stem}_exp.npy").item()), num_classes)
            except ValueError:  # an array of more than one
                skipped.append(Skip(path, "label is not one number"))
            except Reject as reason:
                skipped.append(Skip(path, str(reason)))
            else:
                entries.append(Entry(path.removeprefix(f"{base}images/"), split, path, label))
        for path in sorted(unused):
            known = path.endswith(("_exp.npy", "_val.npy", "_aro.npy", "_lnd.npy"))
            if not known or path.endswith("_exp.npy"):
                skipped.append(Skip(path, "annotation without an image" if known else "not an annotation"))
    return _Found(
        entries,
        skipped,
        lambda entry: tree.read(entry.path),
        partial(_affect, tree),
        [*_AFFECT, _POINTS],
    )


def _annotation(path: str) -> str:
    """``…/images/0.jpg`` → ``…/annotations/0``."""
    folder, _, name = path.rpartition("/images/")
    return f"{folder}/annotations/{name.rsplit('.', 1)[0]}"


def _affect(tree: Tree, entry: Entry) -> Mapping[str, Any]:
    arrays: dict[str, np.ndarray | None] = {}
    for kind in ("val", "aro", "lnd"):
        name = f"{_annotation(entry.path)}_{kind}.npy"
        try:
            arrays[kind] = _array(tree, name) if name in tree.names_set else None
        except Reject:  # beside a good label, a broken one of these is a gap
            arrays[kind] = None
    valence, arousal = (
        None if (a := arrays[kind]) is None or a.size != 1 else _number(str(a.reshape(-1)[0]))
        for kind in ("val", "aro")
    )
    landmarks = arrays["lnd"]
    return {
        "valence": valence,
        "arousal": arousal,
        "facial_landmarks": None if landmarks is None else _points(landmarks.ravel().tolist()),
    }


def _array(tree: Tree, name: str) -> np.ndarray:
    try:
        # Never a pickle: those run code.
        return np.load(io.BytesIO(tree.read(name)), allow_pickle=False)
    except Reject:
        raise
    except Exception as error:
        raise Reject(f"annotation cannot be read ({type(error).__name__})") from error


def _label(text: str, num_classes: int) -> int:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if number in NO_LABELS:
        raise Reject(f"expression {int(number)}: {NO_LABELS[int(number)]}")
    if number not in LABELS:
        raise Reject(f"expression {shorten(text)!r} is not 0–10")
    if number >= num_classes:
        raise Reject(f"{LABELS[int(number)]} is not among the {num_classes} classes")
    return int(number)


def _box(row: Mapping[str, str]) -> dict[str, int | None]:
    box: dict[str, int | None] = {}
    for name in COLUMNS[1:5]:
        number = _number(row[name])
        fits = number is not None and number.is_integer() and abs(number) < 1 << 24
        box[name] = int(number) if number is not None and fits else None
    return box


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _points(values: list[Any]) -> np.ndarray | None:
    """[136] float32, or None where the values are something else."""
    try:
        points = np.array(values, dtype=np.float32)
    except (ValueError, TypeError):
        return None
    return points if points.shape == (_LANDMARKS,) and np.isfinite(points).all() else None
