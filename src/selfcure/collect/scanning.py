"""One video, read once: its shots, and the faces that stay in them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from selfcure.collect.looks import Looks
from selfcure.collect.settings import ClipSettings
from selfcure.collect.shots import SIDE, Shots
from selfcure.collect.tracks import Sight, Track, follow
from selfcure.data.readers.base import Reject
from selfcure.faces.detection import Detector
from selfcure.faces.videos import EPSILON, open_video, timed_frames, video_duration, video_stream

if TYPE_CHECKING:
    from av import VideoFrame

_AT_ONCE = 8
"""Frames in which faces are looked for together."""


@dataclass
class Clip:
    """A shot with a face that stays."""

    start_sec: float
    end_sec: float
    look: bytes
    tracks: list[Track]


@dataclass
class Scan:
    """What a video has."""

    clips: list[Clip] = field(default_factory=list)
    num_shots: int = 0
    duration_sec: float = 0.0
    note: str | None = None
    """What was wrong with it, where it could be used all the same."""


def scan_video(path: Path, settings: ClipSettings, detector: Detector) -> Scan:
    """Find the clips of a video.

    Every frame is decoded once. A small picture of each goes to PySceneDetect, and ``settings.fps`` of a second to the
    detector. What is held is the shot at hand: about 3 MB an hour of one shot with one face, a few frames beside.

    Raises:
        Reject: not one frame can be had of it.
    """
    scanner = _Scanner(settings, detector)
    note = None
    try:
        for time_sec, frame in _frames(path):
            scanner.add(time_sec, frame)
    except Reject as reason:
        if not scanner.num_frames:
            raise
        note = str(reason)
    if not scanner.num_frames:
        raise Reject("no frame can be decoded")
    found = scanner.finish()
    found.note = note
    return found


class _Scanner:
    def __init__(self, settings: ClipSettings, detector: Detector):
        self._settings, self._detector = settings, detector
        self._shots = Shots(settings.cut_ratio)
        self._looks = Looks()
        self._samples: list[list[Sight]] = []
        self._batch: list[tuple[float, float, np.ndarray]] = []  # seconds, scale, picture
        self._start = self._end = 0.0
        self._last_sample = -1
        self._found = Scan()
        self.num_frames = 0

    def add(self, time_sec: float, frame: "VideoFrame") -> None:
        if self.num_frames and time_sec <= self._end:
            return  # a frame out of order says nothing new
        small = _picture(frame, *SIDE, "bgr24")
        if not self.num_frames:
            self._start = time_sec
        self.num_frames += 1
        self._end = time_sec
        cuts = self._shots.add(small, time_sec)
        self._looks.add(time_sec, small)
        index = math.floor((time_sec + EPSILON) * self._settings.fps)
        if index > self._last_sample:
            self._last_sample = index
            self._batch.append((time_sec, *self._for_faces(frame)))
            if len(self._batch) == _AT_ONCE:
                self._find_faces()
        for cut in cuts:
            self._cut(cut)

    def finish(self) -> Scan:
        self._cut(math.inf)
        self._found.duration_sec = self._end
        return self._found

    def _for_faces(self, frame: "VideoFrame") -> tuple[float, np.ndarray]:
        """By how much it is shrunk, and the picture, upright."""
        scale = min(1.0, self._settings.side_px / min(frame.width, frame.height))
        size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
        pixels = _picture(frame, *size, "rgb24")
        turns = round(frame.rotation / 90) % 4
        return scale, np.ascontiguousarray(np.rot90(pixels, turns))

    def _find_faces(self) -> None:
        found = self._detector.detect([pixels for *_, pixels in self._batch])
        for (time_sec, scale, _), faces in zip(self._batch, found, strict=True):
            sights = []
            for face in faces:
                left, top, right, bottom = (face.box / scale).tolist()
                sights.append(Sight(time_sec, (left, top, right, bottom), face.score))
            if sights:
                self._samples.append(sights)
        self._batch.clear()

    def _cut(self, cut: float) -> None:
        """The shot at hand ends there."""
        self._find_faces()
        if cut <= self._start:
            return
        rest = self._looks.split(cut)
        before = [sights for sights in self._samples if sights[0].time_sec < cut]
        end = min(cut, self._end)
        tracks = self._lasting(before, end)
        self._found.num_shots += 1
        if tracks:
            look = self._looks.fingerprint(self._start, end)
            self._found.clips.append(Clip(self._start, end, look, tracks))
        self._samples = self._samples[len(before) :]
        self._looks, self._start = rest, cut

    def _lasting(self, samples: list[list[Sight]], end: float) -> list[Track]:
        """Faces that stay for long enough; each sight stands for the time until the next would have been."""
        settings = self._settings
        tracks = follow(samples, min_overlap=settings.min_overlap, max_gap_sec=settings.max_gap_sec)
        return [
            track
            for track in tracks
            if min(track.end_sec + 1 / settings.fps, end) - track.start_sec >= settings.min_face_sec - 1e-3
        ]


def _frames(path: Path) -> "Iterator[tuple[float, VideoFrame]]":
    """All frames and their seconds.

    Raises:
        Reject: not a video, damaged, or shorter than it says.
    """
    import av

    end = 0.0
    try:
        with open_video(path) as container:
            stream = video_stream(container)
            stream.codec_context.thread_count = 1  # workers share the processors among them
            for time_sec, frame in timed_frames(container, stream, from_start=True):
                if time_sec is not None:
                    end = max(end, time_sec)
                    yield time_sec, frame
            stated = video_duration(container, stream)
    except av.FFmpegError as error:
        raise Reject(f"damaged after {end:.1f} s" if end else "damaged") from error
    if stated and end < 0.95 * stated - 1:
        raise Reject(f"ends after {end:.1f} of {stated:.1f} s")


def _picture(frame: "VideoFrame", width: int, height: int, format: str) -> np.ndarray:
    """[height, width, 3] uint8, shrunk without aliasing."""
    from av.video.reformatter import Interpolation

    return frame.reformat(width, height, format, interpolation=Interpolation.AREA).to_ndarray()
