"""One face from sight to sight within a shot."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from selfcure.predict.tracking import overlap

FIELDS = 6
"""Numbers of a sight: seconds, left, top, right, bottom, score."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A face in one frame."""

    time_sec: float
    box: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels of the upright video."""
    score: float


@dataclass
class Track:
    """Sights of one face, in order."""

    seen: list[Sight] = field(default_factory=list)

    @property
    def start_sec(self) -> float:
        return self.seen[0].time_sec

    @property
    def end_sec(self) -> float:
        return self.seen[-1].time_sec

    def packed(self) -> bytes:
        """[N, 6] little-endian float32, see :data:`FIELDS`."""
        rows = [(s.time_sec, *s.box, s.score) for s in self.seen]
        return np.array(rows, "<f4").tobytes()


def follow(samples: Iterable[Sequence[Sight]], *, min_overlap: float, max_gap_sec: float) -> list[Track]:
    """Join faces of frame after frame into tracks, in the order in which these begin.

    Of all pairs of a face and a track whose last boxes overlap enough the one that overlaps most is joined first, as
    :class:`~selfcure.predict.tracking.Tracker` does. A track that was not seen for ``max_gap_sec`` is over.

    Args:
        samples: the faces of each frame, in time order; a frame without faces may be left out.
        min_overlap: intersection over union, 0–1.
    """
    tracks: list[Track] = []
    alive: list[Track] = []
    for faces in samples:
        if not faces:
            continue
        now = faces[0].time_sec
        alive = [track for track in alive if now - track.end_sec <= max_gap_sec + 1e-6]
        joined = _joined(faces, alive, min_overlap)
        for index, face in enumerate(faces):
            track = joined.get(index)
            if track is None:
                track = Track()
                tracks.append(track)
                alive.append(track)
            track.seen.append(face)
    return tracks


def _joined(faces: Sequence[Sight], alive: Sequence[Track], min_overlap: float) -> dict[int, Track]:
    pairs = [
        (-overlap(face.box, track.seen[-1].box), number, index)
        for index, face in enumerate(faces)
        for number, track in enumerate(alive)
    ]
    joined: dict[int, Track] = {}
    taken: set[int] = set()
    for share, number, index in sorted(pairs):
        if -share >= min_overlap and index not in joined and number not in taken:
            joined[index] = alive[number]
            taken.add(number)
    return joined


def box_at(seen: np.ndarray, time_sec: float) -> np.ndarray:
    """[4] where the face of a track is: between its sights on a straight line.

    Args:
        seen: [N, 6] as :meth:`Track.packed` has it.

    >>> box_at(np.array([[0, 0, 0, 2, 2, 1], [1, 4, 0, 6, 2, 1]]), 0.25).tolist()
    [1.0, 0.0, 3.0, 2.0]
    """
    return np.array([np.interp(time_sec, seen[:, 0], seen[:, k]) for k in range(1, 5)])
