"""What every reader of a published layout hands over, and the import that turns it into a dataset folder."""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image, ImageOps

from selfcure.data.folder import ROW_GROUP, SPLITS, Dataset
from selfcure.data.folder_writer import FolderWriter, Skip
from selfcure.data.schema import folder_schema

SHARD_SIZE = 2048
PART_BYTES = 64 << 20
"""Encoded images held in memory at a time, about."""

FORMATS_REFUSED = {"EPS"}
"""Pillow hands these to another program (Ghostscript), which data from outside must not reach."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "publictest": "validation",
    "test": "test",
    "testing": "test",
    "privatetest": "test",
}
"""The published names of the splits, in lower case."""


class Reject(Exception):
    """Raised for one sample that has to be left out. The message is the reason that is listed and counted."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One image to import. ``path`` is the name in the source; ``extra`` holds values of the extra columns."""

    id: str
    split: str
    path: str
    label: int
    true_label: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """What a reader found: what to import, what it left out and why, and how to read one image's bytes.

    ``read_bytes`` may raise :class:`Reject` to give a better reason than "unreadable image".
    """

    layout: str
    source: Path
    class_names: Sequence[str]
    entries: Sequence[Entry]
    skipped: Sequence[Skip]
    read_bytes: Callable[[Entry], bytes]
    extra_fields: Sequence[pa.Field] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the user chose, as plain JSON; recorded in the dataset folder."""
    read_extra: Callable[[Entry], Mapping[str, Any]] | None = None
    """Extra columns that are read with the image, because all of them at once would be large."""


def split_name(text: str) -> str:
    """The split that a source's word means.

    Raises:
        Reject: it means none.
    """
    try:
        return SPLIT_NAMES[text.strip().lower()]
    except KeyError:
        raise Reject(f"unknown split {shorten(text)!r}") from None


def shorten(text: str, limit: int = 40) -> str:
    """A value from data, short enough for a message."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def write_listing(
    listing: Listing, out: Path, *, progress: Callable[[int, int], None] | None = None
) -> Dataset:
    """Import everything that ``listing`` names into the dataset folder ``out``.

    An image that cannot be read or decoded is skipped and listed in ``skipped.csv``, never fatal. Of two entries with
    one id in a split the first is kept. Interrupted, the same call goes on after the last finished shard.

    Args:
        progress: called with (done, total) entries after every shard.

    Raises:
        SelfcureError: ``out`` is in the way, or no image is usable.
    """
    by_split, repeated = _by_split(listing.entries)
    shards = {s: -(-len(entries) // SHARD_SIZE) for s, entries in by_split.items() if entries}
    plan = {
        "layout": listing.layout,
        "source": str(listing.source.absolute()),
        "options": dict(listing.options),
        "entries": _digest(listing.entries),
    }
    writer = FolderWriter(
        out, class_names=listing.class_names, plan=plan, num_shards=shards, extra=listing.extra_fields
    )
    done, total = 0, sum(map(len, by_split.values()))
    for split, num_shards in shards.items():
        for index in range(num_shards):
            entries = by_split[split][index * SHARD_SIZE : (index + 1) * SHARD_SIZE]
            if not writer.has(split, index):
                skipped: list[Skip] = []
                writer.write(split, index, _read_parts(entries, listing, skipped), skipped)
            done += len(entries)
            if progress:
                progress(done, total)
    manifest = {"layout": listing.layout, "source": str(listing.source), "options": dict(listing.options)}
    return writer.finish(manifest, [*listing.skipped, *repeated])


def check_image(data: bytes) -> None:
    """Do to an image what training will: decode, turn upright, convert to RGB. Raises whatever Pillow raises."""
    image = Image.open(io.BytesIO(data))
    if image.format in FORMATS_REFUSED:
        raise Reject(f"{image.format} files are not read")
    ImageOps.exif_transpose(image).convert("RGB")


def crop(data: bytes, box: tuple[int, int, int, int]) -> bytes:
    """Cut ``box`` (left, top, right, bottom, in pixels) out of an encoded image, as JPEG (quality 95) or else PNG.

    The box counts pixels as they are stored; a turn that the file asks for comes afterwards. What lies outside of the
    image is cut off.

    Raises:
        Reject: nothing of the box is inside.
    """
    image = Image.open(io.BytesIO(data))
    if image.format in FORMATS_REFUSED:
        raise Reject(f"{image.format} files are not read")
    left, top, right, bottom = box
    inside = (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise Reject("face box is outside the image")
    face = ImageOps.exif_transpose(image.crop(inside)).convert("L" if image.mode == "L" else "RGB")
    buffer = io.BytesIO()
    if image.format == "JPEG":
        face.save(buffer, "jpeg", quality=95)
    else:
        face.save(buffer, "png")
    return buffer.getvalue()


def _by_split(entries: Sequence[Entry]) -> tuple[dict[str, list[Entry]], list[Skip]]:
    by_split: dict[str, dict[str, Entry]] = {split: {} for split in SPLITS}
    repeated = []
    for entry in entries:
        if by_split[entry.split].setdefault(entry.id, entry) is not entry:
            repeated.append(Skip(entry.path, "id occurs again"))
    return {split: list(by_id.values()) for split, by_id in by_split.items()}, repeated


def _digest(entries: Sequence[Entry]) -> str:
    """Changes when anything that the entries say does: a resumed import must not mix two states of a source."""
    digest = hashlib.sha256()
    for e in entries:
        digest.update(repr((e.id, e.split, e.path, e.label, e.true_label, sorted(e.extra.items()))).encode())
    return digest.hexdigest()


def _read_parts(entries: Sequence[Entry], listing: Listing, skipped: list[Skip]) -> Iterator[pa.Table]:
    """Tables of usable images, none much above ``PART_BYTES``; what is left out is added to ``skipped``."""
    schema = folder_schema(listing.class_names, listing.extra_fields)
    rows: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        try:
            data = listing.read_bytes(entry)
            check_image(data)
            late = listing.read_extra(entry) if listing.read_extra else {}
        except Reject as reason:
            skipped.append(Skip(entry.path, str(reason)))
            continue
        # Pillow raises nearly anything on a broken file; whatever it was is listed beside the file's name.
        except Exception as error:
            skipped.append(Skip(entry.path, f"unreadable image ({type(error).__name__})"))
            continue
        rows.append(
            {
                "image": {"bytes": data, "path": entry.path},
                "id": entry.id,
                "label": entry.label,
                "true_label": entry.true_label,
                **entry.extra,
                **late,
            }
        )
        size += len(data)
        if len(rows) == ROW_GROUP or size >= PART_BYTES:
            yield pa.Table.from_pylist(rows, schema)
            rows, size = [], 0
    if rows:
        yield pa.Table.from_pylist(rows, schema)
