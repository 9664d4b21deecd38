"""CurriculumNet: learn from typical samples first, from doubtful ones later and at less weight.

Paper: Guo, Huang, Zhang, Zhuang, Dong, Scott, Huang, "CurriculumNet: Weakly Supervised Learning from Large-Scale Web
Images", ECCV 2018.

Plain training on everything first gives features f. Then, within each class of n samples, after a PCA to 256
dimensions:

    D_ij = ‖f_i − f_j‖,   ρ_i = #{j ≠ i : D_ij < d_c},   d_c = D sorted, at rank 0.6·n²

and the densities ρ of the class are cut into three groups by k-means: clean (dense), noisy, highly noisy. Three stages
follow: the clean groups of all classes; clean and noisy; all three. The loss is mean_i w_i·CE_i, w = 1, 0.5, 0.5 by
group.

Checked against the authors' public code for the clustering (msight-tech/research-curriculumnet): 256 dimensions, PCA
fitted per class, rank 0.6 of all n² distances with the diagonal, strict <, k-means on ρ, groups ordered by ρ. Recalled,
not checked: the three stages and the weights 1, 0.5, 0.5 (the code for training is not public).

Left open by the paper, ours: how long each stage is; the weighted sum is divided by the size of the batch. Different
from the paper: it trains a second network, while here one network goes on from the weights that gave the features;
the stages are shares of one learning-rate schedule; no balancing of classes in the first stage. Different from the
code: k-means is solved exactly, not from random starts, with ρ in at most 1024 steps; fewer than three different
densities in a class make fewer groups instead of an error; in a class of more than 2048 samples d_c is that of 2048 of
them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfcure.core import Batch, StepOutput, TrainingSet
from selfcure.errors import SelfcureError
from selfcure.methods.base import Forward, Method, Outputs

_MAX_STEPS = 1024  # of density, when it is cut into groups
_MAX_FOR_CUTOFF = 2048  # samples whose distances to each other give d_c
_MAX_DISTANCES = 1 << 24  # held at a time


@dataclass(frozen=True, kw_only=True)
class CurriculumNetConfig:
    """Settings of CurriculumNet."""

    stage_starts: tuple[float, float, float] = (0.25, 0.5, 0.75)
    """Shares of all epochs after which the stages clean, clean and noisy, and all begin; plain training before."""
    group_weights: tuple[float, float, float] = (1.0, 0.5, 0.5)
    """Weight of the loss of clean, noisy and highly noisy samples."""
    density_quantile: float = 0.6
    """Share of the distances in a class that count as near."""
    pca_size: int = 256
    """Dimensions that features are reduced to before distances are measured; if they have more."""
    bias: bool = False
    """Give the classifier a bias."""

    def __post_init__(self) -> None:
        if not 0 <= self.stage_starts[0] <= self.stage_starts[1] <= self.stage_starts[2] <= 1:
            raise SelfcureError(f"stage_starts must rise within 0 … 1, not {self.stage_starts}")
        if not all(0 <= weight < float("inf") for weight in self.group_weights) or not any(
            self.group_weights
        ):
            raise SelfcureError(
                f"group_weights must be at least 0 and not all of them 0, not {self.group_weights}"
            )
        if not 0 < self.density_quantile < 1:
            raise SelfcureError(
                f"density_quantile must lie between 0 and 1, both excluded, not {self.density_quantile}"
            )
        if self.pca_size < 1:
            raise SelfcureError(f"pca_size must be at least 1, not {self.pca_size}")


class CurriculumNetModule(nn.Module):
    """Backbone and linear classifier; in evaluation mode the features come out too."""

    def __init__(self, backbone: nn.Module, num_features: int, num_classes: int, *, bias: bool):
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Linear(num_features, num_classes, bias=bias)

    def forward(self, images: Tensor) -> Outputs:
        features = self.backbone(images)
        outputs = {"logits": self.classifier(features)}
        return outputs if self.training else {**outputs, "features": features}


class CurriculumNet(Method):
    """Cross-entropy on a growing part of the samples.

    Score ``density``, from the first stage on: ρ_i/(n − 1), the share of its class near a sample; higher is more
    trusted within a class.
    """

    Config = CurriculumNetConfig
    recipes: ClassVar = {
        "paper": CurriculumNetConfig(),
        "reference": CurriculumNetConfig(bias=True),
        "modern": CurriculumNetConfig(bias=True),
    }

    def __init__(
        self, config: CurriculumNetConfig, *, backbone: nn.Module, num_features: int, num_classes: int
    ):
        self.config, self.backbone = config, backbone
        self.module = CurriculumNetModule(backbone, num_features, num_classes, bias=config.bias)
        self.num_epochs = 0
        self.labels = self.density = torch.zeros(0)
        self.groups: Tensor | None = None  # [N] 0 clean, 1 noisy, 2 highly noisy; none before the first stage

    def start(self, training_set: TrainingSet) -> None:
        self.num_epochs = training_set.num_epochs
        self.labels = training_set.original_labels.cpu()

    def stage(self, epoch: int) -> int:
        """0 for plain training, then 1, 2 and 3."""
        passed = epoch - 1
        return sum(passed >= round(share * self.num_epochs, 9) for share in self.config.stage_starts)

    def begin_epoch(self, epoch: int, outputs: Callable[[], Outputs]) -> Tensor | None:
        stage = self.stage(epoch)
        if stage == 0:
            return None
        if self.groups is None:
            self._design(outputs()["features"])
        assert self.groups is not None
        return None if stage == 3 else (self.groups < stage).nonzero().squeeze(1)

    def _design(self, features: Tensor) -> None:
        """The curriculum, once, from features [N, D]."""
        self.density = torch.zeros(len(self.labels))
        self.groups = torch.zeros(len(self.labels), dtype=torch.int64)
        for label in self.labels.unique():
            ids = (self.labels == label).nonzero().squeeze(1)
            reduced = principal_components(features[ids], self.config.pca_size)
            counts = local_density(reduced, self.config.density_quantile)
            self.density[ids] = (counts / max(len(ids) - 1, 1)).to(self.density)
            self.groups[ids] = density_groups(counts)

    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        logits = forward(batch.images)["logits"]
        losses = F.cross_entropy(logits, batch.given_labels, reduction="none")  # [B]
        if self.groups is None:
            return StepOutput(loss=losses.mean(), logits=logits)
        ids = batch.ids.cpu()
        weights = torch.tensor(self.config.group_weights)[self.groups[ids]].to(losses)
        return StepOutput(
            loss=(weights * losses).mean(),
            logits=logits,
            terms={"unweighted_ce": losses.mean(), "loss_weight": weights.mean()},
            scores={"density": self.density[ids].to(losses)},
        )

    def state_dict(self) -> dict[str, Tensor]:
        return {} if self.groups is None else {"groups": self.groups, "density": self.density}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.groups = state["groups"].clone() if state else None
        self.density = state["density"].clone() if state else torch.zeros(0)


def principal_components(features: Tensor, size: int) -> Tensor:
    """[n, D] → [n, min(size, D)] float64 with the largest variance; as they are if distances cannot change.

    >>> line = principal_components(torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]), 1)
    >>> (line - line[0]).abs().squeeze(1).round()
    tensor([ 0.,  5., 10.], dtype=torch.float64)
    """
    centered = features.double() - features.double().mean(0)
    if min(features.shape) <= size:
        return centered
    directions = torch.linalg.eigh(centered.T @ centered).eigenvectors  # ascending, [D, D]
    return centered @ directions[:, -size:]


def local_density(features: Tensor, quantile: float) -> Tensor:
    """How many of the others are nearer than d_c to each sample.

    Args:
        features: [n, D] of one class.
        quantile: rank of d_c among all n² distances, as a share of them.

    Returns:
        [n] int64, 0 … n − 1.

    Of the three distances 1, 9 and 10, and three zeros beside, twice and once, rank 0.6 · 9 = 5 is the first 9:

    >>> local_density(torch.tensor([[0.0], [1.0], [10.0]]), 0.6)
    tensor([1, 1, 0])
    """
    features = features.double()
    some = features[torch.linspace(0, len(features) - 1, min(len(features), _MAX_FOR_CUTOFF)).long()]
    upper = torch.ones(len(some), len(some), dtype=torch.bool).triu(1)
    pairs = _squared_distances(some, some)[upper].sort().values
    if not len(pairs):
        return torch.zeros(len(features), dtype=torch.int64)
    # Of the n² distances, n are the zeros of the diagonal and each pair comes twice.
    rank = min(max(int(len(some) ** 2 * quantile) - len(some), 0) // 2, len(pairs) - 1)
    # Halfway to the pair before: as strict as "< D at that rank", and safe from the last bits of a distance.
    before = pairs[rank - 1] if rank else pairs.new_zeros(())
    cutoff = (before + pairs[rank]) / 2
    chunks = features.split(max(1, _MAX_DISTANCES // len(features)))
    near = torch.cat([(_squared_distances(chunk, features) < cutoff).sum(1) for chunk in chunks])
    return (near - 1).clamp(min=0)  # without itself


def density_groups(density: Tensor) -> Tensor:
    """The split of densities into three groups with the least squared deviation from the groups' means.

    Args:
        density: [n] int64.

    Returns:
        [n] int64: 0 for the densest group, 2 for the thinnest.

    >>> density_groups(torch.tensor([9, 1, 5, 10, 2]))
    tensor([0, 2, 1, 0, 2])
    """
    steps = density // (1 + int(density.max()) // _MAX_STEPS)
    values, position, counts = steps.unique(return_inverse=True, return_counts=True)  # ascending, [m]
    sums = [F.pad((counts * values**power).double().cumsum(0), (1, 0)) for power in (0, 1, 2)]  # [m + 1] each
    number, total, squares = (s[None, :] - s[:, None] for s in sums)  # of the values i … j − 1 at [i, j]
    spread = (squares - total**2 / number.clamp(min=1)).clamp(min=0)
    cost = (
        spread[0][:, None] + spread + spread[:, -1][None, :]
    )  # cut before value a and before value b, at [a, b]
    cost = cost.masked_fill(torch.ones_like(cost, dtype=torch.bool).tril(-1), torch.inf)
    first, second = divmod(int(cost.argmin()), cost.shape[1])
    return (position < second).long() + (position < first).long()


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """[A, D], [B, D] → [A, B] by one matrix product."""
    return (a.square().sum(1)[:, None] + b.square().sum(1)[None, :] - 2 * a @ b.T).clamp_(min=0)
