"""The same face from frame to frame, and what is said of it without the flicker."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from selfcure.errors import SelfcureError
from selfcure.predict.results import FaceReading


@dataclass
class _Track:
    number: int
    box: tuple[float, float, float, float]
    time_sec: float
    probs: np.ndarray
    importance: float | None


class Tracker:
    """Follows faces by the overlap of their boxes, and smooths what is read from each over time.

    Of all pairs of a face and a track the one that overlaps most is joined first. A track that has not been seen for
    ``max_gap_sec`` ends; a face without a track begins one. Probabilities and importance are exponential averages with
    a time constant in seconds, so they do not depend on the frame rate.

    Args:
        smooth_sec: time constant; 0: no smoothing.
        min_overlap: intersection over union, 0–1, that joins a face and a track.
        max_gap_sec: how long a face may be out of sight.

    Raises:
        SelfcureError: an argument is out of range.
    """

    def __init__(self, *, smooth_sec: float = 0.3, min_overlap: float = 0.3, max_gap_sec: float = 0.5):
        if not 0 <= smooth_sec < math.inf:
            raise SelfcureError(f"smooth_sec must be at least 0, not {smooth_sec}")
        self.smooth_sec, self.min_overlap, self.max_gap_sec = smooth_sec, min_overlap, max_gap_sec
        self._tracks: list[_Track] = []
        self.num_tracks = 0
        """So far."""

    def update(self, faces: Sequence[FaceReading], time_sec: float) -> tuple[FaceReading, ...]:
        """The faces of the next frame with ``track`` set and probabilities smoothed, in their order."""
        self._tracks = [t for t in self._tracks if time_sec - t.time_sec <= self.max_gap_sec]
        joined = self._join(faces)
        return tuple(self._follow(face, joined.get(index), time_sec) for index, face in enumerate(faces))

    def _join(self, faces: Sequence[FaceReading]) -> dict[int, _Track]:
        pairs = [
            (overlap(face.box, track.box), index, track)
            for index, face in enumerate(faces)
            for track in self._tracks
        ]
        pairs.sort(key=lambda pair: (-pair[0], pair[2].number, pair[1]))
        joined: dict[int, _Track] = {}
        taken: set[int] = set()
        for share, index, track in pairs:
            if share >= self.min_overlap and index not in joined and track.number not in taken:
                joined[index] = track
                taken.add(track.number)
        return joined

    def _follow(self, face: FaceReading, track: _Track | None, time_sec: float) -> FaceReading:
        probs = np.array(list(face.probabilities.values()))
        if track is None:
            self.num_tracks += 1
            track = _Track(self.num_tracks, face.box, time_sec, probs, face.importance)
            self._tracks.append(track)
        else:
            keep = math.exp(-(time_sec - track.time_sec) / self.smooth_sec) if self.smooth_sec else 0.0
            track.probs = keep * track.probs + (1 - keep) * probs
            if face.importance is not None and track.importance is not None:
                track.importance = keep * track.importance + (1 - keep) * face.importance
            track.box, track.time_sec = face.box, time_sec
        names = list(face.probabilities)
        return replace(
            face,
            track=track.number,
            expression=names[int(track.probs.argmax())],
            probabilities=dict(zip(names, track.probs.tolist(), strict=True)),
            importance=track.importance,
        )


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes: left, top, right, bottom.

    >>> overlap((0, 0, 2, 2), (1, 0, 3, 2))
    0.3333333333333333
    """
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return both / (area - both)
