"""Small dataset folders of striped images, and settings of a training that takes a second."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

TINY = {
    "backbone": "compact",
    "image_size_px": 16,
    "num_epochs": 4,
    "batch_size": 40,
    "learning_rate": 0.05,
    "seed": 3,
}
"""Settings of a training that takes a second."""


def stripes(
    label: int, num_classes: int, size: int, rng: np.random.Generator, *, grey: bool = False
) -> bytes:
    """A noisy image whose bright stripe says its class; ``grey`` is the same one without colour."""
    pixels = rng.integers(0, 140, (size, size, 3)).astype(np.uint8)
    height = size // num_classes
    pixels[label * height : (label + 1) * height] += 90
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert("L") if grey else image).save(buffer, "png")
    return buffer.getvalue()


def write_stripes(
    out: Path,
    *,
    num: int = 120,
    num_validation: int = 40,
    num_classes: int = 3,
    noise: float = 0.3,
    seed: int = 0,
    truth: str = "true",
    frames: int = 1,
    grey: bool = False,
):
    """A dataset folder of striped images; ``truth`` may be true, random or absent, all else equal.

    With more ``frames`` than one as many images each are a clip, with one label, in a column ``clip``.
    """
    from selfcure.data.readers.base import Entry, Listing, write_listing

    rng, other = np.random.default_rng(seed), np.random.default_rng(99)
    entries, images = [], {}
    for split, count in (("train", num), ("validation", num_validation)):
        for index in range(count):
            if index % frames == 0:
                label = int(rng.integers(num_classes))
                flipped = split == "train" and rng.random() < noise
                given = int((label + rng.integers(1, num_classes)) % num_classes) if flipped else label
            name = f"{split}-{index:04d}"
            images[name] = stripes(label, num_classes, 16, rng, grey=grey)
            known = {"true": label, "random": int(other.integers(num_classes)), "absent": None}[truth]
            extra = {"clip": f"{split}-{index // frames}"} if frames > 1 else {}
            entries.append(Entry(name, split, f"{name}.png", given, known, extra))
    names = [f"stripe {k}" for k in range(num_classes)]
    fields = [pa.field("clip", pa.string())] if frames > 1 else []
    listing = Listing("stripes", Path("stripes"), names, entries, [], lambda entry: images[entry.id], fields)
    return write_listing(listing, out)
