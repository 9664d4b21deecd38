"""Frames of a video at a steady rate, one at a time, from any place in it."""

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from selfcure.data.readers.base import Reject

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

VIDEO_SUFFIXES = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".ts",
        ".mts",
        ".3gp",
        ".ogv",
    }
)
EPSILON = 1e-6
"""Seconds that a frame may be early: rates such as 29.97 are not exact in a file's ticks."""


def is_video(name: str) -> bool:
    """Whether the file is a video by its name."""
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame that was sampled."""

    index: int
    """k: it is the first frame from k / fps seconds on, and before (k + 1) / fps."""
    time_sec: float
    pixels: np.ndarray
    """[H, W, 3] uint8 RGB, upright."""


def count_samples(path: str | Path, fps: float) -> int | None:
    """About how many frames :func:`sample_frames` gives, None where the file does not say how long it is.

    Raises:
        Reject: not a video, or without a picture.
    """
    with open_video(path) as container:
        duration = video_duration(container, video_stream(container))
    return None if duration is None else max(1, math.ceil(duration * fps))


def sample_frames(path: str | Path, fps: float, first: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """Of every 1 / fps seconds the first frame: those of number ``first`` to ``stop``, without it.

    Which frames these are does not depend on where it begins.

    Raises:
        Reject: not a video, without a picture, damaged, or cut short; frames before that have been given by then.
    """
    import av

    try:
        for attempt in (first, 0) if first else (0,):
            with open_video(path) as container:
                stream = video_stream(container)
                if attempt and not _seek(container, stream, attempt / fps):
                    continue
                frames = timed_frames(container, stream, from_start=not attempt)
                head = next(frames, None)
                # What a seek gives may begin too late, or not say when it is.
                if attempt and (head is None or head[0] is None or head[0] > attempt / fps + EPSILON):
                    continue
                end = yield from _sampled(head, frames, fps, first, stop)
                stated = video_duration(container, stream)
                # What was cut off FFmpeg passes over in silence.
                if stop is None and stated and end < 0.95 * stated - 1:
                    raise Reject("video ends before its stated length")
                return
    except av.FFmpegError as error:
        raise Reject("video is damaged from here on") from error


def _sampled(
    head: "tuple[float | None, VideoFrame] | None",
    rest: "Iterator[tuple[float | None, VideoFrame]]",
    fps: float,
    first: int,
    stop: int | None,
) -> Generator[Frame, None, float]:
    """The frames, and in the end the seconds of the last that was there."""
    last, end = -1, 0.0
    while head is not None:
        time, frame = head
        if time is not None:
            index = math.floor((time + EPSILON) * fps)
            if stop is not None and index >= stop:
                return time
            if index > last and index >= first:
                yield Frame(index, time, _upright(frame))
            last, end = max(last, index), max(end, time)
        head = next(rest, None)
    return end


def timed_frames(
    container: "InputContainer", stream: "VideoStream", *, from_start: bool
) -> "Iterator[tuple[float | None, VideoFrame]]":
    """Frames and their seconds since the stream's start; counted where the file has no times."""
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    start = float((stream.start_time or 0) * (stream.time_base or 0))
    for number, frame in enumerate(container.decode(stream)):
        if frame.time is not None:
            yield frame.time - start, frame
        else:
            yield (float(number / rate) if from_start else None), frame


def _seek(container: "InputContainer", stream: "VideoStream", seconds: float) -> bool:
    import av

    if not stream.time_base:
        return False
    try:
        container.seek(int(seconds / stream.time_base) + (stream.start_time or 0), stream=stream)
    except av.FFmpegError:
        return False  # such a file is read from its start
    return True


def _upright(frame: "VideoFrame") -> np.ndarray:
    pixels = frame.to_ndarray(format="rgb24")
    # Phones store frames as the sensor lies and say how to turn them, counter-clockwise.
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def open_video(path: str | Path) -> "InputContainer":
    """A file to decode, closed by ``with``.

    Raises:
        Reject: it is empty or no video.
    """
    import av

    if not Path(path).stat().st_size:
        raise Reject("empty file")
    try:
        return av.open(str(path))
    except av.FFmpegError as error:
        raise Reject("not a readable video") from error


def video_duration(container: "InputContainer", stream: "VideoStream") -> float | None:
    """Seconds, as the file states."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def video_stream(container: "InputContainer") -> "VideoStream":
    """The moving pictures of a file.

    Raises:
        Reject: there are none.
    """
    # A cover picture is a video stream too.
    streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not streams:
        raise Reject("video without a video stream")
    return streams[0]
