"""Label smoothing.

Papers: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for Computer Vision", CVPR 2016
(the method); Lukasik, Bhojanapalli, Menon, Kumar, "Does Label Smoothing Mitigate Label Noise?", ICML 2020 (against noise).

L = −mean_i Σ_k q_ik log p_ik,  q_i = (1 − ε)·onehot(y_i) + ε/K

It is what label noise itself does: with ε = r·K/(K − 1) the target is the mean of labels changed uniformly to another
class at rate r. Lukasik et al. find it competitive with loss correction all the same.

Checked: the target, against public restatements of Szegedy et al. and torch's own ``label_smoothing``; the claim,
against the abstract of Lukasik et al. Recalled: ε = 0.1, Szegedy et al.'s choice on ImageNet.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import nn

from selfcure.core import Batch, StepOutput
from selfcure.errors import SelfcureError
from selfcure.methods.base import Forward, Method
from selfcure.methods.plain import PlainNet


@dataclass(frozen=True, kw_only=True)
class LabelSmoothingConfig:
    """Settings of label smoothing."""

    smoothing: float = 0.1
    """ε, share of the target that is spread evenly over all classes; 0: plain training."""
    bias: bool = False
    """Give the classifier a bias; as in SCN's recipe of the same name."""

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise SelfcureError(f"smoothing must be at least 0 and below 1, not {self.smoothing}")


class LabelSmoothing(Method):
    """Cross-entropy on given labels mixed with the uniform distribution; changes none of them."""

    Config = LabelSmoothingConfig
    recipes: ClassVar = {
        "paper": LabelSmoothingConfig(),
        "reference": LabelSmoothingConfig(bias=True),
        "modern": LabelSmoothingConfig(bias=True),
    }

    def __init__(
        self, config: LabelSmoothingConfig, *, backbone: nn.Module, num_features: int, num_classes: int
    ):
        self.config, self.backbone = config, backbone
        self.module = PlainNet(backbone, num_features, num_classes, bias=config.bias)

    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        logits = forward(batch.images)["logits"]
        losses = F.cross_entropy(
            logits, batch.given_labels, reduction="none", label_smoothing=self.config.smoothing
        )  # [B]
        return StepOutput(loss=losses.mean(), logits=logits)
