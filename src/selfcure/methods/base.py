"""The contract between a training method and the engine.

A method computes, the engine acts: it alone optimises, writes the label book, logs and saves, and it never asks which
method it runs. Everything trained sits under ``method.module``, whose one forward maps images to per-sample outputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from selfcure.core import Batch, StepOutput, TrainingSet

Outputs = dict[str, Tensor]
"""Per-sample outputs of a network, each [B, …]; in evaluation mode ``logits`` [B, K] is always among them."""

Forward = Callable[[Tensor], Outputs]
"""Images of a batch → outputs of the whole batch with gradient.

The engine decides how: at once, in micro-batches, or gathered from several processes. A method may call it more than
once in a step, with ``batch.images`` or images made from them one by one (a flip, say), and sees the outputs of the
whole batch each time, so a loss over ranks or pairs is always that of the whole batch. Every process works out the same
loss from them, so what a method draws at random it draws for the whole batch, from torch's global generator.
"""


class Method(ABC):
    """One way to train on doubtful labels.

    Args:
        config: an instance of the method's ``Config``.
        backbone: images [B, 3, H, W] → features [B, D].
        num_features: D.
        num_classes: K.
    """

    Config: ClassVar[type]
    """Frozen dataclass of the method's own settings."""
    recipes: ClassVar[Mapping[str, Any]]
    """Recipe name → ``Config`` of that recipe at its own number of epochs."""

    uses_soft_labels: ClassVar[bool] = False
    """Learns from ``batch.targets``; other methods see only the largest class of a soft label."""

    module: nn.Module
    """All trained parameters; ``module(images)`` returns :data:`Outputs`."""
    backbone: nn.Module
    """The part of ``module`` that pretrained weights go into."""

    @property
    def backbones(self) -> tuple[nn.Module, ...]:
        """All parts of ``module`` that pretrained weights go into, for a method of several networks."""
        return (self.backbone,)

    @classmethod
    def num_spare_backbones(cls, config: Any) -> int:
        """How many fresh backbones beyond the first the method needs; above 0 it takes them as ``spare``."""
        return 0

    @abstractmethod
    def __init__(self, config: Any, *, backbone: nn.Module, num_features: int, num_classes: int): ...

    @abstractmethod
    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        """Loss, logits and per-sample scores of one whole batch; called in training mode."""

    def start(self, training_set: TrainingSet) -> None:  # noqa: B027 - most methods keep nothing
        """Told once, before the first step (and before :meth:`load_state_dict` of a resumed run), what there is to learn.

        For methods that keep something for every sample.
        """

    def begin_epoch(self, epoch: int, outputs: Callable[[], Outputs]) -> Tensor | None:
        """Called before the first batch of every epoch (1-based).

        Args:
            outputs: computes the network's outputs [N, …] on the CPU, by sample id, in evaluation mode and without
                augmentation; it costs a pass over the training split.

        Returns:
            Sample ids [M] that this epoch draws from; ``None``: all.
        """
        return None

    def schedule(self, passed: float) -> float:
        """Where the learning rate's schedule stands when ``passed`` epochs of all are done.

        For methods that train more than once in a run: each training may have a whole schedule.
        """
        return passed

    def label_confusion(self) -> Tensor | None:
        """What the method makes of the noise as a whole, at the end of an epoch; ``None``: nothing.

        Returns:
            [K, K] how many samples of each given label (row) are expected to be of each class.
        """
        return None

    def state_dict(self) -> dict[str, Tensor]:
        """What the method keeps between steps beyond ``module``; saved in every checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` gave."""
        if state:
            raise ValueError(
                f"{type(self).__name__} keeps no state of its own, but was given {sorted(state)}"
            )
