"""The results' folder: rows, drawings, tracks, timelines, and what was left out."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from PIL import Image

from selfcure.data.folder_writer import Skip
from selfcure.errors import SelfcureError
from selfcure.predict.drawing import annotate
from selfcure.predict.results import ImageReading, columns
from selfcure.predict.sources import Item
from selfcure.predict.timeline import TrackHistory, draw_timeline
from selfcure.predict.video import VideoWriter

ROWS, LINES, TRACKS, SKIPPED = "predictions.csv", "predictions.jsonl", "tracks.csv", "skipped.csv"


class Sink(Protocol):
    """Takes readings as they are made."""

    def begin(self, item: Item, rate: float | None) -> None:
        """An image, or with frames a second a video, comes next."""

    def add(self, item: Item, reading: ImageReading, image: np.ndarray) -> None:
        """A reading and its image [H, W, 3]."""

    def end(self, item: Item, tracks: Sequence[TrackHistory]) -> None:
        """That was all of it; called also after an interruption or an error."""


class ResultsFolder:
    """Writes what is read into a new folder; every line is there as soon as its image is done.

    ``predictions.csv`` has a row for each face, ``predictions.jsonl`` a line for each image; ``tracks.csv`` a row for
    each face that was followed through a video, ``NAME-timeline.png`` a picture of them. Drawings lie in ``annotated``.

    Args:
        out: must not exist, or be empty.
        rows, lines: write the one, the other file.
        annotated: draw.

    Raises:
        SelfcureError: ``out`` is in the way.
    """

    def __init__(self, out: Path, class_names: Sequence[str], *, rows: bool, lines: bool, annotated: bool):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise SelfcureError(f"{out} already exists; choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        self.out, self._class_names, self._annotated = out, class_names, annotated
        self._rows = RowWriter(_new(out / ROWS), class_names) if rows else None
        self._lines = LineWriter(_new(out / LINES)) if lines else None
        self._tracks: TextIO | None = None
        self._video: VideoWriter | None = None
        self._rate: float | None = None
        self.num_drawn = 0

    def begin(self, item: Item, rate: float | None) -> None:
        self._rate = rate

    def add(self, item: Item, reading: ImageReading, image: np.ndarray) -> None:
        for writer in (self._rows, self._lines):
            if writer:
                writer.add(item, reading, image)
        if self._annotated:
            self._draw(item, reading, image)

    def end(self, item: Item, tracks: Sequence[TrackHistory]) -> None:
        if self._video:
            self._video.close()
            self._video = None
        if tracks:
            self._write_tracks(item, tracks)
            name = Path(item.name)
            path = self.out / name.with_name(f"{name.stem}-timeline.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_timeline(tracks, self._class_names, name.name, path)

    def close(self, skipped: Sequence[Skip], *, keep: bool = True) -> None:
        """Finish the files and list what was left out; without ``keep`` leave nothing."""
        if self._video:  # an error came in between
            self._video.close()
        files = [writer.file for writer in (self._rows, self._lines) if writer]
        for file in [*files, *([self._tracks] if self._tracks else [])]:
            file.close()
        if not keep:
            for file in files:
                Path(file.name).unlink()
            self.out.rmdir()
        elif skipped:
            with _new(self.out / SKIPPED) as listing:
                writer = csv.writer(listing)
                writer.writerow(["path", "reason"])
                writer.writerows((skip.path, skip.reason) for skip in skipped)

    def _draw(self, item: Item, reading: ImageReading, image: np.ndarray) -> None:
        drawn = annotate(image, reading)
        place = self.out / "annotated" / item.name
        if self._rate is not None:
            if self._video is None:
                place.parent.mkdir(parents=True, exist_ok=True)
                self._video = VideoWriter(place.with_suffix(".mp4"), self._rate)
                self.num_drawn += 1
            assert reading.time_sec is not None
            self._video.write(reading.time_sec, drawn)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix.lower() in (".jpg", ".jpeg"):
            Image.fromarray(drawn).save(place, quality=92)
        else:
            Image.fromarray(drawn).save(place.with_suffix(".png"))
        self.num_drawn += 1

    def _write_tracks(self, item: Item, tracks: Sequence[TrackHistory]) -> None:
        if self._tracks is None:
            self._tracks = _new(self.out / TRACKS)
            fixed = ["source", "track", "first_sec", "last_sec", "num_frames", "expression", "importance"]
            csv.writer(self._tracks).writerow([*fixed, *(f"p_{name}" for name in self._class_names)])
        writer = csv.writer(self._tracks)
        for track in tracks:
            probs = track.mean_probs
            name = self._class_names[int(probs.argmax())]
            times = [round(track.first_sec, 4), round(track.last_sec, 4)]
            writer.writerow(
                [
                    item.source,
                    track.number,
                    *times,
                    track.num_frames,
                    name,
                    track.mean_importance,
                    *probs.tolist(),
                ]
            )


class RowWriter:
    """CSV: one row for each face."""

    def __init__(self, file: TextIO, class_names: Sequence[str]):
        self.file = file
        self._writer = csv.DictWriter(file, columns(class_names))
        self._writer.writeheader()

    def begin(self, item: Item, rate: float | None) -> None: ...

    def add(self, item: Item, reading: ImageReading, image: np.ndarray) -> None:
        self._writer.writerows(reading.rows())
        self.file.flush()

    def end(self, item: Item, tracks: Sequence[TrackHistory]) -> None: ...


class LineWriter:
    """JSON Lines: one object for each image or frame, with or without faces."""

    def __init__(self, file: TextIO):
        self.file = file
        self._ascii = (file.encoding or "utf-8").lower().replace("-", "") != "utf8"

    def begin(self, item: Item, rate: float | None) -> None: ...

    def add(self, item: Item, reading: ImageReading, image: np.ndarray) -> None:
        self.file.write(json.dumps(reading.to_dict(), ensure_ascii=self._ascii) + "\n")
        self.file.flush()

    def end(self, item: Item, tracks: Sequence[TrackHistory]) -> None: ...


def _new(path: Path) -> Any:
    return open(path, "x", encoding="utf-8", newline="")
