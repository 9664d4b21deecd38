"""Activation checkpointing (Chen et al. 2016, arXiv:1604.06174) for any backbone: less memory for one more forward."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint

from selfcure.core.statistics import frozen_running_statistics
from selfcure.errors import SelfcureError


def checkpoint_activations(backbone: nn.Module) -> int:
    """Keep only what enters each block for the backward pass, which computes the block again.

    Loss, gradients and running statistics are those without it: dropout draws the same numbers again, and batch norm
    moves its statistics once. Names in ``state_dict`` stay. Without gradient nothing changes.

    Blocks are the elements of the backbone's own ``Sequential`` and ``ModuleList`` children that have parts themselves;
    where such an element is a stage, a sequence or something with ``blocks``, its elements.

    Returns:
        Number of blocks that are computed again.

    Raises:
        SelfcureError: the backbone has none.

    >>> import timm
    >>> checkpoint_activations(timm.create_model("resnet18"))
    8
    """
    blocks = [
        block
        for child in backbone.children()
        if isinstance(child, nn.Sequential | nn.ModuleList)
        for block in _blocks(child)
    ]
    if not blocks:
        raise SelfcureError(
            "activation checkpointing needs a backbone made of blocks, such as resnet18; this one has none"
        )
    for block in blocks:
        block.forward = partial(_recomputed, block.forward)
    return len(blocks)


def _blocks(stage: Iterable[nn.Module]) -> Iterator[nn.Module]:
    for element in stage:
        inner = (
            element
            if isinstance(element, nn.Sequential | nn.ModuleList)
            else getattr(element, "blocks", None)
        )
        if isinstance(inner, nn.Sequential | nn.ModuleList):
            yield from _blocks(inner)
        # timm's batch norm has an activation as a part, and is no block for that.
        elif any(True for _ in element.children()) and not isinstance(element, _NormBase):
            yield element


def _recomputed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    if torch.compiler.is_compiling():  # moves statistics at the end of the graph, once, and takes no contexts
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)
    # The block is read off its bound method, so that a deep copy of the network recomputes its own blocks.
    block: nn.Module = forward.__self__  # type: ignore[attr-defined]
    return checkpoint(forward, *args, use_reentrant=False, context_fn=partial(_contexts, block), **kwargs)


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the first forward, and around the one that the backward pass makes."""
    return nullcontext(), frozen_running_statistics(block)
