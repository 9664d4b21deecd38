"""A run's network as it is deployed, in torch."""

import torch
from torch import Tensor, nn

from selfcure.errors import SelfcureError
from selfcure.runs import RunFolder
from selfcure.training.api import load_run
from selfcure.training.config import ResolvedConfig


class DeployedNetwork(nn.Module):
    """Normalised images [B, 3, S, S] → ``logits`` [B, K], and with ``importance`` also that [B]; nothing else.

    An importance branch that is not asked for is no part of an exported graph, which then is that of a plain network.
    """

    def __init__(self, module: nn.Module, *, importance: bool):
        super().__init__()
        self.module, self.importance = module, importance

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        outputs = self.module(images)
        return (outputs["logits"], outputs["importance"]) if self.importance else outputs["logits"]


def load_network(run: RunFolder, *, importance: bool | None) -> tuple[DeployedNetwork, ResolvedConfig]:
    """A finished run's network in evaluation mode, float32, on the CPU.

    Args:
        importance: whether it gives the importance; None: where the method has it.

    Raises:
        SelfcureError: the run is not finished, is damaged, or its method has no importance that was asked for.
    """
    method, config = load_run(run)
    module = method.module.float().eval()
    if importance is not False:
        size = config.train.image_size_px
        with torch.inference_mode():
            has_it = "importance" in module(torch.zeros(1, 3, size, size))
        if importance and not has_it:
            raise SelfcureError(
                f"{run.path} was trained with method {config.method}, whose network gives no importance of an image"
            )
        importance = has_it
    return DeployedNetwork(module, importance=bool(importance)).eval(), config
