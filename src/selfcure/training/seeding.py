"""Seeds derived from one seed by name, so that no part of a run depends on how often another drew."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(seed: int, *key: str | int) -> int:
    """A seed in 0 … 2⁶³-1 that belongs to ``key`` alone.

    >>> derive_seed(0, "order", 1) == derive_seed(0, "order", 1) != derive_seed(0, "order", 2)
    True
    """
    text = ":".join(map(str, (seed, *key)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@contextmanager
def torch_seed(seed: int) -> Iterator[None]:
    """Seed torch's global generators inside, for layers that know no other (initial weights, dropout)."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
