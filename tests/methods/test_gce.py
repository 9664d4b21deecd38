"""Generalized cross-entropy: from cross-entropy to the mean absolute error."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from selfcure.core import Batch
from selfcure.errors import SelfcureError
from selfcure.methods.gce import Gce, GceConfig, generalized_cross_entropy
from selfcure.training.config import resolve

LOGITS = torch.randn(9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.arange(9) % 4


def test_the_loss_is_that_of_a_loop():
    losses = generalized_cross_entropy(LOGITS, LABELS, exponent=0.7)
    for row, label, found in zip(LOGITS.tolist(), LABELS.tolist(), losses.tolist(), strict=True):
        prob = math.exp(row[label]) / sum(math.exp(z) for z in row)
        assert found == pytest.approx((1 - prob**0.7) / 0.7)


def test_by_hand():
    # p = 1/4, q = ½: (1 − ½) / ½ = 1.
    logits = torch.tensor([[0.0, math.log(3.0)]])
    assert generalized_cross_entropy(logits, torch.tensor([0]), exponent=0.5).item() == pytest.approx(1.0)


def test_its_ends_are_cross_entropy_and_half_the_absolute_error():
    cross_entropy = F.cross_entropy(LOGITS, LABELS, reduction="none")
    torch.testing.assert_close(generalized_cross_entropy(LOGITS, LABELS, exponent=1e-9), cross_entropy)
    assert torch.equal(generalized_cross_entropy(LOGITS, LABELS, exponent=0.0), cross_entropy)
    error = (LOGITS.softmax(1) - F.one_hot(LABELS, 4)).abs().sum(1)
    torch.testing.assert_close(generalized_cross_entropy(LOGITS, LABELS, exponent=1.0), error / 2)


@given(st.floats(0, 1), st.floats(-60, 60))
def test_it_falls_from_at_most_one_over_q_to_zero(exponent, logit):
    logits = torch.tensor([[logit, 0.0], [logit + 1, 0.0]], dtype=torch.float64)
    worse, better = generalized_cross_entropy(logits, torch.tensor([0, 0]), exponent=exponent).tolist()
    assert worse >= better >= 0
    assert worse * exponent <= 1


def test_the_gradient_is_that_of_cross_entropy_times_a_power_of_the_probability():
    gradients = []
    for exponent in (0.7, 0.0):
        logits = LOGITS.clone().requires_grad_()
        generalized_cross_entropy(logits, LABELS, exponent=exponent).sum().backward()
        gradients.append(logits.grad)
    weight = LOGITS.softmax(1).gather(1, LABELS[:, None]) ** 0.7
    torch.testing.assert_close(gradients[0], gradients[1] * weight)


def test_the_gradient_is_finite_where_the_label_is_not_believed_at_all():
    logits = torch.tensor([[0.0, 300.0]], requires_grad=True)
    generalized_cross_entropy(logits, torch.tensor([0]), exponent=0.7).sum().backward()
    assert torch.equal(logits.grad, torch.zeros(1, 2))


def test_a_step_is_the_mean_over_the_batch():
    method = Gce(GceConfig(), backbone=nn.Identity(), num_features=4, num_classes=4)
    batch = Batch(torch.arange(9), torch.zeros(9, 3, 8, 8), LABELS, LABELS, epoch=1)
    output = method.step(batch, lambda images: {"logits": LOGITS})
    expected = generalized_cross_entropy(LOGITS, LABELS, exponent=0.7).mean()
    assert torch.equal(output.loss, expected)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_settings_out_of_range_are_refused(value):
    with pytest.raises(SelfcureError, match=rf"exponent must lie in 0 … 1, not {value}"):
        resolve("gce", "paper", exponent=value)
