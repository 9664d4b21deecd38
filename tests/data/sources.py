"""Small sources in the published layouts, drawn on the fly."""

import io
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from selfcure.data.readers.base import Listing

VOTES = {
    # name → votes: neutral happiness surprise sadness anger disgust fear contempt unknown NF
    "FER2013Train": {
        "fer0000000.png": [6, 0, 1, 1, 0, 0, 0, 0, 2, 0],  # neutral
        "fer0000001.png": [0, 9, 0, 0, 0, 0, 0, 1, 0, 0],  # happiness
        "fer0000002.png": [4, 0, 0, 4, 2, 0, 0, 0, 0, 0],  # no majority; arg max neutral, the first
        "fer0000003.png": [0, 1, 0, 1, 0, 0, 0, 0, 8, 0],  # unknown; arg max happiness
        "fer0000004.png": [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],  # not a face, by both
        "fer0000005.png": [0, 0, 0, 0, 7, 3, 0, 0, 0, 0],  # anger
        "fer0000006.png": [0, 0, 6, 0, 0, 0, 4, 0, 0, 0],  # surprise
    },
    "FER2013Valid": {
        "fer0000010.png": [0, 0, 0, 10, 0, 0, 0, 0, 0, 0],
        "fer0000011.png": [0, 0, 0, 0, 0, 0, 8, 0, 2, 0],
    },
    "FER2013Test": {"fer0000020.png": [0, 0, 0, 0, 0, 0, 0, 10, 0, 0]},
}


def jpeg(width_px: int, height_px: int, colour: tuple[int, int, int] = (120, 90, 60)) -> bytes:
    """A picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (width_px, height_px), colour).save(buffer, "jpeg", quality=95)
    return buffer.getvalue()


def png(seed: int, size_px: int = 48) -> bytes:
    """A grey picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size_px, size_px), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def reasons(listing: Listing) -> dict[str, int]:
    """What a reader left out: reason → number."""
    return dict(Counter(skip.reason for skip in listing.skipped))


def labels(listing: Listing, split: str) -> list[tuple[str, str]]:
    """(id, name of the class) of a split's entries."""
    return [(e.id, listing.class_names[e.label]) for e in listing.entries if e.split == split]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def write_files(folder: Path, files: dict[str, bytes | str]) -> Path:
    """Make a folder of files."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


def zip_files(path: Path, files: dict[str, bytes], top: str = "") -> Path:
    """Make a zip of files, in a folder ``top``."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(top + name, data)
    return path
