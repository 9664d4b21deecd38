"""A random part of a dataset folder, as a new one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selfcure.data.folder import CORE_COLUMNS, Dataset, FolderWriter
from selfcure.errors import SelfcureError


def sample(
    dataset_folder: str | Path,
    *,
    out: str | Path,
    num: int,
    seed: int = 0,
    split: str = "train",
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Keep ``num`` random samples of one split, in their order, and all of the other splits.

    The draw depends on ``seed`` and the size of the split alone, not on its labels. The twin of ``selfcure data
    sample``; interrupted, the same call finishes the work.

    Raises:
        SelfcureError: ``num`` is not between 1 and the size of the split, or ``out`` is in the way.
    """
    parent = Dataset(dataset_folder)
    opened = {name: parent.split(name) for name in {split: None, **parent.splits}}
    total = len(opened[split])
    if not 1 <= num <= total:
        raise SelfcureError(
            f"num must be between 1 and the {total:,} samples of {opened[split]!r}, not {num}"
        )
    if seed < 0:
        raise SelfcureError(f"seed must not be negative, it is {seed}")
    kept = np.zeros(total, bool)
    kept[np.random.default_rng(seed).choice(total, num, replace=False)] = True
    origin = {"path": str(parent.path), "fingerprint": {n: s.fingerprint() for n, s in opened.items()}}
    settings = {"num": num, "seed": seed, "split": split}
    schema = pq.read_schema(opened[split].files[0])
    writer = FolderWriter(
        Path(out),
        class_names=parent.class_names,
        plan={"sample": settings, "parent": origin},
        num_shards={name: len(s.files) for name, s in opened.items()},
        extra=[field for field in schema if field.name not in CORE_COLUMNS],
    )
    done = 0
    for name, source in opened.items():
        first = 0
        for index, file in enumerate(source.files):
            rows = pq.read_metadata(file).num_rows
            if not writer.has(name, index):
                writer.write(name, index, _kept(file, kept[first : first + rows] if name == split else None))
            first += rows
            done += rows
            if progress:
                progress(done, sum(map(len, opened.values())))
    inherited = ("layout", "source", "options", "parent", "noise")
    history = {key: parent.manifest[key] for key in inherited if key in parent.manifest}
    manifest = {
        "layout": "sample",
        "source": str(parent.path),
        "parent": origin | history,
        "sample": settings,
    }
    return writer.finish(manifest)


def _kept(file: Path, mask: np.ndarray | None) -> Iterator[pa.Table]:
    source, first = pq.ParquetFile(file), 0
    for group in range(source.num_row_groups):
        table = source.read_row_group(group)
        yield table if mask is None else table.filter(pa.array(mask[first : first + len(table)]))
        first += len(table)
