"""Reading photographs as people see them: upright, in RGB."""

import io
import threading
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from selfcure.data.readers.base import FORMATS_REFUSED
from selfcure.errors import SelfcureError

MAX_PIXELS = 100_000_000
"""Of a photograph, unless told otherwise: 300 MB once it is decoded."""

_OPENING = threading.Lock()


class UnreadableImage(SelfcureError):
    """An image that cannot be read. ``reason`` is the same for all images with the same defect, to be counted."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason = reason


def read_upright(source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image of any format and mode that Pillow knows.

    The EXIF orientation is obeyed. 16-bit images keep their upper 8 bits, transparent places become white, and of
    several frames or pages the first counts.

    Args:
        source: a file, or its bytes.
        max_pixels: refuse larger images before they are decoded.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        UnreadableImage: it is empty, cut off, damaged, too large, or no image.
        OSError: the file cannot be read.
    """
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    if not data:
        raise UnreadableImage("empty file")
    try:
        image = _open(data)
        if image.format in FORMATS_REFUSED:
            raise UnreadableImage(f"{image.format} files are not read")
        if image.width * image.height > max_pixels:
            raise UnreadableImage(
                f"image has more than {max_pixels:,} pixels", f"{image.width:,} × {image.height:,}"
            )
        return np.array(_rgb(ImageOps.exif_transpose(image)))  # a copy, for Pillow's own cannot be written to
    except (UnreadableImage, MemoryError):
        raise
    except Image.UnidentifiedImageError as error:
        raise UnreadableImage("not an image") from error
    except Exception as error:  # Pillow raises nearly anything on a broken file
        if "truncated" in str(error).lower():
            raise UnreadableImage("truncated image") from error
        raise UnreadableImage(f"unreadable image ({type(error).__name__})", str(error)) from error


def _open(data: bytes) -> Image.Image:
    # Pillow's own limit is global and can only warn below twice its value; ours is checked by the caller.
    with _OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(data))
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # "I" has 32 bits for what mostly was 16; convert() would cut both off at 255.
        return Image.fromarray(
            (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        ).convert("RGB")
    if image.mode == "F":
        return Image.fromarray(_float_range(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _float_range(pixels: np.ndarray) -> np.ndarray:
    """uint8 of floating-point pixels, which by custom are 0–1, or else 0–255."""
    pixels = np.nan_to_num(pixels)
    return (pixels * (255 if pixels.max(initial=0) <= 1 else 1)).round().clip(0, 255).astype(np.uint8)
