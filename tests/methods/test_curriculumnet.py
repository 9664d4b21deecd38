"""CurriculumNet's density and groups against slow loops, its stages, and the weights of its loss."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from selfcure.core import Batch, TrainingSet
from selfcure.errors import SelfcureError
from selfcure.methods import curriculumnet
from selfcure.methods.curriculumnet import (
    CurriculumNet,
    CurriculumNetConfig,
    density_groups,
    local_density,
    principal_components,
)


def naive_density(features: torch.Tensor, quantile: float) -> list[int]:
    """As the public code: all n² distances sorted, the diagonal among them."""
    points = features.tolist()
    distances = [[math.dist(a, b) for b in points] for a in points]
    flat = sorted(d for row in distances for d in row)
    cutoff = flat[int(len(flat) * quantile)]
    return [sum(d < cutoff for d in row) - 1 for row in distances]


def naive_groups(density: list[int]) -> list[int]:
    """Every way to cut the sorted values into three, by squared deviation from the groups' means."""

    def spread(values: list[int]) -> float:
        mean = sum(values) / len(values)
        return sum((v - mean) ** 2 for v in values)

    distinct = sorted(set(density))
    best, chosen = math.inf, None
    for low, high in itertools.combinations(distinct[1:], 2):
        groups = [2 if d < low else 1 if d < high else 0 for d in density]
        cost = sum(spread([d for d, g in zip(density, groups, strict=True) if g == k]) for k in range(3))
        if cost < best - 1e-9:
            best, chosen = cost, groups
    assert chosen is not None
    return chosen


@pytest.mark.parametrize(
    ("number", "quantile"), [(2, 0.6), (3, 0.6), (7, 0.3), (30, 0.6), (31, 0.05), (40, 0.99)]
)
def test_density_is_that_of_a_loop(number, quantile):
    features = torch.randn(number, 5, generator=torch.Generator().manual_seed(number))
    assert local_density(features, quantile).tolist() == naive_density(features, quantile)


def test_density_in_chunks_and_with_a_sampled_cutoff(monkeypatch):
    features = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    whole = local_density(features, 0.6)
    monkeypatch.setattr(curriculumnet, "_MAX_DISTANCES", 1000)
    assert torch.equal(local_density(features, 0.6), whole)
    monkeypatch.setattr(curriculumnet, "_MAX_FOR_CUTOFF", 50)
    sampled = local_density(features, 0.6)
    assert torch.corrcoef(torch.stack([sampled, whole]).double())[0, 1] > 0.99
    assert sampled.double().mean() / 199 == pytest.approx(0.6, abs=0.05)


@given(st.lists(st.integers(0, 12), min_size=3, max_size=12).filter(lambda d: len(set(d)) >= 3))
@settings(deadline=None)
def test_groups_have_the_least_spread(density):
    groups = density_groups(torch.tensor(density))
    spread = [
        sum(
            (torch.tensor(density)[g == k].double().var(correction=0) * (g == k).sum()).item()
            for k in range(3)
        )
        for g in (groups, torch.tensor(naive_groups(density)))
    ]
    assert spread[0] == pytest.approx(spread[1])
    order = sorted(zip(density, groups.tolist(), strict=True))
    assert [g for _, g in order] == sorted(groups.tolist(), reverse=True), "denser is never in a later group"
    assert set(groups.tolist()) == {0, 1, 2}


def test_few_different_densities_make_few_groups():
    assert density_groups(torch.tensor([3, 3, 3])).tolist() == [0, 0, 0]
    assert density_groups(torch.tensor([5, 2, 5])).tolist() == [0, 1, 0]
    assert density_groups(torch.tensor([0])).tolist() == [0]


def test_many_densities_are_cut_in_steps():
    density = torch.arange(5000)
    groups = density_groups(density)
    assert groups.bincount().tolist() == pytest.approx([1667, 1667, 1666], abs=10)
    assert torch.equal(groups.sort(descending=True).values, groups)


def test_principal_components_keep_what_varies_most():
    generator = torch.Generator().manual_seed(0)
    plane = (torch.randn(50, 2, generator=generator) @ torch.randn(2, 10, generator=generator)).double()
    noisy = plane + 1e-6 * torch.randn(50, 10, generator=generator)
    reduced = principal_components(noisy, 2)
    assert reduced.shape == (50, 2)
    torch.testing.assert_close(torch.cdist(reduced, reduced), torch.cdist(plane, plane), atol=1e-4, rtol=1e-4)
    assert principal_components(noisy, 10).shape == (50, 10)


