"""A dataset folder made of another one, row group by row group, with its parent on record."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selfcure.data.folder import Dataset, Split
from selfcure.data.folder_writer import FolderWriter, Skip

Change = Callable[[pa.Table, slice], pa.Table]
"""What becomes of a row group that is these rows of its split."""

Shard = tuple[Sequence[Path], Change | None]
"""The files that make one new shard, and what becomes of their rows; None leaves them as they are."""

_INHERITED = ("layout", "source", "options", "parent", "noise")


def derive(
    splits: Mapping[str, Split],
    out: str | Path,
    *,
    kind: str,
    settings: Mapping[str, Any],
    shards: Mapping[str, Sequence[Shard]],
    plan: Mapping[str, Any] | None = None,
    results: Mapping[str, Any] | None = None,
    skipped: Sequence[Skip] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Make a new folder of another one's ``splits``; interrupted, the same call finishes the work.

    Args:
        splits: all splits of the parent by name.
        kind: what is done, the new folder's ``layout``; ``settings`` and ``results`` are recorded under it.
        shards: the new splits. Files of several shards of one split follow each other.
        plan: what else a resumed call has to bring again.
        progress: called with (done, total) rows after every shard.

    Raises:
        SelfcureError: a split is damaged, or ``out`` is in the way.
    """
    first = next(iter(splits.values()))
    parent = first.dataset
    origin = {
        "path": str(parent.path),
        "fingerprint": {name: split.fingerprint() for name, split in splits.items()},
    }
    writer = FolderWriter(
        Path(out),
        class_names=parent.class_names,
        plan={kind: dict(settings), "parent": origin, **(plan or {})},
        num_shards={name: len(groups) for name, groups in shards.items()},
        extra=extra_fields(first),
    )
    write_shards(writer, shards, progress)
    history = {key: parent.manifest[key] for key in _INHERITED if key in parent.manifest}
    manifest = {
        "layout": kind,
        "source": str(parent.path),
        "parent": origin | history,
        kind: {**settings, **(results or {})},
    }
    return writer.finish(manifest, skipped)


def keep(
    splits: Mapping[str, Split], out: str | Path, kept: np.ndarray, *, of: str = "train", **options: Any
) -> Dataset:
    """A new folder with the rows of one split that are ``kept`` [N] bool, and all of the other splits; see :func:`derive`."""
    shards = {name: unchanged(split) for name, split in splits.items()}
    shards[of] = changed(splits[of], kept_rows(kept))
    return derive(splits, out, shards=shards, **options)


def write_shards(
    writer: FolderWriter,
    shards: Mapping[str, Sequence[Shard]],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write all shards that an earlier run has not finished."""
    sizes = {
        name: [sum(pq.read_metadata(file).num_rows for file in files) for files, _ in groups]
        for name, groups in shards.items()
    }
    done, total = 0, sum(map(sum, sizes.values()))
    for name, groups in shards.items():
        first = 0
        for index, (files, change) in enumerate(groups):
            if not writer.has(name, index):
                writer.write(name, index, _row_groups(files, change, first))
            first += sizes[name][index]
            done += sizes[name][index]
            if progress:
                progress(done, total)


def unchanged(split: Split) -> list[Shard]:
    """A split shard by shard, as it is."""
    return [([file], None) for file in split.files]


def changed(split: Split, change: Change) -> list[Shard]:
    """A split shard by shard, with ``change`` made to its rows."""
    return [([file], change) for file in split.files]


def kept_rows(kept: np.ndarray) -> Change:
    """Leaves out of a split what is not ``kept`` [N] bool."""
    return lambda table, rows: table.filter(pa.array(kept[rows]))


def extra_fields(split: Split) -> list[pa.Field]:
    """The columns beyond the core ones."""
    return [split.schema.field(name) for name in split.extra_columns]


def _row_groups(files: Sequence[Path], change: Change | None, first: int) -> Iterator[pa.Table]:
    """The row groups of some files; the first row is row ``first`` of their split."""
    for file in files:
        source = pq.ParquetFile(file)
        for group in range(source.num_row_groups):
            table = source.read_row_group(group)
            rows = slice(first, first + len(table))
            first = rows.stop
            yield table if change is None else change(table, rows)
