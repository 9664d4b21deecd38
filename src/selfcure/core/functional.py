"""The equations of the Self-Cure Network as pure functions.

Paper: Wang, Peng, Yang, Lu, Qiao, "Suppressing Uncertainties for Large-Scale Facial Expression Recognition", CVPR 2020.
Every function takes one whole mini-batch of B samples and K classes; under data parallelism that is the global batch.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

RelabelScope = Literal["low", "all"]
GivenLabel = Literal["original", "current"]


def sample_importance(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Importance of each sample, α = sigmoid(w·x) (Eq. 1).

    Args:
        features: [B, D] pooled backbone features.
        weight: [D] attention weights.
        bias: scalar tensor; the paper has none, the public code does.

    Returns:
        [B] in (0, 1); higher is more trusted.

    >>> sample_importance(torch.tensor([[0.0, 0.0], [1.0, 2.0]]), torch.tensor([1.0, -0.5]))
    tensor([0.5000, 0.5000])
    """
    logits = features @ weight
    return torch.sigmoid(logits if bias is None else logits + bias)


def logit_weighted_cross_entropy(logits: Tensor, importance: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of importance-weighted logits, per sample (Eq. 2 is its mean).

    Weighting the loss itself by a learned α would have the trivial optimum α = 0; weighting the logits has not.

    Args:
        logits: [B, K] classifier output before weighting.
        importance: [B] in (0, 1).
        labels: [B] int64 in 0 … K-1, the labels training uses now; or [B, K] weights of classes.

    Returns:
        [B] losses, ≥ 0.

    With α = 0 the prediction is uniform, so the loss is log K = log 2:

    >>> loss = logit_weighted_cross_entropy(torch.tensor([[9.0, 0.0]]), torch.tensor([0.0]), torch.tensor([1]))
    >>> round(loss.item(), 4)
    0.6931
    """
    return F.cross_entropy(importance.unsqueeze(1) * logits, labels, reduction="none")


def num_high(batch_size: int, high_ratio: float) -> int:
    """Size M of the high-importance group, ⌊β·N⌋ as in the public code (the paper does not say how it rounds).

    >>> num_high(1024, 0.7)
    716
    """
    # 0.7 * 10 is 7.000000000000001 or 6.999999999999999 on another ratio: round off before the floor.
    return int(round(high_ratio * batch_size, 9))


def high_importance_mask(importance: Tensor, high_ratio: float = 0.7) -> Tensor:
    """Which samples of the batch are in the high-importance group, by rank over the whole batch.

    Args:
        importance: [B]; equal values rank in batch order.
        high_ratio: β, share of the high group, in [0, 1].

    Returns:
        [B] bool.

    >>> high_importance_mask(torch.tensor([0.2, 0.9, 0.4]), high_ratio=0.7)
    tensor([False,  True,  True])
    """
    order = importance.argsort(descending=True, stable=True)
    mask = torch.zeros_like(importance, dtype=torch.bool)
    mask[order[: num_high(len(importance), high_ratio)]] = True
    return mask


def rank_regularization(
    importance: Tensor, *, rank_margin: float | Tensor = 0.15, high_ratio: float = 0.7
) -> Tensor:
    """Hinge that keeps the two importance groups apart, max(0, δ1 − (ᾱ_high − ᾱ_low)) (Eq. 3 and 4).

    Args:
        importance: [B] in (0, 1), the whole mini-batch.
        rank_margin: δ1; a tensor where it is learned.
        high_ratio: β, share of the high group.

    Returns:
        Scalar ≥ 0; exactly 0 once the groups differ by the margin, and where a group is empty.

    Mean of the top two 0.7, of the last one 0.6, so the gap of 0.1 lacks 0.05:

    >>> loss = rank_regularization(torch.tensor([0.6, 0.8, 0.6]), rank_margin=0.15, high_ratio=0.7)
    >>> round(loss.item(), 4)
    0.05
    """
    num = num_high(len(importance), high_ratio)
    if num in (0, len(importance)):
        return importance.sum() * 0.0
    ranked = importance.sort(descending=True, stable=True).values
    gap = ranked[:num].mean() - ranked[num:].mean()
    return torch.clamp(rank_margin - gap, min=0.0)


def self_cure_loss(weighted_ce: Tensor, rank: Tensor, *, rank_weight: float | None = 0.5) -> Tensor:
    """Total loss γ·L_RR + (1 − γ)·L_WCE (unnumbered in the paper); ``rank_weight=None`` is the code's L_WCE + L_RR.

    >>> self_cure_loss(torch.tensor(1.0), torch.tensor(0.2), rank_weight=0.5)
    tensor(0.6000)
    >>> self_cure_loss(torch.tensor(1.0), torch.tensor(0.2), rank_weight=None)
    tensor(1.2000)
    """
    if rank_weight is None:
        return weighted_ce + rank
    return rank_weight * rank + (1.0 - rank_weight) * weighted_ce


class Relabeling(NamedTuple):
    """What the relabelling rule decided for a batch."""

    considered: Tensor
    """[B] bool: samples that the rule looked at."""
    labels: Tensor
    """[B] int64: labels for later epochs."""
    margins: Tensor
    """[B] P_max − P_given, in [0, 1]; higher is a stronger case against the given label."""


@torch.no_grad()
def relabel(
    probs: Tensor,
    importance: Tensor,
    *,
    original_labels: Tensor,
    current_labels: Tensor,
    relabel_margin: float = 0.2,
    high_ratio: float = 0.7,
    scope: RelabelScope = "low",
    given: GivenLabel = "original",
) -> Relabeling:
    """The relabelling rule (Eq. 5): the arg max where P_max − P_given > δ2, else the given label.

    Args:
        probs: [B, K] softmax probabilities; whether from weighted or plain logits is the caller's choice.
        importance: [B], ranks the batch.
        original_labels: [B] int64, as the data came.
        current_labels: [B] int64, as training uses them now.
        relabel_margin: δ2.
        high_ratio: β, share of the high group.
        scope: ``"low"`` considers the low-importance group only (paper), ``"all"`` the whole batch (public code).
            A sample that is not considered keeps its current label (ours: the paper is silent).
        given: the label that the arg max has to beat and that stays if it does not: ``"original"`` (paper, so that an
            earlier change can be taken back) or ``"current"`` (public code).

    The first sample's label 0 loses 0.1 to 0.7 and goes; the second's wins; the third is trusted and not looked at:

    >>> probs = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.4, 0.1], [0.0, 1.0, 0.0]])
    >>> labels = torch.tensor([0, 0, 0])
    >>> out = relabel(probs, torch.tensor([0.2, 0.3, 0.9]), original_labels=labels, current_labels=labels,
    ...               high_ratio=0.4)
    >>> out.labels
    tensor([1, 0, 0])
    >>> out.considered
    tensor([ True,  True, False])
    """
    anchor = original_labels if given == "original" else current_labels
    best, prediction = probs.max(dim=1)
    margins = best - probs.gather(1, anchor.unsqueeze(1)).squeeze(1)
    if scope == "low":
        considered = ~high_importance_mask(importance, high_ratio)
    else:
        considered = torch.ones_like(importance, dtype=torch.bool)
    decided = torch.where(margins > relabel_margin, prediction, anchor)
    return Relabeling(considered, torch.where(considered, decided, current_labels), margins)
