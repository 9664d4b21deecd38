"""Small modules over :mod:`selfcure.core.functional`, for anybody's own training loop."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from selfcure.core.functional import (
    logit_weighted_cross_entropy,
    rank_regularization,
    sample_importance,
    self_cure_loss,
)


class HeadOutput(NamedTuple):
    """``logits`` [B, K] before weighting, and ``importance`` [B] in (0, 1)."""

    logits: Tensor
    importance: Tensor


class SelfCureHead(nn.Module):
    """Classifier and importance branch on pooled features (Eq. 1 and the W of Eq. 2).

    α > 0 does not change the arg max, so at inference ``classifier`` alone is the whole head.

    Args:
        in_features: D of the features [B, D].
        num_classes: K.
        bias: give both layers a bias, as the public code does; the paper has none.

    >>> head = SelfCureHead(512, 7)
    >>> logits, importance = head(torch.zeros(4, 512))
    >>> logits.shape, importance
    (torch.Size([4, 7]), tensor([0.5000, 0.5000, 0.5000, 0.5000], grad_fn=<SigmoidBackward0>))
    """

    def __init__(self, in_features: int, num_classes: int, *, bias: bool = False):
        super().__init__()
        self.classifier = nn.Linear(in_features, num_classes, bias=bias)
        self.attention = nn.Linear(in_features, 1, bias=bias)

    def forward(self, features: Tensor) -> HeadOutput:
        importance = sample_importance(features, self.attention.weight.squeeze(0), self.attention.bias)
        return HeadOutput(self.classifier(features), importance)


class RankRegularization(nn.Module):
    """Rank regularisation (Eq. 3 and 4) with a fixed or learned margin δ1.

    A learned margin only ever shrinks: the hinge's gradient for δ1 is +1 wherever it is active. The paper reports that
    its own ended at 0.142 ± 0.05.

    Args:
        rank_margin: δ1, or its initial value.
        high_ratio: β, share of the high-importance group.
        learn_margin: make δ1 a parameter.
    """

    rank_margin: Tensor

    def __init__(self, rank_margin: float = 0.15, high_ratio: float = 0.7, *, learn_margin: bool = False):
        super().__init__()
        self.high_ratio = high_ratio
        margin = torch.tensor(float(rank_margin))
        if learn_margin:
            self.rank_margin = nn.Parameter(margin)
        else:
            self.register_buffer("rank_margin", margin)

    def forward(self, importance: Tensor) -> Tensor:
        return rank_regularization(importance, rank_margin=self.rank_margin, high_ratio=self.high_ratio)


class SelfCureLossOutput(NamedTuple):
    """``total`` to minimise, and its two terms; all scalars."""

    total: Tensor
    weighted_ce: Tensor
    rank: Tensor


class SelfCureLoss(nn.Module):
    """γ·L_RR + (1 − γ)·L_WCE over one whole mini-batch.

    Args:
        rank_weight: γ; ``None`` for the public code's plain sum.
        rank_margin, high_ratio, learn_margin: as in :class:`RankRegularization`.
        weight_logits: without it the cross-entropy is that of the logits as they are (for ablations).

    >>> loss = SelfCureLoss()(torch.zeros(4, 2), torch.full((4,), 0.5), torch.tensor([0, 1, 0, 1]))
    >>> [round(term.item(), 4) for term in loss]  # 0.5 · 0.15 + 0.5 · log 2
    [0.4216, 0.6931, 0.15]
    """

    def __init__(
        self,
        *,
        rank_weight: float | None = 0.5,
        rank_margin: float = 0.15,
        high_ratio: float = 0.7,
        learn_margin: bool = False,
        weight_logits: bool = True,
    ):
        super().__init__()
        self.rank_weight, self.weight_logits = rank_weight, weight_logits
        self.rank = RankRegularization(rank_margin, high_ratio, learn_margin=learn_margin)

    def forward(self, logits: Tensor, importance: Tensor, labels: Tensor) -> SelfCureLossOutput:
        weights = importance if self.weight_logits else torch.ones_like(importance)
        weighted_ce = logit_weighted_cross_entropy(logits, weights, labels).mean()
        rank = self.rank(importance)
        return SelfCureLossOutput(
            self_cure_loss(weighted_ce, rank, rank_weight=self.rank_weight), weighted_ce, rank
        )
