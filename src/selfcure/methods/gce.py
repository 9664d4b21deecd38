"""Generalized cross-entropy.

Paper: Zhang, Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels", NeurIPS 2018.

L_q(p, y) = (1 − p_y^q) / q,  0 < q ≤ 1

q → 0 is cross-entropy; q = 1 is 1 − p_y, half the mean absolute error to the one-hot label, which symmetric noise cannot
mislead but which learns slowly. The gradient is cross-entropy's times p_y^q: a label that the network does not believe
pulls less.

Checked: the loss and the names of its two ends, against the abstract and public summaries of the paper; q = 0.7 as the
default, against an unofficial implementation that says it keeps the paper's settings (AlanChou/Truncated-Loss). That
one averages over the batch where the paper sums, as here.
Left out: the paper's second, truncated loss, which drops samples with p_y ≤ k and needs a rule for when to begin.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfcure.core import Batch, StepOutput
from selfcure.errors import SelfcureError
from selfcure.methods.base import Forward, Method
from selfcure.methods.plain import PlainNet


@dataclass(frozen=True, kw_only=True)
class GceConfig:
    """Settings of generalized cross-entropy; the defaults are the paper's."""

    exponent: float = 0.7
    """q, from 0 (cross-entropy) to 1 (mean absolute error)."""
    bias: bool = False
    """Give the classifier a bias; as in SCN's recipe of the same name."""

    def __post_init__(self) -> None:
        if not 0 <= self.exponent <= 1:
            raise SelfcureError(f"exponent must lie in 0 … 1, not {self.exponent}")


def generalized_cross_entropy(logits: Tensor, labels: Tensor, *, exponent: float) -> Tensor:
    """(1 − p_y^q) / q of every sample, [B] in 0 … 1/q; the cross-entropy where q is 0.

    Args:
        logits: [B, K].
        labels: [B] int64.
        exponent: q in 0 … 1.

    Two equal logits give p = ½: with q = 1 the loss is ½, with q = ½ it is 2·(1 − √½), with q = 0 it is log 2.

    >>> logits, labels = torch.zeros(1, 2), torch.tensor([1])
    >>> [round(generalized_cross_entropy(logits, labels, exponent=q).item(), 4) for q in (1.0, 0.5, 0.0)]
    [0.5, 0.5858, 0.6931]
    """
    losses = F.cross_entropy(logits, labels, reduction="none")  # −log p_y
    if exponent == 0:
        return losses
    return -torch.expm1(-exponent * losses) / exponent  # exact where p_y is near 1 and where q is near 0


class Gce(Method):
    """Generalized cross-entropy on the given labels; changes none of them."""

    Config = GceConfig
    recipes: ClassVar = {
        "paper": GceConfig(),
        "reference": GceConfig(bias=True),
        "modern": GceConfig(bias=True),
    }

    def __init__(self, config: GceConfig, *, backbone: nn.Module, num_features: int, num_classes: int):
        self.config, self.backbone = config, backbone
        self.module = PlainNet(backbone, num_features, num_classes, bias=config.bias)

    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        logits = forward(batch.images)["logits"]
        losses = generalized_cross_entropy(logits, batch.given_labels, exponent=self.config.exponent)  # [B]
        return StepOutput(loss=losses.mean(), logits=logits)
