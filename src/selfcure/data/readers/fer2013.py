"""FER2013, as published on Kaggle (Challenges in Representation Learning, 2013; arXiv:1307.0414).

One CSV, ``fer2013.csv`` (or a folder with it), 35,887 rows of

    emotion,pixels,Usage
    0,70 80 82 72 … ,Training

with 48 · 48 = 2304 grey values in row order, ``emotion`` 0–6 = anger, disgust, fear, happiness, sadness, surprise,
neutral, and ``Usage`` Training, PublicTest (here validation) or PrivateTest (test). Other orders of the columns are in
use; without ``Usage`` all is train. The pixels are read again, row by row, when they are needed.
"""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import Entry, Listing, Reject, shorten, split_name
from selfcure.errors import SelfcureError

CLASS_NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
SIDE_PX = 48
_MAX_LINE = 1 << 17


def read(source: Path) -> Listing:
    """List the rows of ``fer2013.csv``. Images get the id ``fer2013-00000`` by the row's number.

    (These are not the names of FERPlus, which numbers the same images after leaving some out.)

    Raises:
        SelfcureError: ``source`` is not this layout.
    """
    file = source / "fer2013.csv" if source.is_dir() else source
    if not file.is_file():
        raise SelfcureError(f"{source} is not FER2013: there is no fer2013.csv in it")
    columns = _columns(file)
    entries: list[Entry] = []
    skipped: list[Skip] = []
    offsets: dict[str, int] = {}
    for number, offset, line in _lines(file):
        name = f"fer2013-{number:05d}"
        try:
            fields = _fields(line, columns)
            split = split_name(fields["usage"]) if "usage" in columns else "train"
            entry = Entry(name, split, f"{name}.png", _label(fields["emotion"]))
        except Reject as reason:
            skipped.append(Skip(f"{file.name} line {number + 2}", str(reason)))
            continue
        entries.append(entry)
        offsets[name] = offset
    return Listing(
        layout="fer2013",
        source=source,
        class_names=CLASS_NAMES,
        entries=entries,
        skipped=skipped,
        read_bytes=_pixel_reader(file, columns, offsets),
    )


def _pixel_reader(file: Path, columns: dict[str, int], offsets: dict[str, int]) -> Callable[[Entry], bytes]:
    def read_bytes(entry: Entry) -> bytes:
        with open(file, "rb") as lines:
            lines.seek(offsets[entry.id])
            return _png(_fields(lines.readline(_MAX_LINE), columns)["pixels"])

    return read_bytes


def _columns(file: Path) -> dict[str, int]:
    """Position of each column, by its name in lower case."""
    with open(file, "rb") as lines:
        header = lines.readline(_MAX_LINE).decode("utf-8-sig", errors="replace")
    columns = {name.strip().lower(): position for position, name in enumerate(header.split(","))}
    missing = [name for name in ("emotion", "pixels") if name not in columns]
    if missing:
        raise SelfcureError(
            f"{file} is not FER2013: its first line should be emotion,pixels,Usage; missing: {', '.join(missing)}"
        )
    return columns


def _lines(file: Path) -> Iterator[tuple[int, int, bytes]]:
    """(number, offset, line) of every row that is not blank."""
    with open(file, "rb") as lines:
        lines.readline(_MAX_LINE)
        offset = lines.tell()
        for number, line in enumerate(lines):
            if line.strip():
                yield number, offset, line
            offset += len(line)


def _fields(line: bytes, columns: dict[str, int]) -> dict[str, str]:
    try:
        row = next(csv.reader([line.decode(errors="replace")]), [])
    except csv.Error:
        row = []
    if len(row) != len(columns):
        raise Reject(f"row has not {len(columns)} fields")
    return {name: row[position].strip() for name, position in columns.items()}


def _label(text: str) -> int:
    if text in map(str, range(len(CLASS_NAMES))):
        return int(text)
    raise Reject(f"emotion {shorten(text)!r} is not 0–{len(CLASS_NAMES) - 1}")


def _png(pixels: str) -> bytes:
    malformed = Reject(f"pixels are not {SIDE_PX} × {SIDE_PX} numbers from 0 to 255")
    try:
        values = np.array(pixels.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        raise malformed from None
    if values.size != SIDE_PX**2 or values.min() < 0 or values.max() > 255:
        raise malformed
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8).reshape(SIDE_PX, SIDE_PX)).save(buffer, "png")
    return buffer.getvalue()
