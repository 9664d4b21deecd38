"""DMUE: what the branches learn and say, which similarities are compared, and how the parts come together."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from selfcure.core import Batch, TrainingSet
from selfcure.errors import SelfcureError
from selfcure.methods.dmue import (
    Dmue,
    DmueConfig,
    branch_cross_entropy,
    class_similarities,
    mined_distributions,
    ramps,
    similarity_loss,
    soft_loss,
)
from selfcure.training.api import build_method
from selfcure.training.config import resolve

GENERATOR = torch.Generator().manual_seed(0)
K = 4
LABELS = torch.tensor([0, 2, 1, 0, 2, 2, 1, 0])  # nobody is of class 3
LOGITS = torch.randn(8, K, generator=GENERATOR, dtype=torch.float64)
BRANCHES = torch.randn(8, K, K, generator=GENERATOR, dtype=torch.float64)
FEATURES = torch.randn(8, 5, generator=GENERATOR, dtype=torch.float64)


def others(c: int) -> list[int]:
    return [k for k in range(K) if k != c]


def softmax(row: list[float]) -> list[float]:
    return [math.exp(z) / sum(math.exp(y) for y in row) for z in row]


def test_branches_learn_from_the_samples_of_other_classes_as_in_a_loop():
    losses = []
    for c in range(K):
        branch = []
        for i, label in enumerate(LABELS.tolist()):
            if label != c:
                probs = softmax([BRANCHES[i, c, k].item() for k in others(c)])
                branch.append(-math.log(probs[others(c).index(label)]))
        losses.append(sum(branch) / len(branch))
    assert branch_cross_entropy(BRANCHES, LABELS).item() == pytest.approx(sum(losses) / K)


def test_a_branch_gets_no_gradient_from_its_class_nor_for_it():
    branches = BRANCHES.clone().requires_grad_()
    branch_cross_entropy(branches, LABELS).backward()
    assert branches.grad.isfinite().all()
    for c in range(K):
        assert (branches.grad[c == LABELS, c] == 0).all()
        assert (branches.grad[:, c, c] == 0).all()
        assert (branches.grad[c != LABELS][:, c, others(c)] != 0).all()


def test_a_batch_of_one_class_leaves_its_branch_out():
    labels = torch.ones(8, dtype=torch.int64)
    branches = BRANCHES.clone().requires_grad_()
    loss = branch_cross_entropy(branches, labels) + similarity_loss(branches, FEATURES, labels)
    loss.backward()
    assert loss.isfinite()
    assert branches.grad.isfinite().all()
    similarities = class_similarities(FEATURES, labels, K)
    assert torch.equal(similarities, torch.zeros(8, K, dtype=torch.float64))


@pytest.mark.parametrize("temperature", [0.5, 1.2])
def test_mined_distributions_are_those_of_a_loop_over_powers(temperature):
    mined = mined_distributions(BRANCHES, LABELS, temperature=temperature)
    for i, c in enumerate(LABELS.tolist()):
        powers = [p ** (1 / temperature) for p in softmax([BRANCHES[i, c, k].item() for k in others(c)])]
        assert mined[i, c] == 0
        assert mined[i, others(c)].tolist() == pytest.approx([p / sum(powers) for p in powers])


def test_mined_distributions_carry_no_gradient():
    assert not mined_distributions(BRANCHES.clone().requires_grad_(), LABELS, temperature=1.2).requires_grad


def test_soft_loss_is_that_of_a_loop_and_leaves_the_label_out():
    mined = mined_distributions(BRANCHES, LABELS, temperature=1.2)
    total = 0.0
    for i, c in enumerate(LABELS.tolist()):
        probs = softmax(LOGITS[i].tolist())
        total += sum((probs[k] - mined[i, k].item()) ** 2 for k in others(c))
    assert soft_loss(LOGITS, LABELS, mined).item() == pytest.approx(total / 8 / K)


def test_class_similarities_are_those_of_a_loop():
    found = class_similarities(FEATURES, LABELS, K)
    for i in range(8):
        cosines = F.cosine_similarity(FEATURES[i], FEATURES).tolist()
        means = []
        for k in range(3):
            members = [c for c, label in zip(cosines, LABELS.tolist(), strict=True) if label == k]
            means.append(sum(members) / len(members))
        expected = [(m - min(means)) / (max(means) - min(means)) for m in means]
        assert found[i].tolist() == pytest.approx([*expected, 0.0])


def test_similarity_loss_is_that_of_a_loop():
    losses = []
    for c in range(K):
        members = [i for i in range(8) if LABELS[i] != c]
        distance = 0.0
        for i in members:
            rows = []
            for vectors in (BRANCHES[:, c, others(c)], FEATURES):
                row = torch.stack([vectors[i] @ vectors[j] for j in members])
                rows.append(row / row.norm())
            distance += (rows[0] - rows[1]).square().sum().item()
        losses.append(distance / len(members))
    assert similarity_loss(BRANCHES, FEATURES, LABELS).item() == pytest.approx(sum(losses) / K)


def test_similarity_loss_does_not_change_with_the_batch_size():
    once = similarity_loss(BRANCHES, FEATURES, LABELS)
    twice = similarity_loss(torch.cat([BRANCHES] * 2), torch.cat([FEATURES] * 2), torch.cat([LABELS] * 2))
    torch.testing.assert_close(once, twice)


def test_the_order_of_the_batch_does_not_matter():
    order = torch.randperm(8)
    for loss in (
        lambda i: branch_cross_entropy(BRANCHES[i], LABELS[i]),
        lambda i: similarity_loss(BRANCHES[i], FEATURES[i], LABELS[i]),
        lambda i: class_similarities(FEATURES[i], LABELS[i], K)[i.argsort()],
    ):
        torch.testing.assert_close(loss(order), loss(torch.arange(8)))


def test_ramps_rise_to_one_and_fall_from_one():
    up, down = zip(*[ramps(epoch, 40, 0.25) for epoch in range(1, 41)], strict=True)
    assert up[0] == pytest.approx(math.exp(-5))
    assert up[5] == pytest.approx(math.exp(-5 / 4))  # half of the ramp
    assert list(up) == sorted(up)
    assert list(up[10:]) == [1.0] * 30
    assert list(down[:11]) == [1.0] * 11
    assert list(down) == sorted(down, reverse=True)
    assert down[30] == pytest.approx(math.exp(-4 / 9))  # three times the ramp: (1 − 1/3)²
    assert ramps(6, 20, 0.25) == ramps(11, 40, 0.25)


def step(epoch: int, **settings):
    method = build_method(resolve("dmue", "paper", backbone="compact", **settings), K)
    method.start(TrainingSet(LABELS, K, num_epochs=40))
    method.module.double().train()
    batch = Batch(torch.arange(8), torch.zeros(8, 3, 8, 8), LABELS, LABELS, epoch)
    outputs = {"logits": LOGITS, "features": FEATURES, "branch_logits": BRANCHES}
    return method, method.step(batch, lambda images: outputs)


def test_the_loss_is_its_terms_at_their_weights():
    method, output = step(3, soft_weight=0.25, similarity_weight=2.0, temperature=1.5)
    up, down = ramps(3, 40, 0.15)
    importance = output.scores["importance"]
    given = F.one_hot(LABELS, K).double()
    statistics = torch.cat([class_similarities(FEATURES, LABELS, K), given], dim=1)
    torch.testing.assert_close(importance, torch.sigmoid(method.module.weighing(statistics)).squeeze(1))
    expected = up * (
        F.cross_entropy(importance[:, None] * LOGITS, LABELS)
        + 0.25 * soft_loss(LOGITS, LABELS, mined_distributions(BRANCHES, LABELS, temperature=1.5))
        + 2.0 * similarity_loss(BRANCHES, FEATURES, LABELS)
    ) + down * branch_cross_entropy(BRANCHES, LABELS)
    torch.testing.assert_close(output.loss, expected)
    assert importance.dtype == torch.float64


def test_at_inference_there_are_only_the_logits():
    method, _ = step(1)
    outputs = method.module.float().eval()(torch.randn(2, 3, 16, 16))
    assert set(outputs) == {"logits"}


def test_two_classes_are_refused():
    with pytest.raises(SelfcureError, match="dmue needs at least 3 classes, not 2"):
        Dmue(DmueConfig(), backbone=nn.Identity(), num_features=4, num_classes=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"soft_weight": -1.0}, "soft_weight must be at least 0, not -1.0"),
        ({"similarity_weight": float("nan")}, "similarity_weight must be at least 0, not nan"),
        ({"temperature": 0.0}, "temperature must be above 0, not 0.0"),
        ({"ramp_share": 0.0}, "ramp_share must be above 0 and at most 1, not 0.0"),
        ({"branch_width": 0}, "branch_width must be at least 1, not 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(SelfcureError, match=message):
        resolve("dmue", "paper", **settings)
