"""Frozen running statistics: batch norm computes what it does without, and moves nothing."""

import pytest
import torch
from torch import nn

from selfcure.core.statistics import frozen_running_statistics

IMAGES = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_are_the_same_and_nothing_moves(training, momentum):
    norm = nn.Sequential(nn.BatchNorm2d(3, momentum=momentum)).train()
    norm(IMAGES + 1)
    norm.train(training)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    with frozen_running_statistics(norm):
        frozen = norm(IMAGES)
    torch.testing.assert_close(norm.state_dict(), before, rtol=0, atol=0)
    torch.testing.assert_close(frozen, norm(IMAGES), rtol=0, atol=0)
    assert torch.equal(norm[0].num_batches_tracked, before["0.num_batches_tracked"] + training)


def test_buffers_are_the_same_objects_again_after_an_error():
    norm = nn.BatchNorm2d(3)
    mean = norm.running_mean
    with pytest.raises(ValueError), frozen_running_statistics(norm):
        norm(torch.zeros(3))
    assert norm.running_mean is mean


def test_batch_norm_without_running_statistics_is_left_alone():
    norm = nn.BatchNorm2d(3, track_running_stats=False)
    with frozen_running_statistics(norm):
        norm(IMAGES)
    assert norm.running_mean is None
