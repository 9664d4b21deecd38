"""SCN's switches: who is relabelled, when, against which label, by which probabilities; and the two recipes."""

import dataclasses

import pytest
import torch
from torch import nn

import selfcure
from selfcure.core import Batch
from selfcure.errors import SelfcureError
from selfcure.methods.plain import Plain
from selfcure.methods.scn import Scn, ScnConfig
from selfcure.training.checkpoint import load_tensors
from selfcure.training.config import resolve
from stripes import TINY

LOGITS = torch.tensor([[4.0, 0, 0]] * 10)
IMPORTANCE = torch.arange(10) / 20 + 0.2  # the low group of 30 % are samples 0, 1 and 2


def relabels(
    config: ScnConfig, *, epoch: int = 50, logits=LOGITS, importance=IMPORTANCE, original=1, given=1
):
    """What SCN decides when the network gives just these outputs."""
    method = Scn(config, backbone=nn.Identity(), num_features=4, num_classes=3)
    size = len(logits)
    batch = Batch(
        ids=torch.arange(size) + 100,
        images=torch.zeros(size, 3, 8, 8),
        given_labels=torch.full((size,), given),
        original_labels=torch.full((size,), original),
        epoch=epoch,
    )
    return method.step(batch, lambda images: {"logits": logits, "importance": importance}).relabels


@pytest.mark.parametrize("first", [1, 4, 10])
def test_relabels_from_its_epoch_on(first):
    config = ScnConfig(relabel_epoch=first)
    decided = [relabels(config, epoch=epoch) is not None for epoch in range(1, 13)]
    assert decided == [epoch >= first for epoch in range(1, 13)]


def test_relabelling_can_be_switched_off():
    assert relabels(ScnConfig(relabel=False)) is None


def test_scope_low_decides_on_the_low_group_alone_and_all_on_everyone():
    low, everyone = relabels(ScnConfig(relabel_scope="low")), relabels(ScnConfig(relabel_scope="all"))
    assert low.ids.tolist() == [100, 101, 102]
    assert everyone.ids.tolist() == list(range(100, 110))
    assert low.labels.tolist() == [0] * 3
    assert everyone.labels.tolist() == [0] * 10


def test_weighted_probabilities_change_the_decision():
    # Plain: p(0) = e⁴/(e⁴ + 2) = 0.965. Weighted by α = 0.1: e⁰·⁴ against two ones, 0.4272 − 0.2864 = 0.1408 < δ2.
    importance = torch.full((10,), 0.1)
    plain = relabels(ScnConfig(relabel_probs="plain"), importance=importance)
    weighted = relabels(ScnConfig(relabel_probs="weighted"), importance=importance)
    assert plain.labels.tolist() == [0, 0, 0]
    assert weighted.labels.tolist() == [1, 1, 1]
    torch.testing.assert_close(weighted.margins, torch.full((3,), 0.1408), atol=1e-4, rtol=0)


def test_given_label_original_takes_a_change_back():
    # The prediction is 0 by a little: not enough to beat the original label 1 nor the current label 2.
    logits = torch.tensor([[0.2, 0.1, 0.0]] * 10)
    back = relabels(ScnConfig(relabel_given="original"), logits=logits, original=1, given=2)
    stays = relabels(ScnConfig(relabel_given="current"), logits=logits, original=1, given=2)
    assert back.labels.tolist() == [1, 1, 1]
    assert stays.labels.tolist() == [2, 2, 2]


def test_relabel_margin_is_the_threshold():
    margin = relabels(ScnConfig()).margins[0].item()
    assert relabels(ScnConfig(relabel_margin=margin - 1e-3)).labels.tolist() == [0, 0, 0]
    assert relabels(ScnConfig(relabel_margin=margin + 1e-3)).labels.tolist() == [1, 1, 1]


def test_decisions_carry_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    assert not relabels(ScnConfig(relabel_probs="weighted"), logits=logits).margins.requires_grad


