"""What passes between a training loop and a method."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One mini-batch: the whole, global one, however it is computed."""

    ids: Tensor
    """[B] int64 sample ids (row numbers of the split)."""
    images: Tensor
    """[b, 3, H, W] float, augmented and normalised: this process's part of the batch, all of it where there is one."""
    given_labels: Tensor
    """[B] int64, the labels training uses now."""
    original_labels: Tensor
    """[B] int64, the labels as the data came."""
    epoch: int
    """1-based."""
    part: slice = field(default_factory=lambda: slice(None))
    """Which of the batch's samples ``images`` are."""
    soft_labels: Tensor | None = None
    """[B, K] ``given_labels`` with the weights of several classes where people gave them; none where nobody did."""

    @property
    def targets(self) -> Tensor:
        """What a cross-entropy learns from: ``soft_labels`` if there are some, else ``given_labels``."""
        return self.given_labels if self.soft_labels is None else self.soft_labels


@dataclass(frozen=True)
class TrainingSet:
    """What a method may know of the samples before it sees one."""

    original_labels: Tensor
    """[N] int64, by sample id."""
    num_classes: int
    """K."""
    num_epochs: int
    """Passes that the whole training has."""

    def __len__(self) -> int:
        return len(self.original_labels)


@dataclass(frozen=True)
class RelabelDecisions:
    """Labels that a method wants from the next epoch on."""

    ids: Tensor
    """[C] int64 samples decided on."""
    labels: Tensor
    """[C] int64."""
    margins: Tensor
    """[C] float, strength of each decision."""


@dataclass(frozen=True)
class StepOutput:
    """What a method makes of a batch. Methods compute; the engine alone acts on it."""

    loss: Tensor
    """Scalar to minimise."""
    logits: Tensor
    """[B, K] unweighted, as evaluation uses them."""
    terms: dict[str, Tensor] = field(default_factory=dict)
    """Scalars to log: the parts of the loss and other statistics of the batch."""
    scores: dict[str, Tensor] = field(default_factory=dict)
    """[B] per-sample values to keep for each epoch, such as ``importance``."""
    relabels: RelabelDecisions | None = None
