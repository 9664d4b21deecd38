"""Label smoothing: the smoothed target, and plain training where there is nothing to smooth."""

import math

import pytest
import torch
from torch import nn

import selfcure
from selfcure.core import Batch
from selfcure.errors import SelfcureError
from selfcure.methods.label_smoothing import LabelSmoothing, LabelSmoothingConfig
from selfcure.training.checkpoint import load_tensors
from selfcure.training.config import resolve
from stripes import TINY


def loss(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    config = LabelSmoothingConfig(smoothing=smoothing)
    method = LabelSmoothing(config, backbone=nn.Identity(), num_features=4, num_classes=logits.shape[1])
    batch = Batch(torch.arange(len(labels)), torch.zeros(len(labels), 3, 8, 8), labels, labels, epoch=1)
    return method.step(batch, lambda images: {"logits": logits}).loss


def test_the_loss_is_that_of_a_loop_over_the_smoothed_target():
    logits, labels = torch.randn(7, 4, dtype=torch.float64), torch.randint(4, (7,))
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(z) for z in row))
        for k, z in enumerate(row):
            target = 0.7 * (k == label) + 0.3 / 4
            total -= target * (z - log_sum) / 7
    assert loss(logits, labels, 0.3).item() == pytest.approx(total)


def test_by_hand():
    # p = (3/4, 1/4), label 0, target (0.9, 0.1): −0.9·ln 0.75 − 0.1·ln 0.25 = 0.2589 + 0.1386.
    logits = torch.tensor([[math.log(3.0), 0.0]])
    assert loss(logits, torch.tensor([0]), 0.2).item() == pytest.approx(0.3975, abs=1e-4)


def test_the_optimum_is_the_smoothed_target():
    target = torch.tensor([[0.925, 0.025, 0.025, 0.025]], dtype=torch.float64)
    logits = target.log().requires_grad_()
    loss(logits, torch.tensor([0]), 0.1).backward()
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits))


def test_without_smoothing_it_is_plain_training_to_the_last_bit(stripes_folder, tmp_path):
    runs = [
        selfcure.train(stripes_folder, out=tmp_path / name, method=name, **{**TINY, "num_epochs": 2}, **more)
        for name, more in (("plain", {}), ("label-smoothing", {"smoothing": 0.0}))
    ]
    plain, smooth = (load_tensors(run.model)[0]["module"] for run in runs)
    assert plain.keys() == smooth.keys()
    assert all(torch.equal(plain[name], smooth[name]) for name in plain)


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_settings_out_of_range_are_refused(value):
    with pytest.raises(SelfcureError, match=f"smoothing must be at least 0 and below 1, not {value}"):
        resolve("label-smoothing", "paper", smoothing=value)
