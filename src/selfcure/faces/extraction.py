"""From photographs and videos to rows of a dataset folder: what one worker does, alone and in order."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import Reject
from selfcure.errors import SelfcureError, check_choice
from selfcure.faces.alignment import MODES, align
from selfcure.faces.detection import Detector, Face, build_detector, check_detector
from selfcure.faces.photos import MAX_PIXELS, UnreadableImage, read_upright
from selfcure.faces.sources import Item, read_bytes
from selfcure.faces.videos import sample_frames

KEEP = ("largest", "all")
FORMATS = {"jpeg": {"quality": 95}, "png": {"compress_level": 1}}
_BATCH_PIXELS, _BATCH_PICTURES = 8_000_000, 32
"""Decoded pictures held at a time: 24 MB and one more."""


@dataclass(frozen=True, kw_only=True)
class FaceSettings:
    """How faces are found and cut out."""

    size: int = 224
    """Side of the crops in pixels."""
    align: str = "similarity"
    """``similarity`` brings the landmarks to the standard places; ``box`` takes the square around the box."""
    margin: float = 0.0
    """How much more to show on each side, as a share of the crop without it."""
    keep: str = "largest"
    """``largest`` face of each picture, or ``all``."""
    format: str = "jpeg"
    """Of the crops: ``jpeg`` (quality 95) or ``png``."""
    detector: str = "mtcnn"
    weights: str | None = None
    """Model file of a detector that brings none."""
    min_face_px: int = 40
    """Side of the smallest face to look for."""
    min_score: float = 0.95
    """Faces of which the detector is less sure are none."""
    max_pixels: int = MAX_PIXELS
    """Larger photographs are refused."""
    fps: float = 1.0
    """Frames a second to take of videos."""
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_choice("align", self.align, MODES)
        check_choice("keep", self.keep, KEEP)
        check_choice("format", self.format, FORMATS)
        check_detector(
            self.detector,
            min_face_px=self.min_face_px,
            min_score=self.min_score,
            weights=Path(self.weights) if self.weights else None,
            device=self.device,
        )
        if not 16 <= self.size <= 4096:
            raise SelfcureError(f"size must be from 16 to 4096 pixels, not {self.size}")
        if not -0.5 < self.margin <= 4:
            raise SelfcureError(f"margin must be above -0.5 and at most 4, not {self.margin}")
        if not 0 < self.fps <= 1000:
            raise SelfcureError(f"fps must be above 0 and at most 1000, not {self.fps}")
        if self.max_pixels < 1:
            raise SelfcureError(f"max_pixels must be positive, not {self.max_pixels}")

    def build_detector(self) -> Detector:
        """The detector these settings ask for.

        Raises:
            SelfcureError: as :func:`~selfcure.faces.detection.build_detector` does.
        """
        return build_detector(
            self.detector,
            min_face_px=self.min_face_px,
            min_score=self.min_score,
            weights=Path(self.weights) if self.weights else None,
            device=self.device,
        )


@dataclass
class Rows:
    """Rows for the dataset folder, and what was left out."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Picture:
    """A photograph or a frame, decoded."""

    item: Item
    pixels: np.ndarray
    frame: int | None = None
    time_sec: float | None = None

    @property
    def name(self) -> str:
        return self.item.path if self.frame is None else f"{self.item.path}#{self.frame}"

    @property
    def id(self) -> str:
        return self.item.id if self.frame is None else f"{self.item.id}#{self.frame}"


class Worker:
    """Finds and cuts out the faces of some items at a time.

    Args:
        root: the source that the items' paths are relative to.
        with_videos: whether rows have the columns of videos.
    """

    def __init__(self, settings: FaceSettings, root: Path, *, with_videos: bool):
        self._settings, self._root, self._with_videos = settings, root, with_videos
        self._detector: Detector | None = None

    def find(self, items: Sequence[Item]) -> Rows:
        """The faces of ``items``, in their order.

        The result depends on nothing else: one thread computes, so that last digits do not hang on how many there are.
        """
        self._detector = self._detector or self._settings.build_detector()
        found = Rows()
        with one_thread():
            for batch in self._batches(items, found.skipped):
                faces = self._detector.detect([picture.pixels for picture in batch])
                for picture, these in zip(batch, faces, strict=True):
                    self._add(found, picture, these)
        return found

    def _batches(self, items: Sequence[Item], skipped: list[Skip]) -> Iterator[list[_Picture]]:
        batch: list[_Picture] = []
        num_pixels = 0
        for picture in self._pictures(items, skipped):
            batch.append(picture)
            num_pixels += picture.pixels.shape[0] * picture.pixels.shape[1]
            if num_pixels >= _BATCH_PIXELS or len(batch) == _BATCH_PICTURES:
                yield batch
                batch, num_pixels = [], 0
        if batch:
            yield batch

    def _pictures(self, items: Sequence[Item], skipped: list[Skip]) -> Iterator[_Picture]:
        for item in items:
            name = item.path
            try:
                if item.frames is None:
                    data = read_bytes(self._root, item.path)
                    yield _Picture(item, read_upright(data, max_pixels=self._settings.max_pixels))
                    continue
                for frame in sample_frames(self._root / item.path, self._settings.fps, *item.frames):
                    name = f"{item.path}#{frame.index}"
                    yield _Picture(item, frame.pixels, frame.index, frame.time_sec)
            except UnreadableImage as error:
                skipped.append(Skip(name, error.reason))
            except Reject as reason:
                skipped.append(Skip(name, str(reason)))
            except OSError as error:
                skipped.append(Skip(name, f"unreadable file ({error.strerror or type(error).__name__})"))

    def _add(self, found: Rows, picture: _Picture, faces: list[Face]) -> None:
        if not faces:
            found.skipped.append(Skip(picture.name, "no face"))
            return
        by_size = sorted(faces, key=lambda face: -face.area_px)
        for number, face in enumerate(by_size):
            if number and self._settings.keep == "largest":
                found.skipped.append(Skip(f"{picture.name}#{number}", "not the largest face"))
                continue
            try:
                found.rows.append(self._row(picture, face, number, len(faces)))
            except SelfcureError as error:
                found.skipped.append(Skip(f"{picture.name}#{number}", str(error)))

    def _row(self, picture: _Picture, face: Face, number: int, num_faces: int) -> dict[str, Any]:
        settings, item = self._settings, picture.item
        crop = align(picture.pixels, face, size=settings.size, margin=settings.margin, mode=settings.align)
        row = {
            "image": {"bytes": encode(crop, settings.format), "path": item.path},
            "id": picture.id if settings.keep == "largest" else f"{picture.id}#{number}",
            "label": item.label,
            "true_label": item.true_label,
            **item.extra,
            "source": item.path,
            "face": number,
            "num_faces": num_faces,
            "score": face.score,
            "box": face.box,
            "landmarks": face.landmarks.tolist(),
        }
        return row | {"frame": picture.frame, "time_sec": picture.time_sec} if self._with_videos else row


def encode(pixels: np.ndarray, format: str) -> bytes:
    """An image [H, W, 3] uint8 as a file of one of :data:`FORMATS`."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **FORMATS[format])
    return buffer.getvalue()


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread inside, as before outside: workers share the cores among them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
