"""Videos and cameras, frame by frame, in and out."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from selfcure.data.readers.base import Reject
from selfcure.faces.videos import count_samples, sample_frames

_EVERY_FRAME = 1000.0
"""Frames a second that no video has."""
_TICKS = 60_000
"""A second of a written video: 24, 25, 29.97, 30, 50 and 60 frames a second fall on whole ticks."""

TimedFrame = tuple[float, np.ndarray]
"""Seconds since the start, and [H, W, 3] uint8 RGB, upright."""


def read_video(path: Path) -> Iterator[TimedFrame]:
    """Every frame of a video, one in memory at a time.

    Raises:
        Reject: no video, without a picture, or damaged; frames before the damage have been given by then.
    """
    for frame in sample_frames(path, _EVERY_FRAME):
        yield frame.time_sec, frame.pixels


def count_frames(path: Path) -> int | None:
    """About how many frames there are; None where the file does not say.

    Raises:
        Reject: no video, or without a picture.
    """
    return count_samples(path, frame_rate(path))


def frame_rate(path: Path) -> float:
    """Frames a second on average, 25 where the file does not say."""
    import av

    with suppress(av.FFmpegError), av.open(str(path)) as container:
        for stream in container.streams.video:
            return float(stream.average_rate or stream.guessed_rate or 25)
    return 25.0


def read_camera(number: int) -> Iterator[TimedFrame]:
    """Frames of a camera of this machine until somebody stops asking.

    Raises:
        Reject: there is no such camera, or it gives no picture.
    """
    import av

    name, driver = {
        "darwin": (str(number), "avfoundation"),
        "win32": (f"video={number}", "dshow"),
    }.get(sys.platform, (f"/dev/video{number}", "v4l2"))
    try:
        container: Any = av.open(name, format=driver)
    except (av.FFmpegError, OSError) as error:
        raise Reject(f"no such camera ({error.strerror or error})") from error
    try:
        with container:
            start: float | None = None
            for frame in container.decode(video=0):
                time = float(frame.time or 0)
                start = time if start is None else start
                yield time - start, frame.to_ndarray(format="rgb24")
    except av.FFmpegError as error:
        raise Reject(f"camera stopped ({error.strerror or error})") from error


class VideoWriter:
    """Writes frames to an mp4 file (H.264 where this PyAV can, without sound), as they come.

    It is there once :meth:`close` was called; until then it is ``NAME.partial``.

    Args:
        rate: frames a second that players are told; each frame keeps its own time.
    """

    def __init__(self, path: Path, rate: float):
        import av

        self.path, self._partial = path, path.with_name(path.name + ".partial")
        self._codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        self._container = av.open(str(self._partial), "w", format="mp4")
        self._rate, self._stream, self._last = rate, None, -1

    def write(self, time_sec: float, image: np.ndarray) -> None:
        """Add a frame [H, W, 3] uint8 RGB; all must have the size of the first."""
        import av

        height, width = (side // 2 * 2 for side in image.shape[:2])  # colour has half the resolution
        if self._stream is None:
            self._start(height, width)
        stream: Any = self._stream
        if (width, height) != (stream.width, stream.height):  # a stream may change its size
            from PIL import Image

            image = np.asarray(Image.fromarray(image).resize((stream.width, stream.height)))
            height, width = stream.height, stream.width
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="rgb24")
        # Two frames at one time cannot be written.
        self._last = max(self._last + 1, round(time_sec * _TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        self._container.mux(stream.encode(frame))

    def close(self) -> None:
        """Finish the file; without a frame there is none."""
        if self._stream is not None:
            stream: Any = self._stream
            self._container.mux(stream.encode())
        self._container.close()
        if self._stream is None:
            self._partial.unlink(missing_ok=True)
        else:
            self._partial.replace(self.path)

    def _start(self, height: int, width: int) -> None:
        rate = Fraction(min(max(self._rate, 1.0), 240.0)).limit_denominator(1001)
        stream: Any = self._container.add_stream(self._codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        if self._codec == "libx264":
            stream.options = {"crf": "20", "preset": "veryfast"}
        self._stream = stream


def numbered(frames: Iterator[TimedFrame]) -> Iterator[tuple[int, float, np.ndarray]]:
    """The frames with their numbers, from 0."""
    for number, (time, image) in zip(count(), frames, strict=False):
        yield number, time, image
