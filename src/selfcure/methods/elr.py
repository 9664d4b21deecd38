"""Early-learning regularization.

Paper: Liu, Niles-Weed, Razavian, Fernandez-Granda, "Early-Learning Regularization Prevents Memorization of Noisy Labels",
NeurIPS 2020.

A network learns the right labels before it memorises the wrong ones. ELR keeps for every sample a running mean of its own
predictions and pulls towards it:

t_i ← β·t_i + (1 − β)·p_i  (from t_i = 0, without gradient)
L = mean_i CE(p_i, y_i) + λ·mean_i log(1 − ⟨t_i, p_i⟩)

The second term falls as p comes near t; its gradient grows for confident, settled predictions and there outweighs a
label that says otherwise.

Checked against the authors' code (shengliu66/ELR, ELR/model/loss.py and the configurations beside it): both equations;
p is clamped to [1e-4, 1 − 1e-4] in the regulariser, and normalised again before it enters t; t is updated before it is
used; t starts at zero. β and λ there: 0.7 and 3 (CIFAR-10, symmetric noise), 0.9 and 1 (CIFAR-10, asymmetric), 0.9 and 7
(CIFAR-100); ELR+ on Clothing1M, real noise, 0.7 and 3: the default here. They should be chosen on a validation split.
Left out: ELR+ (two networks, weight averaging, mixup).
Left open by the paper, ours: a sample that is several times in one batch enters its t once, with its mean prediction.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfcure.core import Batch, StepOutput, TrainingSet
from selfcure.core.pooling import PooledPredictions
from selfcure.errors import SelfcureError
from selfcure.methods.base import Forward, Method
from selfcure.methods.plain import PlainNet

_EPS = 1e-4


@dataclass(frozen=True, kw_only=True)
class ElrConfig:
    """Settings of ELR; the defaults are the authors' for Clothing1M."""

    target_momentum: float = 0.7
    """β, share of a sample's running prediction that stays at each update."""
    regularization_weight: float = 3.0
    """λ; 0: plain training."""
    bias: bool = False
    """Give the classifier a bias; as in SCN's recipe of the same name."""

    def __post_init__(self) -> None:
        if not 0 <= self.target_momentum < 1:
            raise SelfcureError(f"target_momentum must be at least 0 and below 1, not {self.target_momentum}")
        if not 0 <= self.regularization_weight < float("inf"):
            raise SelfcureError(f"regularization_weight must be at least 0, not {self.regularization_weight}")


def early_learning_penalty(probs: Tensor, targets: Tensor) -> Tensor:
    """log(1 − ⟨t, p⟩) of every sample, [B], at most 0; lower where the prediction agrees with its own past.

    Args:
        probs: [B, K], clamped away from 1.
        targets: [B, K] running predictions, without gradient.

    ⟨t, p⟩ = ½·0.8 + ½·0.2 = ½ and log ½ = −0.6931:

    >>> early_learning_penalty(torch.tensor([[0.8, 0.2]]), torch.tensor([[0.5, 0.5]]))
    tensor([-0.6931])
    """
    return torch.log1p(-(targets * probs).sum(dim=1))


class Elr(Method):
    """Cross-entropy on the given labels, and a pull towards the network's own earlier predictions.

    Records ``target_prob``: the share of a sample's running prediction that its given label has, in 0 … 1; higher is more
    trusted.
    """

    Config = ElrConfig
    uses_soft_labels = True
    recipes: ClassVar = {
        "paper": ElrConfig(),
        "reference": ElrConfig(bias=True),
        "modern": ElrConfig(bias=True),
    }

    def __init__(self, config: ElrConfig, *, backbone: nn.Module, num_features: int, num_classes: int):
        self.config, self.backbone = config, backbone
        self.module = PlainNet(backbone, num_features, num_classes, bias=config.bias)

    def start(self, training_set: TrainingSet) -> None:
        values = torch.zeros(len(training_set), training_set.num_classes)
        self.targets = PooledPredictions(values, momentum=self.config.target_momentum)

    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        logits = forward(batch.images)["logits"]  # [B, K]
        probs = logits.softmax(dim=1).clamp(_EPS, 1 - _EPS)
        seen = probs.detach()
        targets = self.targets.update(batch.ids, seen / seen.sum(dim=1, keepdim=True))
        cross_entropy = F.cross_entropy(logits, batch.targets, reduction="none").mean()
        penalty = early_learning_penalty(probs, targets).mean()
        of_given = targets.gather(1, batch.given_labels[:, None]).squeeze(1)
        return StepOutput(
            loss=cross_entropy + self.config.regularization_weight * penalty,
            logits=logits,
            terms={"ce": cross_entropy, "penalty": penalty},
            scores={"target_prob": of_given / targets.sum(dim=1)},
        )

    def state_dict(self) -> dict[str, Tensor]:
        return {"targets": self.targets.values.cpu()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.targets.values = state["targets"].clone()
