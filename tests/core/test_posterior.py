"""Noise read off the surest images, sharpness, Bayes' rule and the budget of changes, against naive loops and a known truth."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfcure.core.posterior import (
    change_threshold,
    error_rates,
    label_posterior,
    sharpness,
    transition_matrix,
)


def noisy(num: int, num_classes: int, rate: float, *, seed: int = 0):
    """True labels, given labels (uniform flips) and predictions that follow the truth with some doubt."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(num_classes, (num,), generator=generator)
    flipped = torch.rand(num, generator=generator) < rate
    shift = torch.randint(1, num_classes, (num,), generator=generator)
    given = torch.where(flipped, (truth + shift) % num_classes, truth)
    logits = torch.randn(num, num_classes, generator=generator)
    logits[torch.arange(num), truth] += 3
    return truth, given, logits.softmax(1)


@pytest.mark.parametrize(("rate", "num_classes"), [(0.0, 8), (0.1, 2), (0.3, 8), (0.4, 20)])
def test_the_noise_rate_is_found(rate, num_classes):
    _, given, probs = noisy(8000, num_classes, rate)
    transition = transition_matrix(probs, given)
    torch.testing.assert_close(transition.sum(1), torch.ones(num_classes))
    assert 1 - transition.diagonal().mean() == pytest.approx(rate, abs=0.04)


def test_pairwise_noise_is_found_where_it_strikes():
    truth, _, probs = noisy(8000, 4, 0.0)
    given = torch.where(
        torch.rand(8000, generator=torch.Generator().manual_seed(1)) < 0.3, (truth + 1) % 4, truth
    )
    transition = transition_matrix(probs, given)
    assert all(transition[k, (k + 1) % 4] > 0.2 and transition[k, (k + 2) % 4] < 0.06 for k in range(4))


def test_a_class_never_predicted_falls_back_on_all_the_others():
    _, given, probs = noisy(4000, 4, 0.3)
    probs = torch.nn.functional.pad(probs, (0, 1))  # a fifth class without probability
    transition = transition_matrix(probs, given)
    rate = 1 - transition[4, 4]
    assert rate == pytest.approx(0.3, abs=0.05)
    torch.testing.assert_close(transition[4, :4], (rate / 4).expand(4))


def test_blurred_predictions_are_sharpened_back():
    generator = torch.Generator().manual_seed(0)
    probs = (2 * torch.randn(20_000, 6, generator=generator)).softmax(1)
    truth = torch.multinomial(probs, 1, generator=generator).squeeze(1)  # as the probabilities say
    transition = torch.full((6, 6), 0.06).fill_diagonal_(0.7)
    given = torch.multinomial(transition[truth], 1, generator=generator).squeeze(1)
    assert sharpness(probs, given, transition) == 1.0
    assert sharpness(probs.sqrt() / probs.sqrt().sum(1, keepdim=True), given, transition) == 2.0


def test_posterior_is_bayes_rule():
    _, given, probs = noisy(50, 5, 0.3)
    transition = torch.rand(5, 5, generator=torch.Generator().manual_seed(0))
    transition /= transition.sum(1, keepdim=True)
    posterior = label_posterior(probs, given, transition, 2.0)
    for row, label, found in zip(probs.tolist(), given.tolist(), posterior.tolist(), strict=True):
        joint = [p**2 * float(transition[k, label]) for k, p in enumerate(row)]
        assert found == pytest.approx([value / sum(joint) for value in joint], abs=1e-5)


def test_right_and_wrong_labels_are_as_frequent_as_foretold():
    truth, given, probs = noisy(20_000, 8, 0.3)
    transition = transition_matrix(probs, given)
    posterior = label_posterior(probs, given, transition, sharpness(probs, given, transition))
    wrong_prob = 1 - posterior.gather(1, given[:, None]).squeeze(1)
    wrong = (truth != given).float()
    bins = (wrong_prob * 10).long().clamp(max=9)
    error = sum(float((wrong_prob[bins == b] - wrong[bins == b]).sum().abs()) for b in range(10)) / len(truth)
    assert error < 0.03


def test_the_budget_holds_on_a_known_truth():
    truth, given, probs = noisy(20_000, 8, 0.3)
    transition = transition_matrix(probs, given)
    posterior = label_posterior(probs, given, transition, sharpness(probs, given, transition))
    suggested, of_given = posterior.argmax(1), posterior.gather(1, given[:, None]).squeeze(1)
    for budget in (0.002, 0.01):
        changed = (of_given < change_threshold(posterior, given, budget)) & (suggested != given)
        right = truth == given
        assert 0 < float((changed & right).sum() / right.sum()) < 2 * budget
        assert (suggested == truth)[changed].float().mean() > 0.8


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(2, 6), st.floats(0, 0.5), st.integers(0, 1000))
def test_no_change_more_would_fit_the_budget(num, num_classes, budget, seed):
    generator = torch.Generator().manual_seed(seed)
    posterior = torch.rand(num, num_classes, generator=generator).softmax(1)
    labels = torch.randint(num_classes, (num,), generator=generator)
    of_given = posterior.gather(1, labels[:, None]).squeeze(1)
    candidates = sorted(
        p
        for p, best, label in zip(of_given.tolist(), posterior.argmax(1), labels, strict=True)
        if best != label
    )
    allowed, spent = 0, 0.0
    while allowed < len(candidates) and spent + candidates[allowed] <= budget * of_given.double().sum():
        spent += candidates[allowed]
        allowed += 1
    threshold = change_threshold(posterior, labels, budget)
    assert sum(p < threshold for p in candidates) == allowed


def test_nothing_is_changed_without_a_budget():
    posterior = torch.tensor([[0.2, 0.8], [0.9, 0.1]])
    assert change_threshold(posterior, torch.tensor([0, 0]), 0.0) == 0.0
    assert not math.isnan(sharpness(posterior, torch.tensor([0, 0]), torch.eye(2)))


@pytest.mark.parametrize(("rate", "doubt"), [(0.1, 0.0), (0.3, 0.2), (0.3, 0.4)])
def test_errors_of_network_and_labels_are_told_apart(rate, doubt):
    truth, given, probs = noisy(20_000, 8, rate)
    astray = torch.rand(20_000, generator=torch.Generator().manual_seed(9)) < doubt
    probs = torch.where(astray[:, None], probs.roll(1, 1).sqrt() / probs.sqrt().sum(1, keepdim=True), probs)
    network, noise = error_rates(probs, given, transition_matrix(probs, given))
    assert noise == pytest.approx(rate, abs=0.06)
    assert network == pytest.approx(float((probs.argmax(1) != truth).float().mean()), abs=0.08)


def test_a_network_that_the_labels_never_follow_is_no_judge():
    probs, labels = torch.tensor([[0.9, 0.1]] * 4), torch.ones(4, dtype=torch.long)
    transition = transition_matrix(probs, labels, top_share=1.0)
    assert error_rates(probs, labels, transition) == (1.0, 1.0)
