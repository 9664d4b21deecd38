"""How much of a batch fits in memory at once."""

import torch
from torch import nn

from selfcure.data.images import available_memory
from selfcure.training.forward import frozen_running_statistics
from selfcure.training.seeding import torch_seed

_PROBE = 4


def bytes_per_image(module: nn.Module, size_px: int, device: torch.device) -> int:
    """What autograd keeps of one image's forward for its backward, measured on a few blank images."""
    parameters = {p.data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in parameters:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    images = torch.zeros(_PROBE, 3, size_px, size_px, device=device).contiguous(
        memory_format=torch.channels_last
    )
    module.to(device).train()
    with (
        torch_seed(0),
        frozen_running_statistics(module),
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
    ):
        outputs = module(images)  # held until the sum, so that no address is used twice
    total = sum(kept.values()) + images.nbytes
    del outputs
    return total // _PROBE


def choose_micro_batch(module: nn.Module, batch_size: int, size_px: int, device: torch.device) -> int:
    """The largest equal pieces of a batch that need at most half of the memory that is free now.

    Returns:
        ``batch_size`` where the whole batch fits, else the size of a piece.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_memory()
    fits = max(2, free // 2 // bytes_per_image(module, size_px, device))
    pieces = -(-batch_size // fits)
    return -(-batch_size // pieces)
