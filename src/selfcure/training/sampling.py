"""Which samples an epoch draws, and in which order."""

from typing import Literal

import torch
from torch import Tensor

Sampling = Literal["shuffle", "balanced"]


def epoch_order(
    labels: Tensor,
    generator: torch.Generator,
    *,
    sampling: Sampling,
    among: Tensor | None = None,
    clips: Tensor | None = None,
    frames_per_clip: int = 0,
) -> Tensor:
    """Sample ids [M] of one epoch, in the order of training.

    ``shuffle`` draws every sample once. ``balanced`` draws as many samples, but every class equally often (to one): of a
    large class a new part in every epoch, of a small one each sample again and again.

    Args:
        labels: [N] int64, the labels that training uses now.
        among: [M] ids to draw from; all by default.
        clips: [N] int64, the clip that each sample is a frame of.
        frames_per_clip: draw at most so many frames of a clip, others in every epoch; 0: all. Classes are balanced then.
    """
    among = torch.arange(len(labels)) if among is None else among
    order = among[torch.randperm(len(among), generator=generator)]
    if clips is not None and frames_per_clip:
        order = order[_turns(clips[order]) < frames_per_clip]
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


def _turns(groups: Tensor) -> Tensor:
    """[M] how many before each element are of its group.

    >>> _turns(torch.tensor([4, 9, 4, 4, 9]))
    tensor([0, 0, 1, 2, 1])
    """
    order = groups.argsort(stable=True)
    sizes = groups[order].unique_consecutive(return_counts=True)[1]
    turns = torch.arange(len(groups)) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    return torch.empty_like(turns).index_copy(0, order, turns)
