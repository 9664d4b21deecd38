"""A validation split for a dataset folder that has none, as a new folder."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from selfcure.data.folder import Dataset, Split
from selfcure.data.noise_kinds import rows_by_class
from selfcure.data.readers.subjects import share_of_groups
from selfcure.data.readers.tabular import texts
from selfcure.data.rewrite import changed, derive, kept_rows, unchanged
from selfcure.errors import SelfcureError


def split(
    dataset_folder: str | Path,
    *,
    out: str | Path,
    validation: float = 0.1,
    seed: int = 0,
    by: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Move a share of the training samples to the validation split: the twin of ``selfcure data split``.

    Without ``by`` of each (given) class the same share moves, ``round(validation · n)`` of its n samples. With it the
    samples that have the same value there, of one person for instance, stay together, and about the share of all moves;
    samples without a value stand for themselves. Order and all other splits stay. Interrupted, the same call finishes
    the work.

    Args:
        validation: the share, above 0 and below 1.
        seed: fixes which samples or groups move.
        by: a column whose values are groups.
        progress: called with (done, total) samples after every shard.

    Raises:
        SelfcureError: an argument does not fit, there is a validation split already, nothing would move or be left,
            or ``out`` is in the way.
    """
    parent = Dataset(dataset_folder)
    if not 0 < validation < 1:
        raise SelfcureError(f"validation must be above 0 and below 1, not {validation}")
    if seed < 0:
        raise SelfcureError(f"seed must not be negative, it is {seed}")
    if "validation" in parent.splits:
        raise SelfcureError(
            f"{parent.path} has a validation split already, of {parent.splits['validation']:,} samples"
        )
    train = parent.split("train")
    moved = _by_group(train, by, validation, seed) if by else _by_class(train, validation, seed)
    if not moved.any() or moved.all():
        raise SelfcureError(
            f"{validation} of the {len(train):,} samples of {train!r} leaves a split empty; choose another share"
        )
    opened = {name: parent.split(name) for name in parent.splits}
    per_shard = max(1, round(1 / validation))  # files of train that fill one of validation
    groups = [train.files[k : k + per_shard] for k in range(0, len(train.files), per_shard)]
    shards = {name: unchanged(s) for name, s in opened.items()}
    shards["train"] = changed(train, kept_rows(~moved))
    shards["validation"] = [(files, kept_rows(moved)) for files in groups]
    return derive(
        opened,
        out,
        kind="split",
        settings={"validation": validation, "seed": seed, "by": by},
        shards=shards,
        progress=progress,
    )


def _by_class(train: Split, share: float, seed: int) -> np.ndarray:
    """[N] bool: what moves."""
    generator = np.random.default_rng(seed)
    moved = np.zeros(len(train), bool)
    for members in rows_by_class(train.labels, len(train.dataset.class_names)):
        moved[generator.choice(members, round(share * len(members)), replace=False)] = True
    return moved


def _by_group(train: Split, by: str, share: float, seed: int) -> np.ndarray:
    """[N] bool: what moves."""
    values = texts(pa.table({by: train.column(by)}), by)
    groups = [f"={value}" if value else f"row {row}" for row, value in enumerate(values)]
    sizes = Counter(groups)
    if len(sizes) == 1:
        raise SelfcureError(f"{train!r} has one value alone in column {by!r}, so nothing can move")
    chosen = share_of_groups(sizes, share, seed)
    return np.array([group in chosen for group in groups])
