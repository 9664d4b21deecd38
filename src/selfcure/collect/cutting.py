"""Aligned crops of the faces of a clip: what one worker does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from selfcure.collect.settings import ClipSettings, FrameSettings
from selfcure.collect.tracks import FIELDS, box_at
from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import Reject
from selfcure.errors import SelfcureError
from selfcure.faces.alignment import align, warp
from selfcure.faces.detection import Detector, Face, build_detector
from selfcure.faces.extraction import Rows, encode
from selfcure.faces.videos import Frame, sample_frames
from selfcure.predict.tracking import overlap

_REGION_PX = 256
"""Side of the piece in which a face is looked for again; it is twice as large as the face."""
_MIN_FACE_PX = 48
_AT_ONCE = 32

COLUMNS = [
    pa.field("votes", pa.list_(pa.int32())),
    pa.field("video", pa.string()),
    pa.field("clip", pa.string()),
    pa.field("track", pa.int32()),
    pa.field("frame", pa.int64()),
    pa.field("time_sec", pa.float64()),
    pa.field("score", pa.float32()),
    pa.field("box", pa.list_(pa.float32())),
    pa.field("landmarks", pa.list_(pa.list_(pa.float32()))),
]
"""Of the dataset folder, beyond the core ones. ``votes``: queries of each class that found the video."""


@dataclass(frozen=True)
class Stretch:
    """Part of a clip."""

    path: str
    video: str
    clip: str
    label: int
    votes: tuple[int, ...]
    first: int
    stop: int
    """Numbers of the frames, as :func:`~selfcure.faces.videos.sample_frames` counts them."""
    tracks: tuple[tuple[int, bytes], ...]
    """Number and sights of each face that stays."""

    @property
    def weight(self) -> int:
        """About how many crops it has."""
        return max(1, (self.stop - self.first) * len(self.tracks))


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a face should be."""

    stretch: Stretch
    track: int
    frame: Frame
    box: np.ndarray

    @property
    def id(self) -> str:
        return f"{self.stretch.clip}-{self.track}-{self.frame.index}"


class Cutting:
    """The job of a worker: the crops of some stretches."""

    def __init__(self, frames: FrameSettings, clips: ClipSettings):
        self._frames, self._clips = frames, clips

    @cached_property
    def _detector(self) -> Detector:
        return build_detector("mtcnn", min_face_px=_MIN_FACE_PX, min_score=self._clips.min_score)

    def __call__(self, task: tuple[int, Sequence[Stretch]]) -> Rows:
        found = Rows()
        batch: list[_Place] = []
        for place in self._places(task[1], found.skipped):
            batch.append(place)
            if len(batch) == _AT_ONCE:
                self._cut(batch, found)
                batch = []
        if batch:
            self._cut(batch, found)
        return found

    def _places(self, stretches: Sequence[Stretch], skipped: list[Skip]) -> Iterator[_Place]:
        for stretch in stretches:
            tracks = [
                (number, np.frombuffer(seen, "<f4").reshape(-1, FIELDS)) for number, seen in stretch.tracks
            ]
            try:
                for frame in sample_frames(stretch.path, self._frames.fps, stretch.first, stretch.stop):
                    for number, seen in tracks:
                        if seen[0, 0] - 1e-3 <= frame.time_sec <= seen[-1, 0] + 1e-3:
                            yield _Place(stretch, number, frame, box_at(seen, frame.time_sec))
            except Reject as reason:
                skipped.append(Skip(stretch.clip, str(reason)))
            except OSError as error:
                skipped.append(Skip(stretch.clip, f"unreadable file ({error.strerror or 'error'})"))

    def _cut(self, batch: Sequence[_Place], found: Rows) -> None:
        regions = [_region(place.box) for place in batch]
        pixels = [warp(p.frame.pixels, r, _REGION_PX) for p, r in zip(batch, regions, strict=True)]
        for place, region, faces in zip(batch, regions, self._detector.detect(pixels), strict=True):
            here = [_moved_back(face, region) for face in faces]
            best = max(here, key=lambda face: overlap(face.box.tolist(), place.box.tolist()), default=None)
            if best is None or overlap(best.box.tolist(), place.box.tolist()) < self._clips.min_overlap:
                found.skipped.append(Skip(place.id, "face not found in this frame"))
                continue
            try:
                found.rows.append(self._row(place, best))
            except SelfcureError as error:
                found.skipped.append(Skip(place.id, str(error)))

    def _row(self, place: _Place, face: Face) -> dict[str, Any]:
        settings, stretch = self._frames, place.stretch
        crop = align(
            place.frame.pixels, face, size=settings.size, margin=settings.margin, mode=settings.align
        )
        return {
            "image": {"bytes": encode(crop, settings.format), "path": f"{stretch.clip}.{settings.format}"},
            "id": place.id,
            "label": stretch.label,
            "true_label": None,
            "votes": list(stretch.votes),
            "video": stretch.video,
            "clip": stretch.clip,
            "track": place.track,
            "frame": place.frame.index,
            "time_sec": place.frame.time_sec,
            "score": face.score,
            "box": face.box,
            "landmarks": face.landmarks.tolist(),
        }


def _region(box: np.ndarray) -> np.ndarray:
    """[2, 3] from the image to the piece around a box, twice as large."""
    left, top, right, bottom = box.tolist()
    scale = _REGION_PX / max(2 * max(right - left, bottom - top), 1.0)
    middle = np.array([left + right, top + bottom]) / 2
    return np.column_stack([scale * np.eye(2), (_REGION_PX - 1) / 2 - scale * middle])


def _moved_back(face: Face, region: np.ndarray) -> Face:
    """A face of the piece, in the image."""
    scale, shift = region[0, 0], region[:, 2]
    box = (face.box.reshape(2, 2) - shift) / scale
    landmarks = (face.landmarks - shift) / scale
    return Face(box.reshape(4).astype(np.float32), landmarks.astype(np.float32), face.score)
