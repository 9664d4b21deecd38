"""The curve from suspicion to P(label wrong)."""

import numpy as np
import pytest

from selfcure.review.expected import fit_curve

NONE = np.array([])


def drawn(seed: int, num: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Suspicion and wrong labels with P = sigmoid(2·logit(s) − 4)."""
    rng = np.random.default_rng(seed)
    score = rng.beta(4, 2, num)
    return score, rng.random(num) < 1 / (1 + np.exp(4 - 2 * np.log(score / (1 - score))))


def test_without_decisions_it_is_the_score():
    score = np.array([0.01, 0.3, 0.99, np.nan])
    curve = fit_curve(NONE, NONE.astype(bool))
    np.testing.assert_allclose(curve.probability(score), score, rtol=1e-6)
    assert curve.expected(score)[0] == pytest.approx(1.3)


def test_it_learns_a_score_that_is_far_too_high():
    """Decided from the top, as a queue does."""
    score, wrong = drawn(0)
    order = (-score).argsort()
    decided, left = order[:800], order[800:]
    guess, low, high = fit_curve(score[decided], wrong[decided], trusted=False).expected(score[left])
    assert guess == pytest.approx(wrong[left].sum(), rel=0.25)
    assert low < guess < high
    trusted = fit_curve(score[decided], wrong[decided], trusted=True).expected(score[left])[0]
    assert guess < trusted < score[left].sum(), "believed, it takes more to say otherwise"


def test_nine_in_ten_intervals_hold_the_answer():
    held = 0
    for seed in range(40):
        score, wrong = drawn(seed, 1000)
        decided, left = np.arange(150), np.arange(150, 1000)  # at random
        _, low, high = fit_curve(score[decided], wrong[decided], trusted=False).expected(score[left])
        held += low <= wrong[left].sum() <= high
    assert held >= 32


def test_higher_suspicion_is_never_less_likely_wrong():
    score = np.linspace(0.01, 0.99, 50)
    curve = fit_curve(score, score < 0.5)  # decisions that contradict the score altogether
    assert curve.slope == 0
    assert curve.probability(score)[0] == pytest.approx(0.48, abs=0.05), "about half of them were wrong"


def test_all_right_or_all_wrong_is_no_trouble():
    score = np.linspace(0.1, 0.9, 40)
    for wrong in (np.zeros(40, bool), np.ones(40, bool)):
        found = fit_curve(score, wrong, trusted=False).probability(score)
        assert np.isfinite(found).all()
        assert (found.mean() > 0.5) == wrong.all()