def test_paper_recipe_is_the_papers_column():
    config = resolve("scn", "paper")
    assert dataclasses.asdict(config.settings) == {
        "high_ratio": 0.7,
        "weight_logits": True,
        "rank_margin": 0.15,
        "learn_rank_margin": False,
        "rank_weight": 0.5,
        "relabel": True,
        "relabel_epoch": 10,
        "relabel_margin": 0.2,
        "relabel_scope": "low",
        "relabel_given": "original",
        "relabel_probs": "plain",
        "bias": False,
    }
    train = config.train
    assert (train.optimizer, train.learning_rate, train.weight_decay) == ("sgd", 0.1, 1e-4)
    assert (train.num_epochs, train.batch_size) == (40, 1024)
    assert (train.lr_milestones, train.lr_decay) == ((15, 30), 1.0)
    assert (train.backbone, train.image_size_px, train.select) == ("resnet18", 224, "last")


def test_reference_recipe_is_the_public_codes_column():
    config = resolve("scn", "reference")
    assert dataclasses.asdict(config.settings) == {
        "high_ratio": 0.7,
        "weight_logits": True,
        "rank_margin": 0.15,
        "learn_rank_margin": False,
        "rank_weight": None,
        "relabel": True,
        "relabel_epoch": 10,
        "relabel_margin": 0.2,
        "relabel_scope": "all",
        "relabel_given": "current",
        "relabel_probs": "weighted",
        "bias": True,
    }
    train = config.train
    assert (train.optimizer, train.learning_rate, train.weight_decay) == ("adam", 1e-3, 1e-4)
    assert (train.num_epochs, train.batch_size) == (70, 64)
    assert (train.lr_milestones, train.lr_decay) == ((), 0.9)
    assert (train.augmentation, train.select) == ("reference", "last")


def test_plain_differs_from_scn_by_the_method_alone():
    for recipe in ("paper", "reference"):
        plain, scn = resolve("plain", recipe), resolve("scn", recipe)
        assert plain.train == scn.train
        assert plain.settings.bias == scn.settings.bias
    assert set(Plain.recipes) == set(Scn.recipes)


def test_the_learned_margin_is_trained_and_logged(stripes_folder, tmp_path):
    settings = {**TINY, "num_epochs": 2, "learn_rank_margin": True, "rank_margin": 0.5}
    run = selfcure.train(stripes_folder, out=tmp_path / "run", **settings)
    margin = load_tensors(run.model)[0]["module"]["loss.rank.rank_margin"].item()
    assert margin < 0.5, "the hinge's gradient is +1 while it is active"
    first, last = (record["rank_margin"] for record in run.metrics())
    assert 0.5 > first > last


def test_a_fixed_margin_is_not_trained(stripes_folder, tmp_path):
    run = selfcure.train(
        stripes_folder, out=tmp_path / "run", **{**TINY, "num_epochs": 1, "rank_margin": 0.5}
    )
    assert load_tensors(run.model)[0]["module"]["loss.rank.rank_margin"].item() == 0.5
    assert "rank_margin" not in run.metrics()[0]


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_with_one_group_there_is_no_rank_loss(ratio):
    method = Scn(ScnConfig(high_ratio=ratio), backbone=nn.Identity(), num_features=4, num_classes=3)
    labels = torch.zeros(10, dtype=torch.int64)
    batch = Batch(torch.arange(10), torch.zeros(10, 3, 8, 8), labels, labels, epoch=50)
    output = method.step(batch, lambda images: {"logits": LOGITS, "importance": IMPORTANCE})
    assert output.terms["rank"] == 0
    assert "importance_low" not in output.terms
    assert len(output.relabels.ids) == (10 if ratio == 0 else 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"high_ratio": 1.2}, "high_ratio must lie in 0 … 1, not 1.2"),
        ({"high_ratio": float("nan")}, "high_ratio must lie in 0 … 1, not nan"),
        ({"rank_weight": -0.1}, "rank_weight must lie in 0 … 1, not -0.1"),
        ({"rank_margin": -0.1}, "rank_margin must be at least 0, not -0.1"),
        ({"relabel_margin": -2.0}, "relabel_margin must be at least -1, not -2.0"),
        ({"relabel_epoch": 0}, "relabel_epoch must be at least 1, not 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(SelfcureError, match=message):
        resolve("scn", "paper", **settings)
