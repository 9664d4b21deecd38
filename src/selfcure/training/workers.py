"""The processes that train together: who they are, and what they tell each other.

Each process computes its part of every batch. The outputs are gathered, so that every process works out the same loss
of the whole batch and the same label changes, and keeps the same book without asking.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from selfcure.errors import ReportedElsewhere, SelfcureError

RENDEZVOUS = "SELFCURE_RENDEZVOUS"
"""Environment variable: where the processes of ``selfcure train --processes`` meet; torchrun has its own."""

T = TypeVar("T")


class Workers:
    """The processes of one training; alone, each call here returns what it was given.

    Started by ``torchrun`` or ``selfcure train --processes``, which set ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK`` and
    ``LOCAL_WORLD_SIZE``. GPUs talk over NCCL, CPUs over gloo.

    Raises:
        SelfcureError: the processes do not find each other.
    """

    def __init__(self) -> None:
        self.rank, self.size = _environment("RANK", 0), _environment("WORLD_SIZE", 1)
        self.num_local = _environment("LOCAL_WORLD_SIZE", self.size)
        if self.size > 1:
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            url = os.environ.get(RENDEZVOUS, "env://")
            query = f"?rank={self.rank}&world_size={self.size}"
            try:
                store, _, _ = next(rendezvous(url + query if RENDEZVOUS in os.environ else url))
                dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.size)
            except (RuntimeError, ValueError) as error:
                raise SelfcureError(
                    f"process {self.rank} of {self.size} does not find the others: {error}"
                ) from error
            self._store = store

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Leave the others; of an error only the first process to have one speaks."""
        if self.size == 1:
            return
        speaks = not isinstance(error, Exception) or self._first_to_fail()
        if error is None:
            self._talk(dist.barrier)
        dist.destroy_process_group()
        if not speaks:
            raise ReportedElsewhere(f"process {self.rank} stopped with the others") from error

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def part(self, total: int) -> slice:
        """This process's part of ``total`` samples; parts differ by at most one.

        The cut is that of ``Tensor.tensor_split``: W processes compute the pieces that one process with W pieces does.
        """
        return part_of(total, self.rank, self.size)

    def gather(self, local: Tensor, total: int) -> Tensor:
        """[b, …] → [total, …]: the parts of all processes, in order."""
        if self.size == 1:
            return local
        return self._collected(
            local, [len(range(total)[part_of(total, r, self.size)]) for r in range(self.size)]
        )

    def gather_with_gradient(self, local: Tensor, total: int) -> Tensor:
        """:meth:`gather`; every process must then compute the same loss, for its gradient stays at home.

        The gradient is multiplied by the number of processes, so that averaging the parameters' gradients
        (:meth:`average_gradients`) sums the network's parts, and leaves a parameter of the loss itself as it is.
        """
        return local if self.size == 1 else _Gather.apply(local, self, total)

    def gather_ragged(self, local: Tensor) -> Tensor:
        """[c, …] → [C, …] where the processes bring different numbers."""
        if self.size == 1:
            return local
        return self._collected(local, self.gather(torch.tensor([len(local)]), self.size).tolist())

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes, in one message."""
        if self.size == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        has = torch.tensor([p.grad is not None for p in trained], dtype=torch.uint8)
        self._talk(dist.all_reduce, has, dist.ReduceOp.MAX)
        trained = [p for p, somewhere in zip(trained, has.tolist(), strict=True) if somewhere]
        if not trained:
            return
        gradients = [_dense(torch.zeros_like(p) if p.grad is None else p.grad) for p in trained]
        # As they lie: flatten() would turn channels-last filters round, which costs as much as the message.
        flat = torch.cat([gradient.as_strided((gradient.numel(),), (1,)) for gradient in gradients])
        self._talk(dist.all_reduce, flat)
        flat /= self.size
        sizes = [gradient.numel() for gradient in gradients]
        for parameter, gradient, mean in zip(trained, gradients, flat.split(sizes), strict=True):
            parameter.grad = mean.as_strided(gradient.shape, gradient.stride())  # no copy

    def share_buffers(self, module: nn.Module) -> None:
        """Everybody takes the first process's running statistics, as DistributedDataParallel does."""
        if self.size > 1:
            for buffer in module.buffers():
                self._talk(dist.broadcast, buffer, 0)

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.size == 1:
            return flag
        said = torch.tensor([flag], dtype=torch.uint8)
        self._talk(dist.all_reduce, said, dist.ReduceOp.MAX)
        return bool(said.item())

    def led(self, action: Callable[[], T]) -> T:
        """What ``action`` returns (plain JSON) or raises in the first process, which alone does it."""
        if self.size == 1:
            return action()
        said: list[Any] = [None, None]
        if self.leads:
            try:
                said[0] = action()
            except SelfcureError as error:
                said[1] = str(error)
        self._talk(dist.broadcast_object_list, said, 0)
        if said[1] is not None:
            raise SelfcureError(said[1])
        return said[0]

    def _collected(self, local: Tensor, counts: list[int]) -> Tensor:
        """What every process brings, ``counts`` [W] rows of it, one after the other."""
        padded = local.new_zeros(max(counts), *local.shape[1:])
        padded[: len(local)] = local
        everyone = [torch.empty_like(padded) for _ in counts]
        self._talk(dist.all_gather, everyone, padded)
        return torch.cat([got[:count] for got, count in zip(everyone, counts, strict=True)])

    def _talk(self, call: Callable[..., Any], *arguments: Any) -> None:
        try:
            call(*arguments)
        except RuntimeError as error:
            raise SelfcureError(
                f"process {self.rank} of {self.size} lost the others ({str(error).splitlines()[0]}); "
                "what the last checkpoint holds is saved: go on with --resume"
            ) from error

    def _first_to_fail(self) -> bool:
        try:
            return bool(self._store.add("failed", 1) == 1)
        except RuntimeError:  # the store went with the process that held it
            return False


def part_of(total: int, rank: int, size: int) -> slice:
    """Rows of process ``rank`` of ``size``.

    >>> [part_of(5, rank, 2) for rank in range(2)]
    [slice(0, 3, None), slice(3, 5, None)]
    """
    share, longer = divmod(total, size)
    start = rank * share + min(rank, longer)
    return slice(start, start + share + (rank < longer))


def local_rank() -> int:
    """Number of this process on its machine; 0 alone."""
    return _environment("LOCAL_RANK", 0)


def leads() -> bool:
    """Whether this process is the first of all."""
    return _environment("RANK", 0) == 0


def _environment(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


def _dense(gradient: Tensor) -> Tensor:
    """Without gaps, so that its memory is a vector; autograd lays a gradient out as its parameter, alike everywhere."""
    in_order = (
        (torch.contiguous_format, torch.channels_last) if gradient.dim() == 4 else (torch.contiguous_format,)
    )
    return (
        gradient if any(gradient.is_contiguous(memory_format=f) for f in in_order) else gradient.contiguous()
    )


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor, workers: Workers, total: int) -> Tensor:
        ctx.part, ctx.size = workers.part(total), workers.size
        return workers.gather(local, total)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Sequence[Tensor | None]:
        return gradients[0][ctx.part] * ctx.size, None, None
