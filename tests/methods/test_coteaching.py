"""Co-teaching: what is ignored when, and who learns from whose choice."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from selfcure.core import Batch, TrainingSet
from selfcure.errors import SelfcureError
from selfcure.methods.coteaching import Coteaching, CoteachingConfig, kept_share, small_loss_mask
from selfcure.training.api import build_method
from selfcure.training.config import resolve


def step(first: torch.Tensor, second: torch.Tensor, labels: torch.Tensor, *, epoch: int, **settings):
    config = CoteachingConfig(**settings)
    method = Coteaching(
        config, backbone=nn.Identity(), num_features=4, num_classes=first.shape[1], spare=[nn.Identity()]
    )
    method.start(TrainingSet(labels, first.shape[1], num_epochs=40))
    batch = Batch(torch.arange(len(labels)), torch.zeros(len(labels), 3, 8, 8), labels, labels, epoch)
    return method.step(batch, lambda images: {"logits": first, "second_logits": second})


def random_logits(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(11, 3, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("epoch", [1, 5, 10, 33])
def test_the_loss_is_that_of_a_loop(epoch):
    first, second, labels = random_logits(1), random_logits(2), torch.arange(11) % 3
    keep = 1 - 0.4 * min(epoch / 10, 1)
    losses = [
        [
            -math.log(math.exp(row[k]) / sum(math.exp(z) for z in row))
            for row, k in zip(net, labels, strict=True)
        ]
        for net in (first.tolist(), second.tolist())
    ]
    number = math.floor(keep * 11)
    chosen = [sorted(range(11), key=lambda i, of=of: of[i])[:number] for of in losses]
    expected = sum(losses[0][i] for i in chosen[1]) / number + sum(losses[1][i] for i in chosen[0]) / number
    output = step(first, second, labels, epoch=epoch, noise_rate=0.4)
    assert output.loss.item() == pytest.approx(expected)
    assert output.scores["chosen"].tolist() == [((i in chosen[0]) + (i in chosen[1])) / 2 for i in range(11)]


def test_by_hand_each_learns_from_the_others_choice():
    # First net: losses ln 2, ln 4, ln 4 → keeps sample 0 of three (⌊⅓·3⌋). Second: ln 4, ln 4, ln 2 → keeps sample 2.
    half, quarter = [0.0, 0.0], [0.0, math.log(3.0)]
    first = torch.tensor([half, quarter, quarter], requires_grad=True)
    second = torch.tensor([quarter, quarter, half], requires_grad=True)
    output = step(first, second, torch.zeros(3, dtype=torch.int64), epoch=40, noise_rate=2 / 3)
    assert output.loss.item() == pytest.approx(2 * math.log(4))
    output.loss.backward()
    assert first.grad.abs().sum(1).nonzero().squeeze(1).tolist() == [2], "chosen by the second"
    assert second.grad.abs().sum(1).nonzero().squeeze(1).tolist() == [0], "chosen by the first"
    assert output.scores["chosen"].tolist() == [0.5, 0.0, 0.5]


def test_without_noise_it_is_two_plain_networks():
    first, second, labels = random_logits(1), random_logits(2), torch.arange(11) % 3
    output = step(first, second, labels, epoch=40, noise_rate=0.0)
    expected = F.cross_entropy(first, labels) + F.cross_entropy(second, labels)
    torch.testing.assert_close(output.loss, expected)
    assert (output.scores["chosen"] == 1).all()


def test_what_is_kept_falls_to_its_end_and_scales_with_the_schedule():
    shares = [kept_share(epoch, 40, noise_rate=0.3, ramp_share=0.25) for epoch in range(1, 41)]
    assert shares == sorted(shares, reverse=True)
    assert shares[9:] == pytest.approx([0.7] * 31)
    short = [kept_share(epoch, 8, noise_rate=0.3, ramp_share=0.25) for epoch in (1, 2, 3)]
    assert short == pytest.approx([0.85, 0.7, 0.7])
    assert kept_share(1, 40, noise_rate=0.3, ramp_share=0.0) == pytest.approx(0.7)


def test_the_number_kept_is_not_at_the_mercy_of_rounding():
    for percent in range(100):
        expected = max(1, (100 - percent) * 50 // 100)
        assert small_loss_mask(torch.randn(50), 1 - percent / 100).sum() == expected


def test_one_network_answers_and_pretrained_weights_go_into_both():
    method = build_method(resolve("coteaching", "paper", backbone="compact"), 3)
    images = torch.randn(4, 3, 16, 16)
    assert set(method.module.train()(images)) == {"logits", "second_logits"}
    with torch.no_grad():
        outputs = method.module.eval()(images)
        assert torch.equal(outputs["logits"], method.module.first(images)["logits"])
    assert set(outputs) == {"logits"}
    first, second = method.backbones
    assert first is method.module.first.backbone
    assert second is method.module.second.backbone
    assert not any(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True) if a.ndim > 1
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise_rate": 1.0}, "noise_rate must be at least 0 and below 1, not 1.0"),
        ({"noise_rate": float("nan")}, "noise_rate must be at least 0 and below 1, not nan"),
        ({"ramp_share": 1.5}, "ramp_share must lie in 0 … 1, not 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(SelfcureError, match=message):
        resolve("coteaching", "paper", **settings)
