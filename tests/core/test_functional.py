"""The equations against slow oracles, values worked out by hand, invariants and gradients."""

import math

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfcure.core import (
    high_importance_mask,
    logit_weighted_cross_entropy,
    rank_regularization,
    relabel,
    sample_importance,
    self_cure_loss,
)

alphas = arrays.arrays(np.float64, st.integers(2, 40), elements=st.floats(0.001, 0.999))
ratios = st.floats(0.05, 0.95)


def naive_rank(alpha: list[float], margin: float, ratio: float) -> float:
    """Eq. 3 and 4, word for word."""
    ranked = sorted(alpha, reverse=True)
    num = math.floor(round(ratio * len(alpha), 9))
    high, low = ranked[:num], ranked[num:]
    if not high or not low:
        return 0.0
    return max(0.0, margin - (sum(high) / len(high) - sum(low) / len(low)))


def naive_relabel(probs, alpha, original, current, margin, ratio, scope, given_label):
    """Eq. 5, one sample at a time."""
    num = math.floor(round(ratio * len(alpha), 9))
    low = sorted(range(len(alpha)), key=lambda i: -alpha[i])[num:]
    result = list(current)
    for i in low if scope == "low" else range(len(alpha)):
        anchor = original[i] if given_label == "original" else current[i]
        best = max(range(len(probs[i])), key=lambda k: probs[i][k])
        result[i] = best if probs[i][best] - probs[i][anchor] > margin else anchor
    return result


def test_importance_by_hand():
    features = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    weight = torch.tensor([0.5, -0.5])
    expected = torch.tensor([1 / (1 + math.exp(0.5)), 0.5])
    torch.testing.assert_close(sample_importance(features, weight), expected)
    shifted = sample_importance(features, weight, torch.tensor([1.0]))
    torch.testing.assert_close(shifted, torch.tensor([1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(-1))]))


def test_weighted_cross_entropy_by_hand():
    # alpha * logits = (1, 0): loss of label 1 is log(1 + e).
    loss = logit_weighted_cross_entropy(torch.tensor([[2.0, 0.0]]), torch.tensor([0.5]), torch.tensor([1]))
    assert loss.item() == pytest.approx(math.log(1 + math.e))


def test_weighted_cross_entropy_weights_logits_not_loss():
    logits, label = torch.tensor([[3.0, 0.0, -1.0]]), torch.tensor([0])
    zero = logit_weighted_cross_entropy(logits, torch.tensor([0.0]), label)
    assert zero.item() == pytest.approx(math.log(3)), "alpha = 0 must not make the loss vanish"


@given(alphas, st.floats(0, 0.5), ratios)
def test_rank_regularization_matches_oracle(alpha, margin, ratio):
    value = rank_regularization(torch.from_numpy(alpha), rank_margin=margin, high_ratio=ratio)
    assert value.item() == pytest.approx(naive_rank(alpha.tolist(), margin, ratio), abs=1e-12)


@given(alphas, ratios, st.randoms())
def test_rank_regularization_ignores_order(alpha, ratio, random):
    shuffled = alpha.tolist()
    random.shuffle(shuffled)
    a, b = (
        rank_regularization(torch.tensor(x, dtype=torch.float64), high_ratio=ratio) for x in (alpha, shuffled)
    )
    assert a.item() == pytest.approx(b.item(), abs=1e-12)


def test_rank_regularization_is_zero_beyond_the_margin():
    alpha = torch.tensor([0.9, 0.9, 0.2], requires_grad=True)
    loss = rank_regularization(alpha, rank_margin=0.15, high_ratio=0.7)
    loss.backward()
    assert loss.item() == 0
    assert alpha.grad.abs().sum() == 0


def test_rank_regularization_gradient():
    alpha = torch.tensor([0.50, 0.52, 0.51, 0.45], dtype=torch.float64, requires_grad=True)
    rank_regularization(alpha, rank_margin=0.5, high_ratio=0.5).backward()
    # Active hinge: -1/M for the high group (0.52, 0.51), +1/(N-M) for the low one.
    torch.testing.assert_close(alpha.grad, torch.tensor([0.5, -0.5, -0.5, 0.5], dtype=torch.float64))


def test_learned_margin_gets_gradient_one_while_active():
    margin = torch.tensor(0.15, requires_grad=True)
    rank_regularization(torch.tensor([0.5, 0.5, 0.5]), rank_margin=margin).backward()
    assert margin.grad.item() == 1


@pytest.mark.parametrize("size", [0, 1])
def test_rank_regularization_of_a_group_that_is_empty(size):
    assert rank_regularization(torch.full((size,), 0.5), high_ratio=0.7).item() == 0


@given(alphas, ratios)
def test_high_group_has_the_right_size_and_members(alpha, ratio):
    mask = high_importance_mask(torch.from_numpy(alpha), ratio)
    assert mask.sum() == math.floor(round(ratio * len(alpha), 9))
    if mask.any() and not mask.all():
        assert alpha[mask.numpy()].min() >= alpha[~mask.numpy()].max()


@pytest.mark.parametrize("size", [10, 20, 30, 70, 1024])
def test_high_group_size_is_that_of_the_paper(size):
    assert high_importance_mask(torch.rand(size), 0.7).sum() == 7 * size // 10


def test_total_loss_recipes():
    wce, rr = torch.tensor(2.0), torch.tensor(0.1)
    assert self_cure_loss(wce, rr, rank_weight=0.5).item() == pytest.approx(1.05)
    assert self_cure_loss(wce, rr, rank_weight=0.8).item() == pytest.approx(0.48)
    assert self_cure_loss(wce, rr, rank_weight=None).item() == pytest.approx(2.1)


@given(
    st.integers(1, 30).flatmap(
        lambda n: st.tuples(
            arrays.arrays(np.float64, (n, 4), elements=st.floats(0.01, 1)),
            arrays.arrays(np.float64, n, elements=st.floats(0.01, 0.99), unique=True),
            arrays.arrays(np.int64, n, elements=st.integers(0, 3)),
            arrays.arrays(np.int64, n, elements=st.integers(0, 3)),
        )
    ),
    st.floats(0, 0.5),
    ratios,
    st.sampled_from(["low", "all"]),
    st.sampled_from(["original", "current"]),
)
def test_relabel_matches_oracle(batch, margin, ratio, scope, anchor):
    raw, alpha, original, current = batch
    probs = raw / raw.sum(axis=1, keepdims=True)
    result = relabel(
        torch.from_numpy(probs),
        torch.from_numpy(alpha),
        original_labels=torch.from_numpy(original),
        current_labels=torch.from_numpy(current),
        relabel_margin=margin,
        high_ratio=ratio,
        scope=scope,
        given=anchor,
    )
    expected = naive_relabel(probs.tolist(), alpha.tolist(), original, current, margin, ratio, scope, anchor)
    assert result.labels.tolist() == expected


def test_paper_rule_takes_a_change_back_and_the_code_rule_does_not():
    probs = torch.tensor([[0.5, 0.4, 0.1]])
    labels = {"original_labels": torch.tensor([0]), "current_labels": torch.tensor([1])}
    importance = torch.tensor([0.3])
    paper = relabel(probs, importance, **labels, high_ratio=0.0, scope="low", given="original")
    code = relabel(probs, importance, **labels, scope="all", given="current")
    assert (paper.labels.item(), code.labels.item()) == (0, 1)
