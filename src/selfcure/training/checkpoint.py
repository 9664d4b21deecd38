"""Checkpoints: one safetensors file, replaced in one step, so that a kill at any moment leaves the old or the new."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from selfcure.errors import SelfcureError


def save_tensors(path: Path, groups: Mapping[str, Mapping[str, Tensor]], state: Any = None) -> None:
    """Write groups of named tensors, and ``state`` as JSON, to one file.

    Raises:
        OSError: the disk is full or not writable; the file that was there before stays.
    """
    tensors = {
        f"{group}/{name}": value.detach().cpu().contiguous()
        for group, named in groups.items()
        for name, value in named.items()
    }
    data = save(tensors, metadata={"state": json.dumps(state)})
    partial = path.with_name(path.name + ".tmp")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    os.replace(partial, path)


def load_tensors(path: Path) -> tuple[dict[str, dict[str, Tensor]], Any]:
    """Read what :func:`save_tensors` wrote.

    Raises:
        SelfcureError: the file is missing or damaged.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118  (safe_open is no mapping)
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = file.get_tensor(key)
            state = json.loads((file.metadata() or {})["state"])
    except FileNotFoundError:
        raise SelfcureError(f"{path} does not exist") from None
    except Exception as error:  # safetensors raises its own type, which is not a subclass of OSError
        raise SelfcureError(f"{path} is damaged or no checkpoint of ours: {error}") from error
    return groups, state


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state per parameter, flat; its hyperparameters come from the config."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}/{name}": torch.as_tensor(value) for index, s in state.items() for name, value in s.items()
    }


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Take back :func:`optimizer_tensors`, in the memory format of each parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/", 1)
        like = parameters[int(index)]
        matching = torch.empty_like(like).copy_(value) if value.shape == like.shape and value.ndim else value
        state.setdefault(int(index), {})[name] = matching
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