def typical_and_odd(num_per_class: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of two classes, each with every fifth sample far from the rest; labels."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(2 * num_per_class) % 2
    features = torch.randn(len(labels), 3, generator=generator) * 0.1 + 10 * labels[:, None]
    features[::5] += 5 * torch.randn(len(features[::5]), 3, generator=generator)
    return features, labels


def started(config: CurriculumNetConfig | None = None, num_epochs: int = 8) -> CurriculumNet:
    method = CurriculumNet(
        config or CurriculumNetConfig(), backbone=nn.Flatten(), num_features=12, num_classes=2
    )
    method.start(TrainingSet(typical_and_odd()[1], 2, num_epochs))
    return method


def make_batch(ids: torch.Tensor, dtype: torch.dtype = torch.float32) -> Batch:
    labels = typical_and_odd()[1][ids]
    generator = torch.Generator().manual_seed(2)
    return Batch(ids, torch.randn(len(ids), 3, 2, 2, generator=generator).to(dtype), labels, labels, epoch=5)


@pytest.mark.parametrize(
    ("num_epochs", "stages"), [(8, [0, 0, 1, 1, 2, 2, 3, 3]), (4, [0, 1, 2, 3]), (1, [0]), (3, [0, 1, 2])]
)
def test_stages_are_shares_of_the_schedule(num_epochs, stages):
    method = started(num_epochs=num_epochs)
    assert [method.stage(epoch) for epoch in range(1, num_epochs + 1)] == stages


def test_epochs_draw_from_a_growing_part():
    features, _ = typical_and_odd()
    method, asked = started(), []

    def outputs():
        asked.append(True)
        return {"features": features}

    drawn = {epoch: method.begin_epoch(epoch, outputs) for epoch in range(1, 9)}
    assert [drawn[epoch] for epoch in (1, 2, 7, 8)] == [None] * 4
    assert torch.equal(drawn[3], drawn[4])
    clean, more = set(drawn[3].tolist()), set(drawn[5].tolist())
    assert clean < more < set(range(40))
    assert not clean & set(range(0, 40, 5)), "the odd ones are not clean"
    assert len(asked) == 1, "a pass over the training split is only paid for once"


def test_a_resumed_epoch_draws_from_the_same_part_although_the_network_has_moved():
    method, other = started(), started()
    drawn = method.begin_epoch(3, lambda: {"features": typical_and_odd()[0]})
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.begin_epoch(3, lambda: pytest.fail("computed again")), drawn)
    batch = make_batch(torch.tensor([0, 7, 13, 20]))
    for trained in (method, other):
        trained.module.load_state_dict(method.module.state_dict())
    outputs = [trained.step(batch, trained.module) for trained in (method, other)]
    assert torch.equal(outputs[0].loss, outputs[1].loss)
    assert torch.equal(outputs[0].scores["density"], outputs[1].scores["density"])


def test_before_the_first_stage_there_is_no_state_and_plain_cross_entropy():
    method, batch = started(), make_batch(torch.arange(6))
    output = method.step(batch, method.module)
    assert output.loss.item() == pytest.approx(F.cross_entropy(output.logits, batch.given_labels).item())
    assert method.state_dict() == {}
    assert output.scores == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_is_weighted_by_group(dtype):
    method, batch = (
        started(CurriculumNetConfig(group_weights=(1.0, 0.5, 0.25))),
        make_batch(torch.arange(6), dtype),
    )
    method.module.to(dtype)
    method.groups = torch.tensor([0, 1, 2, 2, 1, 0] + [0] * 34)
    method.density = torch.linspace(0, 1, 40)
    output = method.step(batch, method.module)
    expected = 0.0
    for index, weight in enumerate([1, 0.5, 0.25, 0.25, 0.5, 1]):
        probs = output.logits[index].softmax(0)
        expected -= weight * math.log(probs[batch.given_labels[index]].item()) / 6
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)
    assert output.loss.dtype == dtype
    assert output.terms["loss_weight"].item() == pytest.approx(3.5 / 6)
    torch.testing.assert_close(output.scores["density"], torch.linspace(0, 1, 40)[:6].to(dtype))


def test_weights_of_one_are_cross_entropy():
    method, batch = started(CurriculumNetConfig(group_weights=(1.0, 1.0, 1.0))), make_batch(torch.arange(6))
    method.begin_epoch(3, lambda: {"features": typical_and_odd()[0]})
    output = method.step(batch, method.module)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, batch.given_labels))


def test_density_is_a_share_of_the_class():
    method = started()
    method.begin_epoch(3, lambda: {"features": typical_and_odd()[0]})
    assert ((method.density >= 0) & (method.density <= 1)).all()
    odd = torch.zeros(40, dtype=torch.bool)
    odd[::5] = True
    assert method.density[odd].max() < method.density[~odd].min()


def test_features_come_out_in_evaluation_alone():
    method, images = started(), torch.zeros(2, 3, 2, 2)
    assert set(method.module.train()(images)) == {"logits"}
    assert set(method.module.eval()(images)) == {"logits", "features"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"stage_starts": (0.5, 0.25, 0.75)}, "stage_starts must rise within 0 … 1"),
        ({"stage_starts": (0.5, 0.75, 1.1)}, "stage_starts must rise within 0 … 1"),
        ({"group_weights": (1.0, -0.5, 0.5)}, "group_weights must be at least 0"),
        ({"group_weights": (0.0, 0.0, 0.0)}, "not all of them 0"),
        ({"density_quantile": 1.0}, "density_quantile must lie between 0 and 1, both excluded, not 1.0"),
        ({"pca_size": 0}, "pca_size must be at least 1, not 0"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(SelfcureError, match=message):
        CurriculumNetConfig(**setting)
