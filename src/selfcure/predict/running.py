"""Everything that was named, read one after the other."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import Reject
from selfcure.errors import SelfcureError
from selfcure.faces.photos import UnreadableImage
from selfcure.predict.predictor import Predictor
from selfcure.predict.results import ImageReading
from selfcure.predict.sources import Item
from selfcure.predict.timeline import Histories, TrackHistory
from selfcure.predict.tracking import Tracker
from selfcure.predict.video import TimedFrame, count_frames, frame_rate, read_camera, read_video
from selfcure.predict.writers import Sink

_GROUP_PIXELS, _GROUP = 8_000_000, 16
"""Images that are looked through together, at most: enough for the networks, little for the memory."""


@dataclass
class VideoCount:
    """What came of one video."""

    item: Item
    num_frames: int = 0
    num_tracks: int = 0
    wall_sec: float = 0.0

    @property
    def frames_per_sec(self) -> float:
        """Of everything: decoding, detection, reading, drawing, writing."""
        return self.num_frames / self.wall_sec if self.wall_sec else 0.0


@dataclass
class Counts:
    """What came of everything."""

    num_images: int = 0
    num_faces: int = 0
    num_without_face: int = 0
    """Images, not frames, in which no face was found."""
    expressions: dict[str, int] = field(default_factory=dict)
    """Class → faces, of images."""
    videos: list[VideoCount] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    stopped: bool = False
    """Before the end, because it was asked to."""


def read_items(
    predictor: Predictor,
    items: Sequence[Item],
    sinks: Sequence[Sink],
    *,
    counts: Counts,
    smooth_sec: float = 0.3,
    max_frames: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Item | None, int, int | None], None] = lambda item, done, total: None,
) -> None:
    """Read all items; what cannot be read is left out and counted.

    Args:
        counts: filled while it goes on, so that it is there after an interruption too.
        smooth_sec: see :class:`~selfcure.predict.tracking.Tracker`.
        max_frames: of each video or camera.
        stop: asked after each group of images or frames whether to end here.
        progress: called with (the video at hand or None, done, total or None): images, or its frames.
    """
    trackers = [(item, Tracker(smooth_sec=smooth_sec)) for item in items if item.kind != "image"]
    images = [item for item in items if item.kind == "image"]
    skipped_before = len(counts.skipped)
    for group in _decoded(predictor, images, counts):
        for item, pixels, reading in _read_group(predictor, group, counts):
            _count(counts, reading)
            for sink in sinks:
                sink.begin(item, None)
                sink.add(item, reading, pixels)
                sink.end(item, ())
        progress(None, counts.num_images + len(counts.skipped) - skipped_before, len(images))
        if stop():
            counts.stopped = True
            return
    for item, tracker in trackers:
        _read_video(predictor, item, sinks, counts, tracker, max_frames, stop, progress)
        if counts.stopped:
            return


def _decoded(
    predictor: Predictor, items: Sequence[Item], counts: Counts
) -> Iterator[list[tuple[Item, np.ndarray]]]:
    """Images in groups that are read together."""
    group: list[tuple[Item, np.ndarray]] = []
    num_pixels = 0
    for item in items:
        try:
            pixels = predictor.pixels(item.path)
        except UnreadableImage as error:
            counts.skipped.append(Skip(item.source, error.reason))
            continue
        except OSError as error:
            counts.skipped.append(Skip(item.source, error.strerror or "unreadable file"))
            continue
        size = pixels.shape[0] * pixels.shape[1]
        if group and (num_pixels + size > _GROUP_PIXELS or len(group) == _GROUP):
            yield group
            group, num_pixels = [], 0
        group.append((item, pixels))
        num_pixels += size
    if group:
        yield group


def _read_group(
    predictor: Predictor, group: Sequence[tuple[Item, np.ndarray]], counts: Counts
) -> Iterator[tuple[Item, np.ndarray, ImageReading]]:
    items, images = zip(*group, strict=True)
    try:
        readings = predictor.read(images, [item.source for item in items])
    except SelfcureError as error:
        if len(group) == 1:
            counts.skipped.append(Skip(items[0].source, str(error)))
            return
        for one in group:  # one of them has spoiled it
            yield from _read_group(predictor, [one], counts)
        return
    yield from zip(items, images, readings, strict=True)


def _read_video(
    predictor: Predictor,
    item: Item,
    sinks: Sequence[Sink],
    counts: Counts,
    tracker: Tracker,
    max_frames: int | None,
    stop: Callable[[], bool],
    progress: Callable[[Item | None, int, int | None], None],
) -> None:
    count = VideoCount(item)
    histories = Histories(len(predictor.info.class_names))
    start = time.perf_counter()
    begun = False
    try:
        total = count_frames(item.path) if item.kind == "video" else None
        total = max_frames if total is None else min(total, max_frames or total)
        progress(item, 0, total)
        rate = frame_rate(item.path) if item.kind == "video" else 25.0
        frames = read_video(item.path) if item.kind == "video" else read_camera(int(str(item.path)))
        for batch in _batches(islice(frames, max_frames), live=item.kind == "camera"):
            if not begun:
                begun = True
                counts.videos.append(count)
                for sink in sinks:
                    sink.begin(item, rate)
            readings = predictor.read([image for _, image in batch], [item.source] * len(batch))
            for (seconds, image), raw in zip(batch, readings, strict=True):
                faces = tracker.update(raw.faces, seconds)
                reading = replace(raw, faces=faces, frame=count.num_frames, time_sec=seconds)
                histories.add(faces, seconds)
                for sink in sinks:
                    sink.add(item, reading, image)
                count.num_frames += 1
                counts.num_faces += len(faces)
            progress(item, count.num_frames, total)
            if stop():
                counts.stopped = True
                break
        if not begun:
            raise Reject("video without a frame")
    except (Reject, OSError) as error:
        reason = (error.strerror or "unreadable file") if isinstance(error, OSError) else str(error)
        if begun and isinstance(error, OSError):
            raise  # that was no reading but a writing
        after = f" (after {count.num_frames:,} frames, which were read)" if count.num_frames else ""
        counts.skipped.append(Skip(item.source, reason + after))
    finally:
        count.wall_sec = time.perf_counter() - start
        count.num_tracks = tracker.num_tracks
        if begun:
            _end(sinks, item, histories.tracks)


def _end(sinks: Sequence[Sink], item: Item, tracks: Sequence[TrackHistory]) -> None:
    for sink in sinks:
        sink.end(item, tracks)


def _batches(frames: Iterator[TimedFrame], *, live: bool) -> Iterator[list[TimedFrame]]:
    """Frames that are looked through together; of a camera each as it comes.

    What was decoded before a damage is given before its error.
    """
    batch: list[TimedFrame] = []
    try:
        for frame in frames:
            batch.append(frame)
            if live or len(batch) == _GROUP or len(batch) * frame[1].size > 3 * _GROUP_PIXELS:
                yield batch
                batch = []
    except Reject:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _count(counts: Counts, reading: ImageReading) -> None:
    counts.num_images += 1
    counts.num_faces += len(reading.faces)
    counts.num_without_face += not reading.faces
    for face in reading.faces:
        counts.expressions[face.expression] = counts.expressions.get(face.expression, 0) + 1
