"""How the engine runs a method's network: on which device, in which precision and layout, compiled or not."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from selfcure.methods import Outputs
from selfcure.training.config import TrainConfig


class Network:
    """``module`` as the configuration has it run; images in, outputs in float32 (or float64) out.

    Args:
        module: moved to ``device``; its parameters keep their own precision under bf16, which autocast chooses where it
            is safe.
    """

    def __init__(
        self, module: nn.Module, config: TrainConfig, device: torch.device, *, may_compile: bool = True
    ):
        self.module, self.device, self.config = module, device, config
        self.dtype = torch.float64 if config.precision == "float64" else torch.float32
        self.layout = torch.channels_last if config.channels_last else torch.contiguous_format
        module.to(device, self.dtype).to(memory_format=self.layout)
        # A batch has one of two sizes: two graphs of fixed shapes beat one of any shape.
        self._run = torch.compile(module, dynamic=False) if config.compile and may_compile else module

    def __call__(self, images: Tensor) -> Outputs:
        """Images [B, 3, S, S] float, in any layout → outputs, each [B, …]."""
        images = images.to(self.device, self.dtype).contiguous(memory_format=self.layout)
        bf16 = self.config.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext():
            outputs = self._run(images)
        return {name: output.to(self.dtype) for name, output in outputs.items()} if bf16 else outputs

    def plainly(self, images: Tensor) -> Outputs:
        """The module itself, without autocast or compilation: what measuring and deployment see."""
        return self.module(images.to(self.device, self.dtype).contiguous(memory_format=self.layout))
