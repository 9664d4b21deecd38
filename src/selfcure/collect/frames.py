"""The stage ``frames``: the faces of all clips as a dataset folder."""

import hashlib
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np

from selfcure.collect.cutting import COLUMNS, Cutting, Stretch
from selfcure.collect.engines import in_order, share_out
from selfcure.collect.ledger import Row
from selfcure.collect.project import DATASET, Project
from selfcure.collect.settings import FrameSettings
from selfcure.collect.tracks import FIELDS
from selfcure.data.folder import MANIFEST, Dataset
from selfcure.data.folder_writer import FolderWriter, Skip
from selfcure.data.readers.subjects import share_of_groups
from selfcure.data.schema import folder_schema
from selfcure.errors import SelfcureError
from selfcure.faces.pipeline import ProgressCount, into_shards, shard_rows

_CHUNK_FRAMES = 128
"""What a worker gets at a time."""
SHARD = 1024
"""Crops in a shard, about: what a kill costs at most."""
_MADE_FROM = "made_from"


def cut_frames(
    project: Project,
    *,
    settings: FrameSettings | None = None,
    workers: int = 1,
    engine: str = "local",
    shard_size: int = SHARD,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Cut the faces out of every kept clip, into the project's ``dataset``.

    The label of a video, and so of all its crops, is the class with the most votes; of equal ones the first in the plan.
    Whole videos go to the validation split, about the same share of each class that has two or more. Stopped, the same
    call goes on after the last finished shard; done already, it has nothing to do. The folder is the same, byte for byte,
    whatever ``workers`` and ``engine``.

    Args:
        settings: by default the plan's.
        progress: called with (done, total) crops, of which the total is an estimate.

    Raises:
        SelfcureError: there is no clip, ``dataset`` is that of other clips or settings, or a worker was killed.
    """
    settings = settings or project.plan.frames
    out = project.folder / DATASET
    left_out: list[Skip] = []
    by_split = _by_split(project, settings, left_out)
    # A stretch has what these helpers of `selfcure faces` need of an item: its weight.
    shards: dict[str, Any] = {
        split: list(into_shards(cast(Any, _chunks(some)), shard_size))
        for split, some in by_split.items()
        if some
    }
    made_from = _digest(itertools.chain.from_iterable(by_split.values()), settings)
    if (out / MANIFEST).is_file():
        dataset = Dataset(out)
        if dataset.manifest.get(_MADE_FROM) == made_from:
            return dataset
        raise SelfcureError(
            f"{out} was made from other clips or settings than there are now; move or delete it, then repeat the command"
        )
    if not shards:
        raise SelfcureError(
            f"{project.folder} has no clip with a face that stays; 'selfcure collect status {project.folder}' says why"
        )
    options = asdict(settings)
    writer = FolderWriter(
        out,
        class_names=project.plan.class_names,
        plan={"layout": "collect", "options": options, _MADE_FROM: made_from, "shard_size": shard_size},
        num_shards={split: len(some) for split, some in shards.items()},
        extra=COLUMNS,
    )
    _write(writer, shards, Cutting(settings, project.plan.clips), workers, engine, progress)
    manifest = {
        "layout": "collect",
        "source": str(project.folder),
        "plan": project.plan.name,
        "options": options,
        _MADE_FROM: made_from,
    }
    return writer.finish(manifest, left_out)


def label_of(votes: Mapping[str, int], class_names: Sequence[str]) -> int:
    """The class with the most votes; of equal ones the first in the plan.

    >>> label_of({"sad": 2, "happy": 2, "angry": 1}, ["angry", "happy", "sad"])
    1
    """
    counts = [votes.get(name, 0) for name in class_names]
    return counts.index(max(counts))


def _write(
    writer: FolderWriter,
    shards: Mapping[str, Any],
    job: Cutting,
    workers: int,
    engine: str,
    progress: Callable[[int, int], None] | None,
) -> None:
    everything = [(split, index) for split, some in shards.items() for index in range(len(some))]
    missing = [(split, index) for split, index in everything if not writer.has(split, index)]
    chunks = [chunk for split, index in missing for chunk in shards[split][index]]
    total = sum(_weight(chunk) for split, index in everything for chunk in shards[split][index])
    count = ProgressCount(progress, total, sum(map(_weight, chunks)))
    shared = share_out(job, enumerate(chunks), workers=min(workers, max(1, len(chunks))), engine=engine)
    results = in_order(shared)
    schema = folder_schema(writer.class_names, COLUMNS)
    try:
        for split, index in missing:
            skipped: list[Skip] = []
            rows = shard_rows(shards[split][index], results, schema, skipped, count)
            writer.write(split, index, rows, skipped)
    finally:
        shared.close()  # type: ignore[attr-defined]  # a generator, which ends its workers


def _weight(chunk: Sequence[Stretch]) -> int:
    return sum(stretch.weight for stretch in chunk)


def _by_split(project: Project, settings: FrameSettings, left_out: list[Skip]) -> dict[str, list[Stretch]]:
    stretches = list(_stretches(project, settings, left_out))
    validation = _validation_videos(stretches, settings)
    return {
        "train": [s for s in stretches if s.video not in validation],
        "validation": [s for s in stretches if s.video in validation],
    }


def _validation_videos(stretches: Iterable[Stretch], settings: FrameSettings) -> set[str]:
    """About the share of each class, whole videos; a class of one video has none."""
    sizes: dict[int, Counter[str]] = {}
    for stretch in stretches:
        sizes.setdefault(stretch.label, Counter())[stretch.video] += stretch.weight
    chosen: set[str] = set()
    for label, videos in sizes.items():
        if settings.validation and len(videos) > 1:
            chosen |= share_of_groups(videos, settings.validation, settings.seed + label)
    return chosen


def _stretches(project: Project, settings: FrameSettings, left_out: list[Skip]) -> Iterator[Stretch]:
    """Kept clips in parts that workers get, in the order of their videos."""
    ledger, names = project.ledger, project.plan.class_names
    votes = ledger.votes()
    clips = ledger.rows(
        "SELECT c.id, c.video, c.start_sec, c.end_sec, v.file FROM clips c JOIN videos v ON v.id = c.video "
        "WHERE c.state = 'kept' AND v.state = 'clipped' ORDER BY v.number, c.number"
    )
    for clip in clips:
        of_video = {name: num for name, num in votes.get(clip["video"], {}).items() if name in names}
        if not of_video:
            left_out.append(Skip(clip["id"], "its classes are no longer in the plan"))
            continue
        tracks = ledger.rows("SELECT * FROM tracks WHERE clip = ? ORDER BY number", (clip["id"],))
        yield from _parts(project.videos.absolute(), clip, tracks, of_video, names, settings.fps)


def _parts(
    folder: Path,
    clip: Row,
    tracks: Sequence[Row],
    votes: Mapping[str, int],
    names: Sequence[str],
    fps: float,
) -> Iterator[Stretch]:
    first = math.ceil(min(track["start_sec"] for track in tracks) * fps - 1e-6)
    stop = math.floor(max(track["end_sec"] for track in tracks) * fps + 1e-6) + 1
    for start in range(first, stop, _CHUNK_FRAMES):
        end = min(start + _CHUNK_FRAMES, stop)
        # One second more: the first frame after start / fps may come a little later.
        here = tuple(
            (t["number"], t["seen"])
            for t in tracks
            if t["start_sec"] <= end / fps + 1 and t["end_sec"] >= start / fps
        )
        if here:
            yield Stretch(
                path=str(folder / clip["file"]),
                video=clip["video"],
                clip=clip["id"],
                label=label_of(votes, names),
                votes=tuple(votes.get(name, 0) for name in names),
                first=start,
                stop=end,
                tracks=here,
            )


def _chunks(stretches: Sequence[Stretch]) -> Iterator[list[Stretch]]:
    """Stretches of one video together, up to what a worker gets at a time."""
    chunk: list[Stretch] = []
    for stretch in stretches:
        if chunk and (chunk[0].video != stretch.video or _weight(chunk) + stretch.weight > _CHUNK_FRAMES):
            yield chunk
            chunk = []
        chunk.append(stretch)
    if chunk:
        yield chunk


def _digest(stretches: Iterable[Stretch], settings: FrameSettings) -> str:
    """Changes when a crop, its label or its split would."""
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    for s in stretches:
        digest.update(repr((s.clip, s.label, s.votes, s.first, s.stop)).encode())
        for number, seen in s.tracks:
            digest.update(repr((number, np.frombuffer(seen, "<f4").reshape(-1, FIELDS).tolist())).encode())
    return digest.hexdigest()[:16]
