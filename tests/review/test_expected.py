"""How many wrong labels are left, where suspicion is no probability."""

import numpy as np
import pytest

from selfcure.review.expected import fit_decay, ranks


def drawn(seed: int, num: int = 4000, plateau: float = 1.5, height: float = 0.7):
    """A queue whose errors thin out as those of real annotators do: level at the head, few at the end."""
    rng = np.random.default_rng(seed)
    rank = (np.arange(num) + 0.5) / num
    return rank, rng.random(num) < height * (1 - rank**plateau) ** 2


def test_ranks_are_shares_that_ties_have_together():
    rng = np.random.default_rng(0)
    score = rng.integers(0, 20, 200).astype(float)
    score[::7] = np.nan
    known = score[~np.isnan(score)]
    expected = [((known > s).sum() + (known >= s).sum()) / (2 * len(known)) for s in known]
    np.testing.assert_allclose(ranks(score)[~np.isnan(score)], expected)
    assert np.isnan(ranks(score)[::7]).all()
    assert ranks(np.array([np.nan])).tolist() == pytest.approx([np.nan], nan_ok=True)


@pytest.mark.parametrize(("decided", "within"), [(100, 0.5), (1000, 0.35), (2000, 0.3)])
def test_a_reviewer_of_the_queue_alone_learns_how_many_are_left(decided, within):
    """Decided from the top, as a queue does: what is left is foretold from what was found."""
    errors = []
    for seed in range(10):
        rank, wrong = drawn(seed)
        guess, low, high = fit_decay(rank[:decided], wrong[:decided]).expected(rank[decided:])
        assert low <= guess <= high
        errors.append(guess / wrong[decided:].sum() - 1)
    assert abs(np.mean(errors)) < within, errors


def test_some_at_random_make_it_much_better():
    misses = {0: [], 50: []}
    for seed in range(20):
        rank, wrong = drawn(seed)
        for num, found in misses.items():
            audited = np.random.default_rng(seed).permutation(4000)[:num]
            decided = np.union1d(audited, np.arange(200))
            left = np.setdiff1d(np.arange(4000), decided)
            guess, _, _ = fit_decay(rank[decided], wrong[decided]).expected(rank[left])
            found.append(abs(guess - wrong[left].sum()))
    assert np.mean(misses[50]) < 0.6 * np.mean(misses[0]), misses


def test_more_errors_found_are_more_errors_expected():
    rank = np.linspace(0.01, 0.2, 60)
    guesses = [
        fit_decay(rank, np.arange(60) * num % 60 < num).expected(np.linspace(0.2, 1, 400))[0]
        for num in (0, 10, 20, 30, 60)
    ]
    assert (np.diff(guesses) > 0).all(), guesses
    assert guesses[0] < 20
    assert guesses[-1] > 100


@pytest.mark.parametrize("at_random", [False, True])
def test_nine_in_ten_intervals_hold_the_answer(at_random):
    held = 0
    for seed in range(40):
        rng = np.random.default_rng(1000 + seed)
        rank, wrong = drawn(seed, 2000, plateau=rng.uniform(0.8, 2.5), height=rng.uniform(0.2, 0.95))
        order = rng.permutation(2000) if at_random else np.arange(2000)
        decided, left = order[:150], order[150:]
        _, low, high = fit_decay(rank[decided], wrong[decided]).expected(rank[left])
        held += low <= wrong[left].sum() <= high
    assert held >= 32, held


def test_the_head_of_the_queue_is_never_the_least_likely_wrong():
    rank = np.linspace(0.01, 0.99, 50)
    found = fit_decay(rank, rank > 0.5).probability(rank)  # decisions that contradict the queue altogether
    assert (np.diff(found) <= 0).all()
    assert np.isnan(fit_decay(rank, rank > 0.5).probability(np.array([np.nan]))).all()


def test_all_right_or_all_wrong_is_no_trouble():
    rank = np.linspace(0.01, 0.99, 60)
    right, wrong = (fit_decay(rank, np.full(60, value)).probability(rank).mean() for value in (False, True))
    assert right < 0.05
    assert wrong > 0.75
    assert fit_decay(rank, rank > 2).expected(np.array([]))[0] == 0
