"""Plain training: softmax cross-entropy on the given labels. The baseline of every table."""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from selfcure.core import Batch, StepOutput
from selfcure.methods.base import Forward, Method, Outputs


@dataclass(frozen=True, kw_only=True)
class PlainConfig:
    """Settings of plain training."""

    bias: bool = False
    """Give the classifier a bias; as in SCN's recipe of the same name."""


class PlainNet(nn.Module):
    """Backbone and linear classifier."""

    def __init__(self, backbone: nn.Module, num_features: int, num_classes: int, *, bias: bool):
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Linear(num_features, num_classes, bias=bias)

    def forward(self, images: Tensor) -> Outputs:
        return {"logits": self.classifier(self.backbone(images))}


class Plain(Method):
    """Cross-entropy on the given labels; changes none of them."""

    Config = PlainConfig
    uses_soft_labels = True
    recipes: ClassVar = {
        "paper": PlainConfig(),
        "reference": PlainConfig(bias=True),
        "modern": PlainConfig(bias=True),
    }

    def __init__(self, config: PlainConfig, *, backbone: nn.Module, num_features: int, num_classes: int):
        self.backbone = backbone
        self.module = PlainNet(backbone, num_features, num_classes, bias=config.bias)

    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        logits = forward(batch.images)["logits"]
        losses = F.cross_entropy(logits, batch.targets, reduction="none")  # [B]
        return StepOutput(loss=losses.mean(), logits=logits)
