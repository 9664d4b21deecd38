"""A random part of a dataset folder, as a new one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from selfcure.data.folder import Dataset
from selfcure.data.rewrite import keep
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
    return keep(
        opened,
        out,
        kept,
        of=split,
        kind="sample",
        settings={"num": num, "seed": seed, "split": split},
        progress=progress,
    )
