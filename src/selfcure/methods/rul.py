"""Relative Uncertainty Learning: two faces are mixed by their uncertainties, and the mixture must show both labels.

Paper: Zhang, Wang, Deng, "Relative Uncertainty Learning for Facial Expression Recognition", NeurIPS 2021.

Two branches on the backbone give each sample a mean μ and an uncertainty σ > 0. Every sample i gets a random partner j:

    μ̂_i = (σ_i·μ_i + σ_j·μ_j)/(σ_i + σ_j),   L = mean_i ½·CE(W·μ̂_i, y_i) + ½·CE(W·μ̂_i, y_j)

The more uncertain of two has the larger share: for the mixture to show both labels, the harder face must weigh more.
At inference the prediction is W·μ.

Checked against the authors' public code (zyh-uaiaaaa/Relative-Uncertainty-Learning): each branch is batch norm without
scale, dropout 0.4, a linear layer to 64 and batch norm with ε = 2e-5; σ is the mean of exp(log-variance) over the 64;
partners are a random permutation of the batch, so some keep themselves; the loss above. The paper itself was not at
hand beyond its abstract.

Different from the code: batch norm and dropout of the branches are those of the whole batch, however it is cut;
branches read the pooled features, which any backbone has, not its 7 × 7 map; their linear
layers have no bias, which the batch norm after them would take away; the classifier has the learning rate of the rest,
not ten times as much (the recipes are shared by all methods).
"""

from dataclasses import dataclass
from math import log
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfcure.core import Batch, StepOutput
from selfcure.errors import SelfcureError
from selfcure.methods.base import Forward, Method, Outputs


@dataclass(frozen=True, kw_only=True)
class RulConfig:
    """Settings of RUL."""

    embedding_size: int = 64
    """Dimensions of μ and of the log-variance."""
    drop_rate: float = 0.4
    """Dropout before both branches."""
    bias: bool = False
    """Give the classifier a bias."""

    def __post_init__(self) -> None:
        if self.embedding_size < 1:
            raise SelfcureError(f"embedding_size must be at least 1, not {self.embedding_size}")
        if not 0 <= self.drop_rate < 1:
            raise SelfcureError(f"drop_rate must be at least 0 and below 1, not {self.drop_rate}")


class Branch(nn.Module):
    """Batch norm without scale, dropout, linear layer and batch norm."""

    def __init__(self, num_features: int, embedding_size: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(num_features, eps=2e-5, affine=False)
        self.linear = nn.Linear(num_features, embedding_size, bias=False)
        self.embedding_norm = nn.BatchNorm1d(embedding_size, eps=2e-5)

    def forward(self, features: Tensor, kept: Tensor | float = 1.0) -> Tensor:
        """Features [B, D] → [B, E]; ``kept`` [B, D] is 0 where dropout strikes, and makes up for it elsewhere."""
        return self.embedding_norm(self.linear(self.norm(features) * kept))


class RulNet(nn.Module):
    """Backbone, branches for mean and log-variance, and classifier of the mean.

    In training the features alone come out: the branches, whose batch norm and dropout are those of the whole batch,
    are run by the step. In evaluation mode the logits come out.
    """

    def __init__(self, backbone: nn.Module, num_features: int, num_classes: int, config: RulConfig):
        super().__init__()
        self.backbone = backbone
        self.mean, self.log_variance = (Branch(num_features, config.embedding_size) for _ in range(2))
        self.classifier = nn.Linear(config.embedding_size, num_classes, bias=config.bias)

    def forward(self, images: Tensor) -> Outputs:
        features = self.backbone(images)
        return {"features": features} if self.training else {"logits": self.classifier(self.mean(features))}


class Rul(Method):
    """Cross-entropy of pairs mixed by uncertainty.

    Score ``log_uncertainty``: log σ; *lower* is more trusted.
    """

    Config = RulConfig
    recipes: ClassVar = {
        "paper": RulConfig(),
        "reference": RulConfig(bias=True),
        "modern": RulConfig(bias=True),
    }

    def __init__(self, config: RulConfig, *, backbone: nn.Module, num_features: int, num_classes: int):
        self.config, self.backbone = config, backbone
        self.module: RulNet = RulNet(backbone, num_features, num_classes, config)

    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        labels, module = batch.given_labels, self.module
        # All draws come before the network's own, so that they are the same in every process.
        partner = torch.randperm(len(labels)).to(labels.device)
        generator = torch.Generator(labels.device).manual_seed(int(torch.randint(2**62, ())))
        features = forward(batch.images)["features"]  # [B, D]
        mean = module.mean(features, self._kept(features, generator))  # [B, E]
        log_variance = module.log_variance(features, self._kept(features, generator))
        log_uncertainty = log_variance.logsumexp(dim=1) - log(log_variance.shape[1])  # [B]
        mixed_logits = module.classifier(mix_pairs(mean, log_uncertainty, partner))
        losses = add_up_loss(mixed_logits, labels, labels[partner])  # [B]
        return StepOutput(
            loss=losses.mean(),
            logits=module.classifier(mean),
            terms={"log_uncertainty": log_uncertainty.mean()},
            scores={"log_uncertainty": log_uncertainty},
        )

    def _kept(self, features: Tensor, generator: torch.Generator) -> Tensor | float:
        rate = self.config.drop_rate
        if rate == 0:
            return 1.0
        draws = torch.rand(features.shape, generator=generator, device=features.device)
        return (draws >= rate).to(features) / (1 - rate)


def mix_pairs(mean: Tensor, log_uncertainty: Tensor, partner: Tensor) -> Tensor:
    """(σ_i·μ_i + σ_j·μ_j)/(σ_i + σ_j).

    Args:
        mean: [B, E].
        log_uncertainty: [B] log σ.
        partner: [B] int64, position j of the partner of i.

    Returns:
        [B, E].

    With σ = 3 and 1, a sample at 0 and one at 4 mix to ¼ · 4:

    >>> mean, log_uncertainty = torch.tensor([[0.0], [4.0]]), torch.tensor([3.0, 1.0]).log()
    >>> mix_pairs(mean, log_uncertainty, torch.tensor([1, 0])).round(decimals=4)
    tensor([[1.],
            [1.]])
    """
    share = (log_uncertainty - log_uncertainty[partner]).sigmoid()[
        :, None
    ]  # σ_i/(σ_i + σ_j), without overflow
    return share * mean + (1 - share) * mean[partner]


def add_up_loss(mixed_logits: Tensor, labels: Tensor, partner_labels: Tensor) -> Tensor:
    """½·CE to each of two labels, per sample.

    Args:
        mixed_logits: [B, K].
        labels, partner_labels: [B] int64.

    Returns:
        [B] losses ≥ 0; with one label for both it is the cross-entropy, else at least log 2.

    >>> loss = add_up_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([0]), torch.tensor([1]))
    >>> round(loss.item(), 4)  # log 2
    0.6931
    """
    one, other = (F.cross_entropy(mixed_logits, y, reduction="none") for y in (labels, partner_labels))
    return 0.5 * one + 0.5 * other
