"""ELR: the running prediction of every sample, and the pull towards it."""

import math

import pytest
import torch
from torch import nn

import selfcure
from selfcure.core import Batch, TrainingSet
from selfcure.errors import SelfcureError
from selfcure.methods.elr import Elr, ElrConfig
from selfcure.training.checkpoint import load_tensors
from selfcure.training.config import resolve
from stripes import TINY


def started(config: ElrConfig | None = None, num: int = 20, num_classes: int = 3) -> Elr:
    method = Elr(config or ElrConfig(), backbone=nn.Identity(), num_features=4, num_classes=num_classes)
    method.start(TrainingSet(torch.arange(num) % num_classes, num_classes, num_epochs=10))
    return method


def step(method: Elr, ids: list[int], logits: torch.Tensor):
    labels = torch.tensor(ids) % logits.shape[1]
    batch = Batch(torch.tensor(ids), torch.zeros(len(ids), 3, 8, 8), labels, labels, epoch=1)
    return method.step(batch, lambda images: {"logits": logits})


def test_losses_and_memory_are_those_of_a_loop():
    method, generator = started(), torch.Generator().manual_seed(0)
    memory = [[0.0] * 3 for _ in range(20)]
    for ids in ([3, 7, 0], [7, 1, 3], [3, 19, 2]):
        logits = torch.randn(3, 3, generator=generator, dtype=torch.float64) * 4
        expected = 0.0
        for id, row in zip(ids, logits.tolist(), strict=True):
            probs = [math.exp(z) / sum(math.exp(y) for y in row) for z in row]
            clamped = [min(max(p, 1e-4), 1 - 1e-4) for p in probs]
            memory[id] = [0.7 * t + 0.3 * p / sum(clamped) for t, p in zip(memory[id], clamped, strict=True)]
            agreement = sum(t * p for t, p in zip(memory[id], clamped, strict=True))
            expected += (-math.log(probs[id % 3]) + 3 * math.log(1 - agreement)) / 3
        assert step(method, ids, logits).loss.item() == pytest.approx(expected)
    torch.testing.assert_close(method.targets.values, torch.tensor(memory, dtype=torch.float64))


def test_by_hand():
    # p = (½, ½), t = 0.3·p = (0.15, 0.15), ⟨t, p⟩ = 0.15: ln 2 + 3·ln 0.85 = 0.6931 − 0.4876.
    output = step(started(num_classes=2), [0], torch.zeros(1, 2))
    assert output.loss.item() == pytest.approx(0.2056, abs=1e-4)
    assert output.scores["target_prob"].tolist() == pytest.approx([0.5])


def test_a_sample_that_is_twice_in_a_batch_enters_once_with_its_mean():
    twice, once = started(), started()
    logits = torch.randn(3, 3, dtype=torch.float64)
    step(twice, [5, 8, 5], logits)
    mean = logits.softmax(1)[[0, 2]].mean(0)
    step(once, [5, 8], torch.stack([mean.log(), logits[1]]))
    torch.testing.assert_close(twice.targets.values, once.targets.values, rtol=0, atol=1e-6)


def test_what_is_not_drawn_keeps_its_target():
    method = started()
    step(method, [1, 2], torch.randn(2, 3))
    before = method.targets.values.clone()
    step(method, [2, 3], torch.randn(2, 3))
    changed = (method.targets.values != before).any(1)
    assert changed.nonzero().squeeze(1).tolist() == [2, 3]


def test_the_pull_is_towards_the_running_prediction_and_not_through_it():
    # The label is 0, the network has long said 1: with a weight, the gradient raises class 1 against the label.
    method = started(ElrConfig(regularization_weight=20.0), num_classes=2)
    for _ in range(10):
        step(method, [0], torch.tensor([[0.0, 3.0]]))
    logits = torch.tensor([[0.0, 3.0]], requires_grad=True)
    step(method, [0], logits).loss.backward()
    assert logits.grad[0, 1] < 0 < logits.grad[0, 0]
    assert not method.targets.values.requires_grad


def test_memory_comes_back_and_goes_on_alike():
    method, other = started(), started()
    step(method, [1, 2], torch.randn(2, 3))
    other.load_state_dict({name: tensor.clone() for name, tensor in method.state_dict().items()})
    logits = torch.randn(2, 3)
    assert torch.equal(step(method, [2, 4], logits).loss, step(other, [2, 4], logits).loss)
    assert torch.equal(method.targets.values, other.targets.values)


def test_without_its_weight_it_is_plain_training(stripes_folder, tmp_path):
    runs = [
        selfcure.train(stripes_folder, out=tmp_path / name, method=name, **{**TINY, "num_epochs": 2}, **more)
        for name, more in (("plain", {}), ("elr", {"regularization_weight": 0.0}))
    ]
    plain, elr = (load_tensors(run.model)[0]["module"] for run in runs)
    assert plain.keys() == elr.keys()
    for name in plain:
        torch.testing.assert_close(plain[name], elr[name])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_momentum": 1.0}, "target_momentum must be at least 0 and below 1, not 1.0"),
        ({"regularization_weight": -1.0}, "regularization_weight must be at least 0, not -1.0"),
        ({"regularization_weight": float("nan")}, "regularization_weight must be at least 0, not nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(SelfcureError, match=message):
        resolve("elr", "paper", **settings)
