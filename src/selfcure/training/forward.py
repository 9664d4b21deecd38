"""How the engine runs a network over one whole batch: at once, or in pieces with the same gradient."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from selfcure.methods import Outputs


class WholeForward:
    """One forward, one backward."""

    def __init__(self, module: nn.Module):
        self.module = module

    def __call__(self, images: Tensor) -> Outputs:
        return self.module(images)

    def backward(self, loss: Tensor) -> None:
        loss.backward()


class MicroBatchedForward:
    """Gradient caching (Gao et al. 2021): the loss is that of the whole batch, memory that of one piece.

    First every piece is computed without gradient; the loss of all outputs together gives the gradient for each output;
    then every piece is computed again and that gradient is sent through it. Exact for any loss of the outputs, ranks
    over the whole batch included; only batch norm sees pieces instead of the batch. Costs a second forward.
    """

    def __init__(self, module: nn.Module, micro_batch_size: int):
        self.module = module
        self.micro_batch_size = micro_batch_size
        self._calls: list[tuple[Tensor, list[Tensor], Outputs]] = []

    def __call__(self, images: Tensor) -> Outputs:
        random_states, pieces = [], []
        with torch.no_grad(), frozen_running_statistics(self.module):
            for piece in self._pieces(images):
                random_states.append(_random_state(images.device))
                pieces.append(self.module(piece))
        outputs = {name: torch.cat([p[name] for p in pieces]).requires_grad_() for name in pieces[0]}
        self._calls.append((images, random_states, outputs))
        return outputs

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # as far as the outputs, and to parameters outside the network's forward
        for images, random_states, outputs in self._calls:
            gradients = {name: out.grad for name, out in outputs.items() if out.grad is not None}
            for index, (piece, random_state) in enumerate(
                zip(self._pieces(images), random_states, strict=True)
            ):
                gradient = {name: self._pieces(whole)[index] for name, whole in gradients.items()}
                _set_random_state(random_state, images.device)
                again = self.module(piece)
                if gradient:  # else a call that the method only looked at; batch norm has seen it now
                    torch.autograd.backward([again[name] for name in gradient], list(gradient.values()))
        self._calls.clear()

    def _pieces(self, batch: Tensor) -> tuple[Tensor, ...]:
        # Equal pieces: a last one of a single image would leave batch norm nothing to normalise.
        return batch.tensor_split(-(-len(batch) // self.micro_batch_size))


@contextmanager
def frozen_running_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norm normalise by the batch without moving its running statistics; the second forward moves them."""
    norms = [m for m in module.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
