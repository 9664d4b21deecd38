"""A trained network over a whole split."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from selfcure.data.images import ImageStore
from selfcure.data.transforms import AUGMENTATIONS
from selfcure.training.config import TrainConfig

_BATCH = 256


@torch.inference_mode()
def predict_logits(
    module: nn.Module,
    images: ImageStore,
    config: TrainConfig,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """[N, K] float32 unweighted logits of all images, not augmented, in evaluation mode.

    Unweighted is the convention of evaluate, predict and export: the importance is not needed, so the network costs
    what a plain one does. Its arg max is that of the weighted logits; its probabilities are sharper.
    """
    module.eval()
    prepare = AUGMENTATIONS["none"]
    logits = []
    for rows in torch.arange(len(images)).split(_BATCH):
        batch = prepare(images.batch(rows).to(device), 0, config.mean, config.std)
        outputs = module(batch.contiguous(memory_format=torch.channels_last))
        logits.append(outputs["logits"].float().cpu())
        if progress:
            progress(int(rows[-1]) + 1, len(images))
    return torch.cat(logits)
