"""Pooled predictions: the mean, samples seen twice, never or in another precision."""

import pytest
import torch

from selfcure.core.pooling import PooledPredictions


def test_mean_weighs_late_predictions_more():
    pool = PooledPredictions(torch.zeros(3, 2), momentum=0.5)
    for prob in (0.2, 0.6, 0.8):
        pool.update(torch.tensor([0]), torch.tensor([[prob, 1 - prob]]))
    expected = (0.2 + 2 * 0.6 + 4 * 0.8) / 7
    assert pool.mean()[0].tolist() == pytest.approx([expected, 1 - expected])
    assert pool.mean(torch.tensor([1, 0]))[1].tolist() == pytest.approx([expected, 1 - expected])


def test_a_sample_never_seen_is_undecided():
    assert PooledPredictions(torch.zeros(2, 4), momentum=0.8).mean().tolist() == [[0.25] * 4] * 2


def test_a_sample_seen_twice_at_once_counts_once():
    twice, once = (PooledPredictions(torch.zeros(2, 2), momentum=0.8) for _ in range(2))
    twice.update(torch.tensor([1, 1]), torch.tensor([[0.2, 0.8], [0.6, 0.4]]))
    once.update(torch.tensor([1]), torch.tensor([[0.4, 0.6]]))
    torch.testing.assert_close(twice.values, once.values)


def test_precision_is_that_of_the_predictions():
    pool = PooledPredictions(torch.zeros(2, 2), momentum=0.8)
    pool.update(torch.tensor([0]), torch.tensor([[0.5, 0.5]], dtype=torch.float64))
    assert pool.values.dtype == torch.float64
