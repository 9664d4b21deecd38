"""Which samples an epoch draws, and in which order."""

from typing import Literal

import torch
from torch import Tensor

Sampling = Literal["shuffle", "balanced"]


def epoch_order(
    labels: Tensor, generator: torch.Generator, *, sampling: Sampling, among: Tensor | None = None
) -> Tensor:
    """Sample ids [M] of one epoch, in the order of training.

    ``shuffle`` draws every sample once. ``balanced`` draws as many samples, but every class equally often (to one): of a
    large class a new part in every epoch, of a small one each sample again and again.

    Args:
        labels: [N] int64, the labels that training uses now.
        among: [M] ids to draw from; all by default.
    """
    among = torch.arange(len(labels)) if among is None else among
    order = among[torch.randperm(len(among), generator=generator)]
    if sampling == "shuffle":
        return order
    order = order[labels[order].argsort(stable=True)]  # by class, shuffled inside
    sizes = labels[order].unique_consecutive(return_counts=True)[1]  # [C], classes that occur
    quotas = torch.full_like(sizes, len(order) // len(sizes))
    quotas[torch.randperm(len(sizes), generator=generator)[: len(order) % len(sizes)]] += 1
    starts, offsets = sizes.cumsum(0) - sizes, quotas.cumsum(0) - quotas
    turn = torch.arange(len(order)) - offsets.repeat_interleave(quotas)  # 0, 1, … in each class
    drawn = order[starts.repeat_interleave(quotas) + turn % sizes.repeat_interleave(quotas)]
    return drawn[torch.randperm(len(drawn), generator=generator)]
