"""Co-teaching.

Paper: Han, Yao, Yu, Niu, Xu, Hu, Tsang, Sugiyama, "Co-teaching: Robust Training of Deep Neural Networks with Extremely
Noisy Labels", NeurIPS 2018.

Two networks f and g see the same batch. Each picks the samples of lowest loss and the *other* learns from them, so that an
error of one is not fed back to it:

share kept at epoch T:  R(T) = 1 − τ·min(T / T_k, 1)
L = mean of CE_f over g's ⌊R·B⌋ lowest + mean of CE_g over f's ⌊R·B⌋ lowest

τ is the share of wrong labels, which the paper takes as known; here it is a setting.

Checked against the authors' code (bhanML/Co-teaching, loss.py and main.py): exchange, rounding down, T_k = 10, linear
ramp, default τ = 0.2. That code divides the mean loss by the number kept once more, which Adam does not notice and SGD
would; not done here. It counts epochs from 0 and reaches τ at the tenth; recalled from the paper's Algorithm 1, and done
here, is T from 1. Each network learns from its own mean, so the two losses are added, not averaged.
Left open by the paper, ours: T_k is a quarter of the epochs (10 of 40). Both accuracies are reported there; here the
first network is the one that is evaluated and used: it costs what a plain one does, and a mean of two would gain from
being an ensemble. Pretrained weights go into both networks, which then differ by their classifiers alone at the start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfcure.core import Batch, StepOutput, TrainingSet
from selfcure.errors import SelfcureError
from selfcure.methods.base import Forward, Method, Outputs
from selfcure.methods.plain import PlainNet


@dataclass(frozen=True, kw_only=True)
class CoteachingConfig:
    """Settings of co-teaching."""

    noise_rate: float = 0.2
    """τ, the share of labels taken to be wrong, which is ignored in the end; 0: two plain networks. The true share is
    seldom known: 0.2 is the default of the authors' code."""
    ramp_share: float = 0.25
    """T_k as a share of the epochs, over which what is ignored grows to τ."""
    bias: bool = False
    """Give the classifiers a bias; as in SCN's recipe of the same name."""

    def __post_init__(self) -> None:
        if not 0 <= self.noise_rate < 1:
            raise SelfcureError(f"noise_rate must be at least 0 and below 1, not {self.noise_rate}")
        if not 0 <= self.ramp_share <= 1:
            raise SelfcureError(f"ramp_share must lie in 0 … 1, not {self.ramp_share}")


def kept_share(epoch: int, num_epochs: int, *, noise_rate: float, ramp_share: float) -> float:
    """R(T), the share of a batch that is learned from.

    >>> [kept_share(epoch, 40, noise_rate=0.2, ramp_share=0.25) for epoch in (1, 5, 10, 40)]
    [0.98, 0.9, 0.8, 0.8]
    """
    ramp = ramp_share * num_epochs
    return 1 - noise_rate * (min(epoch / ramp, 1.0) if ramp else 1.0)


def small_loss_mask(losses: Tensor, share: float) -> Tensor:
    """[B] bool: the ⌊share·B⌋ samples of lowest loss, at least one; of equal losses the first.

    >>> small_loss_mask(torch.tensor([0.3, 2.0, 0.1, 0.2]), 0.75)
    tensor([ True, False,  True,  True])
    """
    num = max(1, int(share * len(losses) + 1e-9))  # (1 − 0.2)·10 is 8, whatever floats say
    mask = torch.zeros_like(losses, dtype=torch.bool)
    mask[losses.argsort(stable=True)[:num]] = True
    return mask


class CoteachingNet(nn.Module):
    """Two plain networks; the first alone answers at inference."""

    def __init__(self, first: PlainNet, second: PlainNet):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, images: Tensor) -> Outputs:
        outputs = self.first(images)
        if self.training:
            outputs["second_logits"] = self.second(images)["logits"]
        return outputs


class Coteaching(Method):
    """Two networks, each taught by what the other finds easy; changes no labels.

    Records ``chosen``: the share of the two networks that chose a sample for the other, 0, ½ or 1; higher is more trusted.
    """

    Config = CoteachingConfig
    recipes: ClassVar = {
        "paper": CoteachingConfig(),
        "reference": CoteachingConfig(bias=True),
        "modern": CoteachingConfig(bias=True),
    }

    num_epochs: int

    def __init__(
        self,
        config: CoteachingConfig,
        *,
        backbone: nn.Module,
        num_features: int,
        num_classes: int,
        spare: Sequence[nn.Module],
    ):
        self.config, self.backbone, self.spare = config, backbone, tuple(spare)
        first, second = (
            PlainNet(network, num_features, num_classes, bias=config.bias) for network in (backbone, *spare)
        )
        self.module: CoteachingNet = CoteachingNet(first, second)

    @property
    def backbones(self) -> tuple[nn.Module, ...]:
        return (self.backbone, *self.spare)

    @classmethod
    def num_spare_backbones(cls, config: CoteachingConfig) -> int:
        return 1

    def start(self, training_set: TrainingSet) -> None:
        self.num_epochs = training_set.num_epochs

    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        config = self.config
        outputs = forward(batch.images)
        share = kept_share(
            batch.epoch, self.num_epochs, noise_rate=config.noise_rate, ramp_share=config.ramp_share
        )
        first, second = (
            F.cross_entropy(outputs[name], batch.given_labels, reduction="none")  # [B]
            for name in ("logits", "second_logits")
        )
        by_first, by_second = (
            small_loss_mask(losses.detach(), share).to(losses) for losses in (first, second)
        )
        taught_first = (first * by_second).sum() / by_second.sum()
        taught_second = (second * by_first).sum() / by_first.sum()
        return StepOutput(
            loss=taught_first + taught_second,
            logits=outputs["logits"],
            terms={
                "ce_first": taught_first,
                "ce_second": taught_second,
                "agreement": (by_first == by_second).to(first).mean(),
            },
            scores={"chosen": (by_first + by_second) / 2},
        )
