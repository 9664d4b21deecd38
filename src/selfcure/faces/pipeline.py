"""Photographs and videos in, a dataset folder of aligned faces out."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfcure.data.folder import ROW_GROUP, SPLITS, Dataset
from selfcure.data.folder_writer import FolderWriter, Skip
from selfcure.data.readers.base import PART_BYTES
from selfcure.data.schema import folder_schema
from selfcure.errors import SelfcureError, check_choice
from selfcure.faces.engines import ENGINES, run_here
from selfcure.faces.extraction import FaceSettings, Rows
from selfcure.faces.sources import Item, face_fields, open_source

SHARD = 1024
"""Pictures in a shard, about: what a kill costs at most."""
_CHUNK = 32
"""Photographs that a worker gets at a time."""
_FEW = 256
"""Pictures for which it does not pay to start other processes."""


def extract_faces(
    source: str | Path,
    *,
    out: str | Path,
    settings: FaceSettings | None = None,
    labels: str = "auto",
    path_column: str | None = None,
    label_column: str | None = None,
    class_names: str | Sequence[str] | None = None,
    workers: int | None = None,
    engine: str = "local",
    shard_size: int = SHARD,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Find the faces in photographs and videos and cut them out: the twin of ``selfcure faces``.

    Every face becomes a row: crop, label (null where there is none), and the columns of
    :func:`~selfcure.faces.sources.face_fields`. Pictures without a face or unreadable, and faces that are not kept, are
    counted in ``dataset.json`` and listed in ``skipped.csv``. Interrupted, the same call goes on after the last finished
    shard. The folder is the same, byte for byte, whatever ``workers`` and ``engine``.

    Args:
        source, labels, path_column, label_column, class_names: see :func:`~selfcure.faces.sources.open_source`.
        out: the dataset folder to make.
        workers: processes; by default one for each processor, or none but this one where there is little to do.
        engine: a key of :data:`~selfcure.faces.engines.ENGINES`.
        shard_size: pictures in a shard, about.
        progress: called with (done, total) pictures now and then; of videos the total is an estimate.

    Raises:
        SelfcureError: an argument is out of range, there is nothing to look through, no face in it, or ``out`` is in
            the way.
    """
    source, out, settings = Path(source), Path(out), settings or FaceSettings()
    check_choice("engine", engine, ENGINES)
    if workers is not None and not 1 <= workers <= 1024:
        raise SelfcureError(f"workers must be from 1 to 1024, not {workers}")
    if source.is_dir() and out.absolute().is_relative_to(source.absolute()):
        raise SelfcureError(f"{out} is inside the source {source}; choose an --out elsewhere")
    found = open_source(
        source,
        fps=settings.fps,
        labels=labels,
        path_column=path_column,
        label_column=label_column,
        class_names=class_names,
    )
    if settings.weights or settings.device != "cpu":
        settings.build_detector()  # what is wrong with it is said before anything is written
    items, repeated = _by_split(found.items)
    shards = {split: list(into_shards(_chunks(some), shard_size)) for split, some in items.items() if some}
    options = asdict(settings) | {"labels": found.labels_from}
    fields = [*found.extra_fields, *face_fields(with_videos=found.has_videos)]
    writer = FolderWriter(
        out,
        class_names=found.class_names,
        plan={
            "layout": "faces",
            "source": str(source.absolute()),
            "options": options,
            "items": _digest(found.items),
        },
        num_shards={split: len(some) for split, some in shards.items()},
        extra=fields,
    )
    missing = [
        (split, index)
        for split, some in shards.items()
        for index in range(len(some))
        if not writer.has(split, index)
    ]
    chunks = [chunk for split, index in missing for chunk in shards[split][index]]
    to_do = sum(map(_weight, chunks))
    count = ProgressCount(progress, sum(item.weight for some in items.values() for item in some), to_do)
    run = (
        run_here
        if engine == "local" and (workers == 1 or (workers is None and to_do < _FEW))
        else ENGINES[engine]
    )
    results = run(settings, found.root.absolute(), found.has_videos, workers or os.cpu_count() or 1, chunks)
    schema = folder_schema(found.class_names, fields)
    try:
        for split, index in missing:
            skipped: list[Skip] = []
            writer.write(
                split, index, shard_rows(shards[split][index], results, schema, skipped, count), skipped
            )
    finally:
        results.close()  # type: ignore[attr-defined]  # a generator, which ends its workers
    manifest = {"layout": "faces", "source": str(source), "options": options}
    return writer.finish(manifest, [*found.skipped, *repeated])


