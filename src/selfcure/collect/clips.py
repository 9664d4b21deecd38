"""The stage ``clips``: every video that is here cut into shots with a face that stays."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from selfcure.collect.engines import share_out
from selfcure.collect.ledger import Ledger, Row
from selfcure.collect.local import sha256
from selfcure.collect.looks import find_same
from selfcure.collect.project import Project
from selfcure.collect.scanning import Clip, Scan, scan_video
from selfcure.collect.settings import ClipSettings
from selfcure.collect.shots import Shots
from selfcure.data.readers.base import Reject
from selfcure.faces.detection import Detector, build_detector


@dataclass(frozen=True)
class _Task:
    id: str
    path: Path
    checksum: str


class _Scanning:
    """The job of a worker: one video."""

    def __init__(self, settings: ClipSettings):
        self._settings = settings

    @cached_property
    def _detector(self) -> Detector:
        return build_detector(
            "mtcnn", min_face_px=self._settings.min_face_px, min_score=self._settings.min_score
        )

    def __call__(self, task: _Task) -> Scan | str:
        """What the video has, or why it cannot be used."""
        try:
            if not task.path.stat().st_size:
                return "empty file"
            if sha256(task.path) != task.checksum:
                return "the file was changed since it was taken"
            return scan_video(task.path, self._settings, self._detector)
        except Reject as reason:
            return str(reason)
        except OSError as error:
            return f"unreadable file ({error.strerror or type(error).__name__})"


def find_clips(
    project: Project,
    *,
    workers: int = 1,
    engine: str = "local",
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Scan every downloaded video, each written when it is done; then drop clips that look like an earlier one.

    The ledger is the same whatever ``workers`` and ``engine``.

    Args:
        progress: called with (done, total) videos.

    Raises:
        SelfcureError: an argument is out of range, a library is missing, or a worker was killed.
    """
    ledger, settings = project.ledger, project.plan.clips
    videos = ledger.rows("SELECT id, file, checksum FROM videos WHERE state = 'downloaded' ORDER BY number")
    total = len(videos) + ledger.value("SELECT COUNT(*) FROM videos WHERE state = 'clipped'")
    done = total - len(videos)
    if videos:
        Shots(settings.cut_ratio)  # a missing library is said once, before anything is begun
    tasks = [_Task(v["id"], (project.videos / v["file"]).absolute(), v["checksum"]) for v in videos]
    results = share_out(_Scanning(settings), tasks, workers=min(workers, max(1, len(tasks))), engine=engine)
    for task, result in results:
        with ledger.writing():
            _write(ledger, task.id, result)
        done += 1
        if progress:
            progress(done, total)
    drop_same(project)


def drop_same(project: Project) -> None:
    """Mark clips that look like an earlier one, by the order of the videos; decided anew each time, so order is all."""
    ledger = project.ledger
    rows: list[Row] = ledger.rows(
        "SELECT c.id, c.start_sec, c.end_sec, c.checksum, c.same_as FROM clips c JOIN videos v ON v.id = c.video "
        "ORDER BY v.number, c.number"
    )
    lengths = [row["end_sec"] - row["start_sec"] for row in rows]
    same = find_same([row["checksum"] for row in rows], lengths, project.plan.clips.same_bits)
    now = {rows[row]["id"]: rows[other]["id"] for row, other in same.items()}
    before = {row["id"]: row["same_as"] for row in rows if row["same_as"]}
    if now == before:
        return
    with ledger.writing():
        ledger.run("UPDATE clips SET state = 'kept', same_as = NULL WHERE state = 'duplicate'")
        for clip, other in now.items():
            ledger.update("clips", clip, {"state": "duplicate", "same_as": other})


def _write(ledger: Ledger, video: str, result: Scan | str) -> None:
    """What a scan found, all at once."""
    ledger.run("DELETE FROM tracks WHERE clip IN (SELECT id FROM clips WHERE video = ?)", (video,))
    ledger.run("DELETE FROM clips WHERE video = ?", (video,))
    if isinstance(result, str):
        ledger.update("videos", video, {"state": "failed", "failed_in": "clips", "error": result})
        return
    for number, clip in enumerate(result.clips):
        _write_clip(ledger, video, number, clip)
    changes = {
        "state": "clipped",
        "failed_in": None,
        "error": None,
        "note": result.note,
        "num_shots": result.num_shots,
        "duration_sec": round(result.duration_sec, 3),
    }
    ledger.update("videos", video, changes)


def _write_clip(ledger: Ledger, video: str, number: int, clip: Clip) -> None:
    id_ = f"{video}-{number:04d}"
    row = {
        "id": id_,
        "video": video,
        "number": number,
        "start_sec": clip.start_sec,
        "end_sec": clip.end_sec,
        "checksum": clip.look,
    }
    ledger.insert("clips", row)
    for position, track in enumerate(clip.tracks):
        row = {
            "clip": id_,
            "number": position,
            "start_sec": track.start_sec,
            "end_sec": track.end_sec,
            "seen": track.packed(),
        }
        ledger.insert("tracks", row)
