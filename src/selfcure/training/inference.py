"""A trained network over a whole split."""

from collections.abc import Callable

import torch

from selfcure.data.images import ImageStore
from selfcure.data.transforms import AUGMENTATIONS, Draws
from selfcure.methods import Outputs
from selfcure.training.network import Network
from selfcure.training.workers import Workers

_BATCH = 256


@torch.inference_mode()
def predict(
    network: Network,
    images: ImageStore,
    *,
    workers: Workers | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outputs:
    """Outputs [N, …] of all images on the CPU, not augmented, in evaluation mode; each process computes its part.

    ``logits`` are unweighted, the convention of evaluate, predict and export: the importance is not needed, so the
    network costs what a plain one does. Their arg max is that of the weighted logits; their probabilities are sharper.
    """
    network.module.eval()
    config, prepare = network.config, AUGMENTATIONS["none"]
    rows = torch.arange(len(images))
    if workers and len(rows) < workers.size:  # not one for each: everybody computes all
        workers = None
    mine = rows[workers.part(len(rows))] if workers else rows
    pieces: list[Outputs] = []
    for some in mine.split(_BATCH):
        batch = prepare(images.batch(some).to(network.device), Draws(0, len(some)), config.mean, config.std)
        pieces.append({name: output.cpu() for name, output in network.plainly(batch).items()})
        if progress:
            progress(int(some[-1]) + 1, len(images))
    outputs = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
    return {name: workers.gather(out, len(rows)) for name, out in outputs.items()} if workers else outputs
