"""The Self-Cure Network.

Paper: Wang, Peng, Yang, Lu, Qiao, "Suppressing Uncertainties for Large-Scale Facial Expression Recognition", CVPR 2020.

Per batch: importance α = sigmoid(w·x) (Eq. 1), cross-entropy of α-weighted logits (Eq. 2), a hinge that keeps the mean
α of the top 70 % above that of the rest (Eq. 3 and 4), and from epoch 10 on new labels for low-importance samples whose
prediction beats the given label by δ2 (Eq. 5).

The recipe ``paper`` follows the text, ``reference`` the public code where that differs. Left open by the paper, ours:
the high group keeps its labels; Eq. 5 reads the probabilities of the unweighted logits of the augmented training view,
in training mode, before the step; M is rounded down.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from selfcure.core import Batch, RelabelDecisions, SelfCureHead, SelfCureLoss, StepOutput, relabel
from selfcure.core.functional import GivenLabel, RelabelScope, high_importance_mask
from selfcure.errors import SelfcureError
from selfcure.methods.base import Forward, Method, Outputs


@dataclass(frozen=True, kw_only=True)
class ScnConfig:
    """Settings of SCN; the defaults are the paper's."""

    high_ratio: float = 0.7
    """β, share of a batch in the high-importance group."""
    rank_margin: float = 0.15
    """δ1, by which the groups' mean importance shall differ. The public code advises 0.07 at batch 64."""
    learn_rank_margin: bool = False
    """Learn δ1 from that start."""
    rank_weight: float | None = 0.5
    """γ, share of the rank loss in the total; none: the plain sum of both."""
    weight_logits: bool = True
    """Weight the logits by the importance (WCE); without it the importance is learned from the rank loss alone."""
    relabel: bool = True
    """Relabel at all."""
    relabel_epoch: int = 10
    """First epoch (1-based) that relabels; scaled with the schedule."""
    relabel_margin: float = 0.2
    """δ2, by which a prediction must beat the given label."""
    relabel_scope: RelabelScope = "low"
    """Consider the low-importance group or all samples."""
    relabel_given: GivenLabel = "original"
    """The label to beat: the original one or the current one."""
    relabel_probs: Literal["plain", "weighted"] = "plain"
    """Probabilities for relabelling: of the logits as they are or weighted by α."""
    bias: bool = False
    """Give classifier and importance branch a bias."""

    def __post_init__(self) -> None:
        for name in ("high_ratio", "rank_weight"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise SelfcureError(f"{name} must lie in 0 … 1, not {value}")
        for name, low in (("rank_margin", 0), ("relabel_margin", -1), ("relabel_epoch", 1)):
            if not getattr(self, name) >= low:
                raise SelfcureError(f"{name} must be at least {low}, not {getattr(self, name)}")


class ScnNet(nn.Module):
    """Backbone and self-cure head; the loss sits here because its margin may be learned."""

    def __init__(self, backbone: nn.Module, num_features: int, num_classes: int, config: ScnConfig):
        super().__init__()
        self.backbone = backbone
        self.head = SelfCureHead(num_features, num_classes, bias=config.bias)
        self.loss = SelfCureLoss(
            rank_weight=config.rank_weight,
            rank_margin=config.rank_margin,
            high_ratio=config.high_ratio,
            learn_margin=config.learn_rank_margin,
            weight_logits=config.weight_logits,
        )

    def forward(self, images: Tensor) -> Outputs:
        logits, importance = self.head(self.backbone(images))
        return {"logits": logits, "importance": importance}


class Scn(Method):
    """Importance weighting, rank regularisation and relabelling."""

    Config = ScnConfig
    uses_soft_labels = True
    recipes: ClassVar = {
        "paper": ScnConfig(),
        "modern": ScnConfig(bias=True),
        "reference": ScnConfig(
            rank_weight=None,
            relabel_scope="all",
            relabel_given="current",
            relabel_probs="weighted",
            bias=True,
        ),
    }

    def __init__(self, config: ScnConfig, *, backbone: nn.Module, num_features: int, num_classes: int):
        self.config, self.backbone = config, backbone
        self.module: ScnNet = ScnNet(backbone, num_features, num_classes, config)

    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        outputs = forward(batch.images)
        logits, importance = outputs["logits"], outputs["importance"]  # [B, K], [B]
        total, weighted_ce, rank = self.module.loss(logits, importance, batch.targets)
        high = high_importance_mask(importance.detach(), self.config.high_ratio)
        terms = {"weighted_ce": weighted_ce, "rank": rank}
        if high.any() and not high.all():
            terms["importance_high"], terms["importance_low"] = (
                importance[high].mean(),
                importance[~high].mean(),
            )
        if self.config.learn_rank_margin:
            terms["rank_margin"] = self.module.loss.rank.rank_margin
        return StepOutput(
            loss=total,
            logits=logits,
            terms=terms,
            scores={"importance": importance},
            relabels=self._relabels(batch, logits.detach(), importance.detach()),
        )

    def _relabels(self, batch: Batch, logits: Tensor, importance: Tensor) -> RelabelDecisions | None:
        config = self.config
        if not config.relabel or batch.epoch < config.relabel_epoch:
            return None
        weight = importance[:, None] if config.relabel_probs == "weighted" else 1.0
        considered, labels, margins = relabel(
            (weight * logits).softmax(dim=1),
            importance,
            original_labels=batch.original_labels,
            current_labels=batch.given_labels,
            relabel_margin=config.relabel_margin,
            high_ratio=config.high_ratio,
            scope=config.relabel_scope,
            given=config.relabel_given,
        )
        return RelabelDecisions(batch.ids[considered], labels[considered], margins[considered])
