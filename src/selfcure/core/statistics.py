"""Batch norm whose running statistics stay where they are."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


@contextmanager
def frozen_running_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norm normalise by the batch without moving its running statistics, for a forward that is done twice.

    It moves copies, which are dropped. Nothing else differs, so that autograd keeps the same tensors of both forwards,
    as activation checkpointing demands.
    """
    kept = [(m, dict(m._buffers)) for m in module.modules() if isinstance(m, _NormBase)]
    for norm, buffers in kept:
        norm._buffers.update({k: v if v is None else v.clone() for k, v in buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in kept:
            norm._buffers.update(buffers)
