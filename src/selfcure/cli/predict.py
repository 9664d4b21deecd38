"""``selfcure predict``."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from selfcure.cli.output import Flag, console, errors, one_line, print_table, table
from selfcure.errors import SelfcureError

if TYPE_CHECKING:
    import numpy as np

    from selfcure.data.folder_writer import Skip
    from selfcure.predict.results import FaceReading, ImageReading
    from selfcure.predict.running import Counts
    from selfcure.predict.sources import Item
    from selfcure.predict.timeline import TrackHistory

_MOST_ROWS = 40
_MOST_LISTED = 5


def predict(
    sources: Annotated[list[str], Parameter(negative=(), metavar="[MODEL] SOURCE")],
    /,
    *,
    out: Path | None = None,
    json: Flag = False,
    csv: Flag = False,
    annotate: Flag = False,
    whole: Annotated[Flag, Parameter(name=["--whole", "--no-detect"])] = False,
    detector: str = "mtcnn",
    detector_weights: Path | None = None,
    min_face_px: int = 40,
    min_score: float = 0.95,
    align: str | None = None,
    margin: float | None = None,
    smooth: float = 0.3,
    frames: int | None = None,
    engine: str = "auto",
    device: str = "auto",
    threads: int = 0,
    max_pixels: int | None = None,
) -> None:
    """Read faces in images, videos and from a camera: class, probabilities and, with SCN, readability of each.

    MODEL is a run folder or a file of 'selfcure export'; without one the model of the installation is used. Without
    --out, --json or --csv a table is printed. Ctrl-C ends after the images at hand and keeps what was read.

    readability: the importance that the network gives the face, 0 to 1; higher is easier to read. In a video faces are
    followed (#1, #2 …) and probabilities smoothed over time.

    Parameters
    ----------
    sources
        Model, then images, folders, patterns such as 'day*/*.jpg', videos, or the number of a camera.
    out
        Folder to make: predictions.csv, and for videos tracks.csv and a timeline of each.
    json
        JSON Lines, one object for each image or frame: in --out predictions.jsonl, else printed.
    csv
        CSV, one row for each face: in --out predictions.csv (default there), else printed.
    annotate
        Draw the readings into copies of the images and videos in --out.
    whole
        Do not look for faces: each image is one already, or none at all.
    detector
        mtcnn (default), or yunet with --detector-weights.
    detector_weights
        Model file of a detector that brings none.
    min_face_px
        Side of the smallest face to look for.
    min_score
        Faces of which the detector is less sure are left out, 0 to 1.
    align
        How faces are cut out: similarity or box; by default as for the training where the model knows, else box.
    margin
        How much more than that to show on each side, as a share of the side.
    smooth
        Time constant of the smoothing in videos, in seconds; 0: none.
    frames
        Read so many frames of each video or camera at most.
    engine
        auto (default): torch for a run folder, onnxruntime for a file; openvino: faster, in bfloat16.
    device
        auto (default), cpu, cuda.
    threads
        CPU threads; 0: as many as the engine takes.
    max_pixels
        Refuse larger images; 100 million by default.
    """
    from selfcure.training.interrupt import Interrupted, StopRequest

    if annotate and out is None:
        raise SelfcureError("--annotate needs --out, a folder for the drawings")
    if json and csv and out is None:
        raise SelfcureError("--json and --csv cannot both be printed; choose one, or --out")
    if frames is not None and frames < 1:
        raise SelfcureError(f"--frames must be at least 1, not {frames}")
    model, sources = _model(sources)

    from selfcure.faces.detection import build_detector
    from selfcure.faces.photos import MAX_PIXELS
    from selfcure.predict.predictor import Predictor
    from selfcure.predict.running import Counts, read_items
    from selfcure.predict.sources import find_items
    from selfcure.predict.writers import LineWriter, ResultsFolder, RowWriter, Sink

    items, skipped = find_items(sources)
    with errors.status("opening the model"):
        predictor = Predictor(
            model,
            faces=not whole,
            detector="mtcnn"
            if whole
            else build_detector(
                detector,
                min_face_px=min_face_px,
                min_score=min_score,
                weights=detector_weights,
                device="cuda" if device == "cuda" else "cpu",
            ),
            align=align,
            margin=margin,
            engine=engine,
            device=device,
            num_threads=threads,
            max_pixels=MAX_PIXELS if max_pixels is None else max_pixels,
        )
    names = predictor.info.class_names
    folder = ResultsFolder(out, names, rows=csv or not json, lines=json, annotated=annotate) if out else None
    screen = _Screen()
    sink: Sink = folder or (
        LineWriter(sys.stdout) if json else RowWriter(sys.stdout, names) if csv else screen
    )
    counts = Counts(skipped=list(skipped))
    request = StopRequest(lambda: errors.print("stopping after the images at hand …"))
    try:
        with request, _bar() as progress:
            read_items(
                predictor,
                items,
                [sink],
                counts=counts,
                smooth_sec=smooth,
                max_frames=frames,
                stop=lambda: request.asked,
                progress=progress,
            )
    finally:
        nothing = not (counts.num_images or counts.videos)
        if folder:
            folder.close(counts.skipped, keep=not nothing)
    if nothing and not counts.stopped:
        raise SelfcureError(_nothing_read(counts.skipped))
    screen.print(names)
    _summary(counts, out, folder.num_drawn if folder else 0)
    if counts.stopped and not (counts.videos and counts.videos[-1].item.kind == "camera"):
        kept = f"what was read is in {out}" if out else "what was read is above"
        raise Interrupted(f"stopped before the end; {kept}")


def _model(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The model, None for the installation's, and the rest."""
    from selfcure.models import packaged_model
    from selfcure.predict.engines import is_model

    first, *rest = arguments
    path = Path(first)
    if is_model(path):
        return path, rest
    if rest and not path.exists() and not first.isdecimal() and not set(first) & set("*?["):
        raise SelfcureError(
            f"{first} does not exist; name a model (run folder or .onnx file), then what to look at"
        )
    try:
        packaged_model()
    except SelfcureError as error:
        raise SelfcureError(f"{first} is no run folder and no .onnx file; {error}") from error
    return None, list(arguments)


class _Screen:
    """A table of the first faces, and one of the faces in videos."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ...]] = []
        self._num_rows = 0
        self._tracks: list[tuple[str, TrackHistory]] = []
        self._has_importance = False

    def begin(self, item: "Item", rate: float | None) -> None: ...

    def add(self, item: "Item", reading: "ImageReading", image: "np.ndarray") -> None:
        if reading.frame is not None:
            return
        for number, face in enumerate(reading.faces, 1):
            self._num_rows += 1
            if self._num_rows > _MOST_ROWS:
                continue
            self._has_importance |= face.importance is not None
            self._rows.append(_row(item.name, number, face))

    def end(self, item: "Item", tracks: "Sequence[TrackHistory]") -> None:
        self._tracks += [(item.name, track) for track in tracks]

    def print(self, class_names: Sequence[str]) -> None:
        """What there is, longest tracks first."""
        if self._rows:
            shown = table(
                "image", "face", "reads", "then", *(["readable"] if self._has_importance else []), "box"
            )
            for row in self._rows:
                shown.add_row(*(row if self._has_importance else (*row[:4], row[5])))
            print_table(shown)
            if self._num_rows > _MOST_ROWS:
                console.print(
                    f"… {self._num_rows - _MOST_ROWS:,} more faces; --csv prints all, --out keeps them"
                )
        if self._tracks:
            shown = table("video", "face", "seconds", "frames", "on average")
            for name, track in sorted(self._tracks, key=lambda pair: -pair[1].num_frames)[:_MOST_ROWS]:
                probs = track.mean_probs
                best = int(probs.argmax())
                span = f"{track.first_sec:.1f}–{track.last_sec:.1f}"
                cells = (one_line(name), f"#{track.number}", span, f"{track.num_frames:,}")
                shown.add_row(*cells, one_line(f"{class_names[best]} {probs[best]:.0%}"))
            print_table(shown)
            if len(self._tracks) > _MOST_ROWS:
                console.print(f"… {len(self._tracks) - _MOST_ROWS:,} shorter ones; --out keeps them")


def _row(name: str, number: int, face: "FaceReading") -> tuple[str, ...]:
    ranked = sorted(face.probabilities.items(), key=lambda pair: -pair[1])
    best = [f"{name} {value:.0%}" for name, value in ranked[:2]]
    left, top, right, bottom = (round(side) for side in face.box)
    place = "whole" if face.landmarks is None else f"{left},{top} {right - left}×{bottom - top}"
    readable = "–" if face.importance is None else f"{face.importance:.2f}"
    return tuple(map(one_line, (name, str(number), *[*best, "–"][:2], readable, place)))


def _summary(counts: "Counts", out: Path | None, num_drawn: int) -> None:
    if counts.num_images:
        empty = f", {counts.num_without_face:,} without one" if counts.num_without_face else ""
        in_images = sum(counts.expressions.values())
        errors.print(f"{_number(in_images, 'face')} in {_number(counts.num_images, 'image')}{empty}")
    for video in counts.videos:
        errors.print(
            one_line(
                f"{video.item.source}: {video.num_frames:,} frames in {video.wall_sec:.1f} s, "
                f"{video.frames_per_sec:.1f} frames/s, {_number(video.num_tracks, 'face')} followed"
            ),
            soft_wrap=True,
        )
    for skip in counts.skipped[:_MOST_LISTED]:
        errors.print(one_line(f"skipped {skip.path}: {skip.reason}"), style="yellow", soft_wrap=True)
    if len(counts.skipped) > _MOST_LISTED:
        errors.print(
            f"skipped {len(counts.skipped):,} in all: {_reasons(counts.skipped)}",
            style="yellow",
            soft_wrap=True,
        )
    if out:
        drawn = f", {num_drawn:,} drawn in {out / 'annotated'}" if num_drawn else ""
        errors.print(one_line(f"results are in {out}{drawn}"), soft_wrap=True)


def _number(number: int, what: str) -> str:
    """
    >>> _number(1, "face"), _number(1200, "face")
    ('1 face', '1,200 faces')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _nothing_read(skipped: "Sequence[Skip]") -> str:
    if len(skipped) == 1:
        return f"{skipped[0].path}: {skipped[0].reason}"
    return f"none of {len(skipped):,} files could be read: {_reasons(skipped)}"


def _reasons(skipped: "Sequence[Skip]") -> str:
    return ", ".join(
        f"{number:,} × {reason}" for reason, number in Counter(s.reason for s in skipped).most_common()
    )


class _Rate(ProgressColumn):
    """Images or frames a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


@contextmanager
def _bar() -> "Iterator[Callable[[Item | None, int, int | None], None]]":
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as bar:
        tasks: dict[str, int] = {}

        def update(item: "Item | None", done: int, total: int | None) -> None:
            what = one_line(item.name) if item else "images"
            if what not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)  # type: ignore[arg-type]
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

        yield update
