"""RUL's mixture and add-up loss against a loop, and what its uncertainty does."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from selfcure.core import Batch
from selfcure.errors import SelfcureError
from selfcure.methods.rul import Rul, RulConfig, add_up_loss, mix_pairs

SIZE, DIMS, CLASSES = 8, 12, 3


def build(**setting) -> Rul:
    torch.manual_seed(0)
    return Rul(RulConfig(**setting), backbone=nn.Flatten(), num_features=DIMS, num_classes=CLASSES)


def make_batch(dtype: torch.dtype = torch.float32) -> Batch:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(SIZE) % CLASSES
    return Batch(
        torch.arange(SIZE), torch.randn(SIZE, 3, 2, 2, generator=generator).to(dtype), labels, labels, epoch=1
    )


def normalised(columns: torch.Tensor) -> torch.Tensor:
    return (columns - columns.mean(0)) / (columns.var(0, correction=0) + 2e-5).sqrt()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_is_that_of_a_loop(dtype):
    method, batch = build(drop_rate=0.4, bias=True), make_batch(dtype)
    method.module.to(dtype).train()
    torch.manual_seed(3)
    output = method.step(batch, method.module)
    torch.manual_seed(3)
    partner = torch.randperm(SIZE).tolist()
    generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    embedded = []
    for branch in (method.module.mean, method.module.log_variance):
        kept = torch.rand(SIZE, DIMS, generator=generator) >= 0.4
        features = normalised(batch.images.flatten(1)) * kept / 0.6
        embedded.append(normalised(features @ branch.linear.weight.T))
    mean, variance = embedded[0], embedded[1].exp().mean(1)
    expected = 0.0
    for i, j in enumerate(partner):
        mixed = (variance[i] * mean[i] + variance[j] * mean[j]) / (variance[i] + variance[j])
        log_probs = method.module.classifier(mixed).log_softmax(0)
        expected -= (log_probs[batch.given_labels[i]] + log_probs[batch.given_labels[j]]).item() / 2 / SIZE
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)
    assert output.loss.dtype == dtype
    torch.testing.assert_close(output.logits, method.module.classifier(mean))
    torch.testing.assert_close(output.scores["log_uncertainty"], variance.log())


def test_a_value_by_hand():
    # σ = 1 and 3: shares ¼ and ¾ of [8, 0] and [0, 4], [2, 3]; half of each cross-entropy is log(e² + e³) − 2.5.
    mixed = mix_pairs(
        torch.tensor([[8.0, 0.0], [0.0, 4.0]]), torch.tensor([1.0, 3.0]).log(), torch.tensor([1, 0])
    )
    torch.testing.assert_close(mixed, torch.tensor([[2.0, 3.0], [2.0, 3.0]]))
    loss = add_up_loss(mixed[:1], torch.tensor([0]), torch.tensor([1]))
    assert loss.item() == pytest.approx(math.log(math.exp(2) + math.exp(3)) - 2.5)


def test_own_partner_is_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    mean, labels = torch.randn(5, CLASSES, generator=generator), torch.tensor([0, 1, 2, 0, 1])
    mixed = mix_pairs(mean, torch.randn(5, generator=generator), torch.arange(5))
    torch.testing.assert_close(mixed, mean)
    torch.testing.assert_close(
        add_up_loss(mixed, labels, labels), F.cross_entropy(mean, labels, reduction="none")
    )


def test_equal_uncertainty_is_the_middle_and_a_huge_one_all():
    mean, swap = torch.tensor([[0.0], [4.0]]), torch.tensor([1, 0])
    torch.testing.assert_close(mix_pairs(mean, torch.full((2,), 500.0), swap), torch.full((2, 1), 2.0))
    torch.testing.assert_close(mix_pairs(mean, torch.tensor([1000.0, -1000.0]), swap), torch.zeros(2, 1))


def test_two_labels_cost_at_least_log_2():
    logits = torch.randn(50, CLASSES, generator=torch.Generator().manual_seed(0)) * 5
    assert add_up_loss(logits, torch.zeros(50).long(), torch.ones(50).long()).min() >= math.log(2)


def test_uncertainty_of_the_harder_sample_grows():
    # Sample 0 is right and easy, sample 1 is near the border: the loss falls if 1 has the larger share.
    log_uncertainty = torch.zeros(2, requires_grad=True)
    logits = mix_pairs(torch.tensor([[5.0, -5.0], [-0.5, 0.5]]), log_uncertainty, torch.tensor([1, 0]))
    add_up_loss(logits, torch.tensor([0, 1]), torch.tensor([1, 0])).mean().backward()
    assert log_uncertainty.grad[0] > 0 > log_uncertainty.grad[1]


def test_gradient_is_right():
    mean = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    log_uncertainty = torch.linspace(-1, 1, 4, dtype=torch.float64).requires_grad_()
    labels, partner = torch.tensor([0, 1, 2, 0]), torch.tensor([2, 1, 3, 0])
    assert torch.autograd.gradcheck(
        lambda m, u: add_up_loss(mix_pairs(m, u, partner), labels, labels[partner]), (mean, log_uncertainty)
    )


def test_a_step_in_pieces_is_a_step_of_the_whole_batch():
    def pieces(images):
        parts = [method.module(piece) for piece in images.tensor_split(3)]
        torch.rand(7)  # a network that draws for itself
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    outputs, statistics = [], []
    for cut in (False, True):
        method, batch = build(), make_batch()
        torch.manual_seed(5)
        outputs.append(method.step(batch, pieces if cut else method.module))
        statistics.append(method.module.mean.norm.running_mean)
    torch.testing.assert_close(*(output.loss for output in outputs))
    torch.testing.assert_close(*(output.scores["log_uncertainty"] for output in outputs))
    torch.testing.assert_close(*statistics)


def test_inference_is_the_mean_alone_without_dropout():
    module, images = build().module.eval(), torch.randn(3, 3, 2, 2)
    outputs = module(images)
    assert set(outputs) == {"logits"}
    torch.testing.assert_close(outputs["logits"], module.classifier(module.mean(images.flatten(1))))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"embedding_size": 0}, "embedding_size must be at least 1, not 0"),
        ({"drop_rate": 1.0}, "drop_rate must be at least 0 and below 1, not 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(SelfcureError, match=message):
        RulConfig(**setting)
