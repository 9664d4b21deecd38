"""How much of a batch fits in memory at once."""

import torch
from torch import nn

from selfcure.core.statistics import frozen_running_statistics
from selfcure.data.images import available_memory
from selfcure.training.config import TrainConfig
from selfcure.training.network import Network
from selfcure.training.seeding import torch_seed

_PROBE = 4


def bytes_per_image(module: nn.Module, config: TrainConfig, device: torch.device) -> int:
    """What autograd keeps of one image's forward for its backward, measured on a few blank images."""
    network = Network(module, config, device, may_compile=False)
    parameters = {p.data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in parameters:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    images = torch.zeros(_PROBE, 3, config.image_size_px, config.image_size_px)
    module.train()
    with (
        torch_seed(0),
        frozen_running_statistics(module),
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
    ):
        outputs = network(images)  # held until the sum, so that no address is used twice
    total = sum(kept.values()) + images.nbytes
    del outputs
    return total // _PROBE


def choose_micro_batch(
    module: nn.Module,
    config: TrainConfig,
    device: torch.device,
    *,
    num_processes: int = 1,
    num_local: int = 1,
) -> int:
    """The largest equal pieces of a process's part of a batch that need at most half of the memory that is free now.

    Args:
        num_processes: that share each batch.
        num_local: of them on this machine, whose memory they share too where they compute on the CPU.

    Returns:
        The size of a whole part where it fits, else the size of a piece.
    """
    part = -(-config.batch_size // num_processes)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_memory() // num_local
    fits = max(2, free // 2 // bytes_per_image(module, config, device))
    pieces = -(-part // fits)
    return -(-part // pieces)
