"""MetaCleaner: classify the weighted mean of several images of a class, with weights that suspect the odd one out.

Paper: Zhang, Wang, Qiao, "MetaCleaner: Learning to Hallucinate Clean Representations for Noisy-Labeled Visual
Recognition", CVPR 2019.

A noisy subset is M images with the same given label y. Noisy weighting: a small network reads the M features joined
together and gives a confidence to each; clean hallucinating: their weighted mean stands for the class, and is
classified beside the images themselves:

    α = softmax(V₂·relu(V₁·[x_1; …; x_M])),   x̂ = Σ_m α_m·x_m,   L = p·mean CE(W·x, y) + c·mean CE(W·x̂, y)

The weighting network is dropped at inference.

Checked against the paper's abstract and two public readers' notes: confidence from all features of the subset jointly,
joined end to end; the sum with these confidences; a layer between features and classifier. Recalled, not checked (no
public code was found): softmax for α, M of 3 to 5, two layers, the plain loss beside (p = 0 leaves the hallucinated
one alone).

Left open by the paper, ours: the width of V₁; p = c = 1; subsets are drawn anew in each batch, not loaded as such, so
that batches are those of every other method. The samples of a class that are left over, or too few, are filled up with
samples of that class from the same batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfcure.core import Batch, StepOutput
from selfcure.errors import SelfcureError
from selfcure.methods.base import Forward, Method, Outputs


@dataclass(frozen=True, kw_only=True)
class MetaCleanerConfig:
    """Settings of MetaCleaner."""

    subset_size: int = 3
    """M, images of one class that make one clean representation."""
    weighting_width: int = 128
    """Hidden units of the network that weights them."""
    plain_weight: float = 1.0
    """p, weight of the cross-entropy of the images themselves."""
    clean_weight: float = 1.0
    """c, weight of the cross-entropy of the clean representations."""
    bias: bool = False
    """Give the classifier a bias."""

    def __post_init__(self) -> None:
        for name, low in (
            ("subset_size", 2),
            ("weighting_width", 1),
            ("plain_weight", 0),
            ("clean_weight", 0),
        ):
            if not low <= getattr(self, name) < float("inf"):
                raise SelfcureError(f"{name} must be at least {low}, not {getattr(self, name)}")
        if self.plain_weight == self.clean_weight == 0:
            raise SelfcureError("plain_weight and clean_weight must not both be 0")


class MetaCleanerNet(nn.Module):
    """Backbone, classifier and, for training alone, the network that weights a subset."""

    def __init__(self, backbone: nn.Module, num_features: int, num_classes: int, config: MetaCleanerConfig):
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Linear(num_features, num_classes, bias=config.bias)
        self.weighting = nn.Sequential(
            nn.Linear(config.subset_size * num_features, config.weighting_width),
            nn.ReLU(),
            nn.Linear(config.weighting_width, config.subset_size),
        )

    def forward(self, images: Tensor) -> Outputs:
        features = self.backbone(images)
        outputs = {"logits": self.classifier(features)}
        return {**outputs, "features": features} if self.training else outputs

    def hallucinate(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features [G, M, D] of subsets → clean representations [G, D] and α [G, M], which sums to 1."""
        alpha = self.weighting(features.flatten(1)).softmax(dim=1)
        return (alpha[:, :, None] * features).sum(1), alpha


class MetaCleaner(Method):
    """Cross-entropy of images and of weighted means of images of a class.

    Score ``relative_weight``: M·α of each sample in its subset, 1 for an even share; higher is more trusted.
    """

    Config = MetaCleanerConfig
    recipes: ClassVar = {
        "paper": MetaCleanerConfig(),
        "reference": MetaCleanerConfig(bias=True),
        "modern": MetaCleanerConfig(bias=True),
    }

    def __init__(
        self, config: MetaCleanerConfig, *, backbone: nn.Module, num_features: int, num_classes: int
    ):
        self.config, self.backbone = config, backbone
        self.module: MetaCleanerNet = MetaCleanerNet(backbone, num_features, num_classes, config)

    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        config, labels = self.config, batch.given_labels
        order = torch.randperm(len(labels))  # before the network draws, so that every process draws the same
        subsets = class_subsets(labels.cpu()[order], config.subset_size)
        subsets = order[subsets].to(labels.device)  # [G, M] places in the batch
        outputs = forward(batch.images)
        logits = outputs["logits"]
        clean, alpha = self.module.hallucinate(outputs["features"][subsets])  # [G, D], [G, M]
        plain_ce = F.cross_entropy(logits, labels)
        clean_ce = F.cross_entropy(self.module.classifier(clean), labels[subsets[:, 0]])
        # A sample that fills up a subset has several places: the mean of them.
        weight, places = (torch.zeros_like(logits[:, 0]) for _ in range(2))
        weight.index_add_(0, subsets.flatten(), alpha.detach().flatten() * config.subset_size)
        places.index_add_(0, subsets.flatten(), torch.ones_like(alpha).detach().flatten())
        return StepOutput(
            loss=config.plain_weight * plain_ce + config.clean_weight * clean_ce,
            logits=logits,
            terms={"plain_ce": plain_ce, "clean_ce": clean_ce},
            scores={"relative_weight": weight / places},
        )


def class_subsets(labels: Tensor, size: int) -> Tensor:
    """Cut each class into subsets in the order given, and fill its last one up from its beginning.

    Args:
        labels: [B] int64.

    Returns:
        [G, size] positions in ``labels``; every position occurs, and a row is of one class.

    >>> class_subsets(torch.tensor([0, 1, 0, 0]), 2)
    tensor([[0, 2],
            [3, 0],
            [1, 1]])
    """
    subsets = []
    for label in labels.unique():
        members = (labels == label).nonzero().squeeze(1)
        num = -(-len(members) // size)
        subsets.append(members[torch.arange(num * size) % len(members)].view(num, size))
    return torch.cat(subsets)
