"""How the engine runs a network over one whole batch: at once, in pieces, or in several processes; same gradient."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from selfcure.core.statistics import frozen_running_statistics
from selfcure.methods import Outputs
from selfcure.training.seeding import derive_seed, torch_seed
from selfcure.training.workers import Workers


class WholeForward:
    """One forward, one backward.

    Args:
        network: images → outputs.
    """

    def __init__(self, network: Callable[[Tensor], Outputs]):
        self.network = network

    def __call__(self, images: Tensor) -> Outputs:
        return self.network(images)

    def backward(self, loss: Tensor) -> None:
        loss.backward()


class MicroBatchedForward:
    """Gradient caching (Gao et al. 2021): the loss is that of the whole batch, memory that of one piece.

    First every piece is computed without gradient; the loss of all outputs together gives the gradient for each output;
    then every piece is computed again and that gradient is sent through it. Exact for any loss of the outputs, ranks
    over the whole batch included; only batch norm sees pieces instead of the batch. Costs a second forward.

    Args:
        network: images → outputs.
        module: whose batch norm ``network`` runs, where ``network`` is not a module itself.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Outputs],
        micro_batch_size: int,
        *,
        module: nn.Module | None = None,
    ):
        self.network = network
        whose = network if isinstance(network, nn.Module) else module
        assert whose is not None
        self.module = whose
        self.micro_batch_size = micro_batch_size
        self._calls: list[tuple[Tensor, list[Tensor], Outputs]] = []

    def __call__(self, images: Tensor) -> Outputs:
        random_states, pieces = [], []
        with torch.no_grad(), frozen_running_statistics(self.module):
            for piece in self._pieces(images):
                random_states.append(_random_state(images.device))
                pieces.append(self.network(piece))
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
                again = self.network(piece)
                if gradient:  # else a call that the method only looked at; batch norm has seen it now
                    torch.autograd.backward([again[name] for name in gradient], list(gradient.values()))
        self._calls.clear()

    def _pieces(self, batch: Tensor) -> tuple[Tensor, ...]:
        # Equal pieces: a last one of a single image would leave batch norm nothing to normalise.
        return batch.tensor_split(-(-len(batch) // self.micro_batch_size))


class SharedForward:
    """Runs ``inner`` on this process's part of a batch; afterwards the parameters' gradients are averaged.

    Args:
        parameters: everything trained, the loss's own included.
        gathers: give the outputs of the whole batch, with gradient, so that every process works out the same loss of
            the whole batch; else those of this process's part.
    """

    def __init__(
        self, inner: "Forward", workers: Workers, parameters: list[nn.Parameter], *, gathers: bool = True
    ):
        self.inner, self.workers, self.parameters, self.gathers = inner, workers, parameters, gathers
        self._num_calls = 0

    def __call__(self, images: Tensor) -> Outputs:
        # Dropout draws apart in every process, and takes no number from what the method draws for the whole batch.
        self._num_calls += 1
        with torch_seed(derive_seed(torch.initial_seed(), "forward", self._num_calls, self.workers.rank)):
            local = self.inner(images)
        if not self.gathers:
            return local
        total = int(self.workers.gather(torch.tensor([len(images)]), self.workers.size).sum())
        return {name: self.workers.gather_with_gradient(out, total) for name, out in local.items()}

    def backward(self, loss: Tensor) -> None:
        self.inner.backward(loss)
        self.workers.average_gradients(self.parameters)
        self._num_calls = 0


Forward = WholeForward | MicroBatchedForward | SharedForward


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
