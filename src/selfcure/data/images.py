"""Decoded images of a split, in memory where they fit."""

import io
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from selfcure.errors import SelfcureError

_CHUNK = 256
_READ = 8
"""Images that a thread reads and decodes at a time."""


class Encoded(Protocol):
    """Encoded images by row; threads share it."""

    def __len__(self) -> int: ...

    def read(self, rows: Sequence[int]) -> list[bytes]:
        """The images of ``rows``, in their order."""

    def name(self, row: int) -> str:
        """What the source called an image."""


def decode(data: bytes, size_px: int, *, grey: bool = False) -> np.ndarray:
    """Decode an encoded image to [3, S, S] uint8 RGB, upright and stretched to a square (the public code does too).

    ``grey`` takes its colour out, for a network that was trained without any.
    """
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I"):  # 16 bits a pixel, which convert() would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    image = image.convert("RGB")
    if image.size != (size_px, size_px):
        image = image.resize((size_px, size_px), Image.Resampling.BILINEAR)
    if grey:
        image = image.convert("L").convert("RGB")
    return np.asarray(image).transpose(2, 0, 1)


def are_grey(images: Encoded, num: int = 64) -> bool:
    """Whether the images have no colour: judged by up to ``num`` of them, evenly spaced.

    A network that was trained on such images must be shown others without their colour too.
    """
    rows = np.linspace(0, len(images) - 1, min(num, len(images))).astype(int).tolist()
    pairs = zip(rows, images.read(rows), strict=True)
    return all(_is_grey(_decode_row(images, row, data, 32)) for row, data in pairs)


def _is_grey(image: np.ndarray) -> bool:
    spread = image.max(axis=0).astype(int) - image.min(axis=0)  # of [3, S, S]
    return bool(spread.mean() < 1)  # JPEG may leave a trace of colour in a grey image


def _decode_row(images: Encoded, row: int, data: bytes, size_px: int, *, grey: bool = False) -> np.ndarray:
    """:func:`decode`, with an error that names the image."""
    try:
        return decode(data, size_px, grey=grey)
    except Exception as error:  # Pillow raises nearly anything on a broken file
        why = re.sub(r" <_io.BytesIO.*?>", "", str(error)) or type(error).__name__
        raise SelfcureError(
            f"image {images.name(row)!r} (row {row}) cannot be decoded: {why}; import the dataset again"
        ) from error


def available_memory() -> int:
    """Bytes of memory that are free now; half of all where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


class ImageStore:
    """Serves batches of one split's images as uint8, decoding each once if all fit in ``cache_bytes``.

    Args:
        encoded: the images, as :meth:`Split.images` gives them.
        size_px: S, side of the square images served.
        cache_bytes: memory that decoded images may take; half of what is free by default.
        grey: take the colour out.
        progress: called with (done, total) while the cache fills.

    Raises:
        SelfcureError: an image cannot be decoded (imports check each, so the folder has changed since).
    """

    def __init__(
        self,
        encoded: Encoded,
        size_px: int,
        *,
        cache_bytes: int | None = None,
        grey: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.size_px = size_px
        self._grey = grey
        self._encoded = encoded
        self._pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
        budget = available_memory() // 2 if cache_bytes is None else cache_bytes
        self.cached = len(encoded) * 3 * size_px**2 <= budget
        self._cache: Tensor | None = self._decode_all(progress) if self.cached else None

    def __len__(self) -> int:
        return len(self._encoded)

    @property
    def device(self) -> torch.device:
        """Where batches come from: the CPU, unless :meth:`move_to` moved them."""
        return torch.device("cpu") if self._cache is None else self._cache.device

    def move_to(self, device: torch.device, budget_bytes: int) -> None:
        """Keep the decoded images on ``device``, if all are decoded and need at most ``budget_bytes``."""
        if self._cache is not None and self._cache.nbytes <= budget_bytes:
            self._cache = self._cache.to(device)

    def batch(self, rows: Tensor) -> Tensor:
        """[B, 3, S, S] uint8 images of ``rows`` [B], where the images are."""
        if self._cache is not None:
            return self._cache[rows.to(self._cache.device)]
        return self._decode(rows.tolist())

    def _decode_all(self, progress: Callable[[int, int], None] | None) -> Tensor:
        total = len(self)
        cache = torch.empty(total, 3, self.size_px, self.size_px, dtype=torch.uint8)
        for start in range(0, total, _CHUNK):
            stop = min(start + _CHUNK, total)
            cache[start:stop] = self._decode(list(range(start, stop)))
            if progress:
                progress(stop, total)
        return cache

    def _decode(self, rows: list[int]) -> Tensor:
        images = np.empty((len(rows), 3, self.size_px, self.size_px), np.uint8)

        def some(start: int) -> None:
            chosen = rows[start : start + _READ]
            for position, (row, data) in enumerate(zip(chosen, self._encoded.read(chosen), strict=True)):
                images[start + position] = _decode_row(
                    self._encoded, row, data, self.size_px, grey=self._grey
                )

        list(self._pool.map(some, range(0, len(rows), _READ)))
        return torch.from_numpy(images)
