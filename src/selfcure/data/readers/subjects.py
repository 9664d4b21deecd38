"""Sets without an official split: some people for validation, the others for training."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from selfcure.data.readers.base import Entry
from selfcure.errors import SelfcureError


def share_of_groups(sizes: Mapping[str, int], share: float, seed: int) -> set[str]:
    """Groups, drawn at random, that have about ``share`` of all samples together; at least one, and never all.

    Groups come in random order, and each is taken that brings the sum nearer to the share.

    >>> sorted(share_of_groups({"S1": 2, "S2": 2, "S3": 2, "S4": 2}, 0.5, seed=0))
    ['S1', 'S3']
    """
    order = [sorted(sizes)[k] for k in np.random.default_rng(seed).permutation(len(sizes))]
    target, total, taken = share * sum(sizes.values()), 0, []
    for group in order:
        if abs(total + sizes[group] - target) < abs(total - target):
            taken.append(group)
            total += sizes[group]
    taken = taken or order[:1]
    return set(taken[:-1] if len(taken) == len(order) else taken)


def validation_by_subject(entries: Sequence[Entry], share: float, seed: int) -> list[Entry]:
    """Give about ``share`` of the entries, those of some subjects (column ``subject``), the split ``validation``.

    Raises:
        SelfcureError: ``share`` is not in [0, 1), or there is but one subject to share out.
    """
    if not 0 <= share < 1:
        raise SelfcureError(f"validation_share must be at least 0 and below 1, not {share}")
    if seed < 0:
        raise SelfcureError(f"seed must not be negative, it is {seed}")
    sizes = Counter(str(entry.extra["subject"]) for entry in entries)
    if not share or not sizes:
        return list(entries)
    if len(sizes) == 1:
        raise SelfcureError("there is one subject alone, and none to validate on; set validation_share to 0")
    chosen = share_of_groups(sizes, share, seed)
    return [replace(e, split="validation") if str(e.extra["subject"]) in chosen else e for e in entries]
