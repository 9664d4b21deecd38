"""Images and thumbnails for the browser, straight from the dataset folder."""

import io
import threading
from collections import OrderedDict
from contextlib import suppress

from selfcure.data.encoded import EncodedImages
from selfcure.data.folder import Dataset
from selfcure.errors import SelfcureError
from selfcure.review.samples import Samples

THUMBNAIL_PX = 128
_KEEP_BYTES = 48 << 20

_SIGNATURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif"}
"""What browsers show as it is; anything else is shown as a PNG made of it. SVG, which can hold scripts, is neither."""


class Pictures:
    """Encoded images by row of :class:`~selfcure.review.samples.Samples`. Threads may share it.

    Where the images lie is looked up at the first call for one, or by :meth:`open`; memory stays flat after that.
    """

    def __init__(self, dataset: Dataset, samples: Samples):
        self._dataset, self._samples = dataset, samples
        self._opening = threading.Lock()
        self._images: dict[str, EncodedImages] = {}
        self._lock = threading.Lock()
        self._thumbnails: OrderedDict[int, bytes] = OrderedDict()
        self._num_bytes = 0

    def open(self) -> None:
        """Look up where all images lie."""
        for name, _ in self._samples.splits:
            self._of(name)

    def image(self, row: int) -> tuple[bytes, str]:
        """An image as the browser can show it, and its media type.

        Raises:
            SelfcureError: it cannot be read or decoded.
        """
        data = self._read(row)
        kind = next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), None)
        if kind is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            kind = "image/webp"
        return (data, kind) if kind else (self._decoded(row, data, None), "image/png")

    def thumbnail(self, row: int) -> tuple[bytes, str]:
        """The same, at most :data:`THUMBNAIL_PX` wide and high; the last ones that had to be made are kept in memory."""
        with self._lock:
            if row in self._thumbnails:
                self._thumbnails.move_to_end(row)
                return self._thumbnails[row], "image/png"
        data, kind = self.image(row)
        if _is_small(data):
            return data, kind
        made = self._decoded(row, data, THUMBNAIL_PX)
        with self._lock:
            if row not in self._thumbnails:
                self._thumbnails[row] = made
                self._num_bytes += len(made)
            while self._num_bytes > _KEEP_BYTES:
                self._num_bytes -= len(self._thumbnails.popitem(last=False)[1])
        return made, "image/png"

    def _decoded(self, row: int, data: bytes, most_px: int | None) -> bytes:
        from PIL import Image, ImageOps

        try:
            image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
            if most_px:
                image.thumbnail((most_px, most_px))
            out = io.BytesIO()
            image.save(out, "png", compress_level=1)
        except Exception as error:  # Pillow raises nearly anything on a broken file
            raise SelfcureError(f"image {self._samples.id(row)!r} cannot be decoded") from error
        return out.getvalue()

    def _read(self, row: int) -> bytes:
        split, position = self._samples.split_of(row)
        return self._of(split).read([position])[0]

    def _of(self, split: str) -> EncodedImages:
        if split not in self._images:
            with self._opening:  # one thread looks, the others wait for it
                if split not in self._images:
                    self._images[split] = self._dataset.split(split).images()
        return self._images[split]


def _is_small(data: bytes) -> bool:
    from PIL import Image

    # What cannot be opened is not small; making a thumbnail of it fails, with its name.
    with suppress(Exception), Image.open(io.BytesIO(data)) as image:
        return max(image.size) <= THUMBNAIL_PX
    return False