def describe_faces(dataset: Dataset) -> dict[str, Any]:
    """What ``selfcure faces`` says of the folder that it made, in plain JSON.

    Returns:
        ``path``, ``source``, ``options``, ``num_pictures`` (with a face), ``num_faces`` (rows), ``num_with_several``
        (pictures with several faces), ``num_by_class`` (class → faces, for each split; None without labels),
        ``num_skipped`` and ``skipped`` (reason → number).
    """
    manifest = dataset.manifest
    num_pictures = num_with_several = 0
    by_class: dict[str, dict[str, int]] = {}
    for split in dataset.splits:
        counts = dict.fromkeys(dataset.class_names, 0)
        for file in sorted(dataset.path.glob(f"{split}-*.parquet")):
            rows = pq.read_table(file, columns=["label", "face", "num_faces"])
            for label, face, num_faces in zip(*(rows.column(k).to_pylist() for k in range(3)), strict=True):
                num_pictures += face == 0
                num_with_several += face == 0 and num_faces > 1
                if label is not None:
                    counts[dataset.class_names[label]] += 1
        by_class[split] = counts
    return {
        "path": str(dataset.path),
        "source": manifest["source"],
        "options": manifest["options"],
        "num_pictures": num_pictures,
        "num_faces": sum(dataset.splits.values()),
        "num_with_several": num_with_several,
        "num_by_class": by_class if dataset.class_names else None,
        "num_skipped": manifest["num_skipped"],
        "skipped": manifest["skipped"],
    }


class ProgressCount:
    """Passes on how much is done, of which some was before this run."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int, to_do: int):
        self._progress, self._total, self._done = progress, total, total - to_do

    def add(self, num: int) -> None:
        self._done += num
        if self._progress:
            self._progress(self._done, self._total)


def _by_split(items: Sequence[Item]) -> tuple[dict[str, list[Item]], list[Skip]]:
    """The items of each split; of several with one id the first."""
    by_split: dict[str, dict[tuple[str, Any], Item]] = {split: {} for split in SPLITS}
    repeated = []
    for item in items:
        if by_split[item.split].setdefault((item.id, item.frames), item) is not item:
            repeated.append(Skip(item.path, "id occurs again"))
    return {split: list(some.values()) for split, some in by_split.items()}, repeated


def _chunks(items: Sequence[Item]) -> Iterator[list[Item]]:
    """What workers get at a time: up to 32 photographs, or a stretch of a video."""
    chunk: list[Item] = []
    for item in items:
        if chunk and (item.frames or len(chunk) == _CHUNK):
            yield chunk
            chunk = []
        chunk.append(item)
        if item.frames:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _weight(chunk: Sequence[Item]) -> int:
    return sum(item.weight for item in chunk)


def into_shards(chunks: Iterator[list[Item]], size: int) -> Iterator[list[list[Item]]]:
    """Chunks gathered into shards of about ``size`` images each, none of them split."""
    shard: list[list[Item]] = []
    weight = 0
    for chunk in chunks:
        if shard and weight + _weight(chunk) > size:
            yield shard
            shard, weight = [], 0
        shard.append(chunk)
        weight += _weight(chunk)
    if shard:
        yield shard


def _digest(items: Sequence[Item]) -> str:
    """Changes when anything that the items say does: a resumed run must not mix two states of a source."""
    digest = hashlib.sha256()
    for i in items:
        digest.update(
            repr((i.id, i.split, i.path, i.label, i.true_label, sorted(i.extra.items()), i.frames)).encode()
        )
    return digest.hexdigest()


def shard_rows(
    shard: Sequence[Sequence[Item]],
    results: Iterator[Rows],
    schema: pa.Schema,
    skipped: list[Skip],
    count: ProgressCount,
) -> Iterator[pa.Table]:
    """A shard's rows, taken from the results of all chunks; what was left out is added to ``skipped``."""
    rows: list[dict[str, Any]] = []
    size = 0
    for chunk in shard:
        found = next(results)
        skipped += found.skipped
        rows += found.rows
        size += sum(len(row["image"]["bytes"]) for row in found.rows)
        if len(rows) >= ROW_GROUP or size >= PART_BYTES:
            yield pa.Table.from_pylist(rows, schema)
            rows, size = [], 0
        count.add(_weight(chunk))
    if rows:
        yield pa.Table.from_pylist(rows, schema)
