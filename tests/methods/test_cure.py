"""Cure: weights, decisions that can be taken back, scores, and labels that end cleaner than they began."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import selfcure
from selfcure.core import Batch, TrainingSet
from selfcure.core.posterior import label_posterior
from selfcure.data.noise import add_noise
from selfcure.errors import SelfcureError
from selfcure.methods.cure import Cure, CureConfig
from stripes import TINY

NUM, K = 300, 3
TRUTH = torch.arange(NUM) % K
GIVEN = torch.where(torch.arange(NUM) % 10 == 0, (TRUTH + 1) % K, TRUTH)
IDS = torch.arange(NUM)


def started(num_epochs: int = 10, **settings) -> Cure:
    method = Cure(CureConfig(**settings), backbone=nn.Identity(), num_features=4, num_classes=K)
    method.start(TrainingSet(GIVEN, K, num_epochs=num_epochs))
    return method


def step(method: Cure, logits: torch.Tensor, ids=IDS, given=GIVEN, epoch=1):
    batch = Batch(ids, torch.zeros(len(ids), 3, 8, 8), given[ids], GIVEN[ids], epoch=epoch)
    importance = torch.full((len(ids),), 0.5)
    return method.step(batch, lambda images: {"logits": logits, "importance": importance})


def truthful(strength: float) -> torch.Tensor:
    return strength * F.one_hot(TRUTH, K).float()


def no_outputs():
    raise AssertionError("cure needs no pass of its own over the data before the last epoch")


def begun(method: Cure, strength: float = 3.0, epochs: int = 6) -> Cure:
    """After plain epochs that predict the truth, and the first estimate."""
    for epoch in range(1, epochs + 1):
        method.begin_epoch(epoch, no_outputs)
        step(method, truthful(strength), epoch=epoch)
    method.begin_epoch(epochs + 1, no_outputs)
    return method


def test_plain_cross_entropy_until_it_starts():
    method = started(start_error_ratio=0.0)
    logits = torch.randn(NUM, K)
    for epoch in range(1, 7):
        method.begin_epoch(epoch, no_outputs)
        output = step(method, logits, epoch=epoch)
        torch.testing.assert_close(output.terms["weighted_ce"], F.cross_entropy(logits, GIVEN))
        assert output.relabels is None
        assert set(output.scores) == {"importance"}
    method.begin_epoch(7, no_outputs)
    assert method.judging


def test_it_starts_early_where_the_network_is_the_better_judge():
    good, bad = started(), started()
    step(good, truthful(3.0))
    astray = IDS // 2 % 2 == 1  # half of its predictions are wrong, and less sure
    step(bad, torch.where(astray[:, None], truthful(1.0).roll(1, 1), truthful(3.0)))
    for method in (good, bad):
        method.begin_epoch(2, no_outputs)
    assert good.judging
    assert not bad.judging


def test_a_network_that_knows_nothing_is_no_judge():
    method = started()
    step(method, torch.randn(NUM, K, generator=torch.Generator().manual_seed(0)))
    method.begin_epoch(2, no_outputs)
    assert not method.judging


def test_the_noise_stays_as_the_good_judge_found_it_while_labels_are_learned_by_heart():
    method = begun(started(num_epochs=30), epochs=2)
    assert method.settled
    found = method.transition.clone()
    for epoch in range(3, 20):
        step(method, 5.0 * F.one_hot(GIVEN, K).float(), epoch=epoch)
        method.begin_epoch(epoch + 1, no_outputs)
    assert torch.equal(method.transition, found)


def test_the_noise_is_kept_before_labels_are_weighed():
    method = begun(started(start_error_ratio=0.0, num_epochs=30), epochs=2)
    assert method.settled
    assert not method.judging
    never = begun(started(settle_error_ratio=0.0), epochs=2)
    assert not never.settled
    assert not never.judging


def test_the_noise_is_kept_too_where_its_estimate_stands_still_before_the_network_is_that_good():
    method = started(num_epochs=30)
    astray = IDS // 10 % 7 == 0  # an error and a half for each of the labels', where the network is less sure
    poor = torch.where(astray[:, None], truthful(1.0).roll(1, 1), truthful(3.0))
    settled = []
    for epoch in (2, 3):
        step(method, poor, epoch=epoch - 1)
        method.begin_epoch(epoch, no_outputs)
        assert method.noise_rate == pytest.approx(0.1, abs=0.03)
        settled.append(method.settled)
    assert settled == [False, True]


@pytest.mark.parametrize(
    ("network", "noise", "noise_before", "settles"),
    [
        (0.35, 0.25, 0.26, True),  # 49 % right by both, and it shares the noise
        (0.30, 0.305, 0.31, False),  # 49 %, and it is still learning
        (0.28, 0.30, 0.31, True),  # 50 %
        (0.35, 0.25, 0.40, False),  # the estimate falls fast
        (0.40, 0.25, 0.26, False),  # 45 %
        (0.45, 0.10, 0.10, False),  # the labels are far better than the network
    ],
)
def test_the_noise_is_kept_sooner_where_the_network_shares_it(
    network, noise, noise_before, settles, monkeypatch
):
    monkeypatch.setattr("selfcure.methods.cure.error_rates", lambda *arguments: (network, noise))
    method = started()
    method.noise_rate = noise_before
    method._estimate(truthful(3.0).softmax(1), GIVEN)
    assert method.settled == settles


@pytest.mark.parametrize("power", [1.0, 3.0])
def test_labels_are_weighed_by_the_evidence_of_the_epochs_before(power):
    method = begun(started(max_trust_power=power))
    method.sharpness = 0.5  # so that no label is as good as sure
    trust = label_posterior(method.pool.mean(), GIVEN, method.transition, method.sharpness)[IDS, GIVEN]
    assert 0.3 < trust.min() < 0.9 < trust.max()
    logits = torch.randn(NUM, K)
    losses = F.cross_entropy(logits, GIVEN, reduction="none").tolist()
    weights = [value**power for value in trust.tolist()]
    expected = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)
    assert float(step(method, logits, epoch=7).terms["weighted_ce"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("agreement", "power"), [(0.36, 1.0), (0.885, 1.0), (0.893, 1.35), (0.9, 3.0)])
def test_distrusted_labels_weigh_less_once_the_network_agrees_too_well_with_all(agreement, power):
    """A tenth of the labels is wrong: nobody agrees with more than 90 % but by learning them."""
    method = started()
    method.transition, method.settled = torch.full((K, K), 0.05) + 0.85 * torch.eye(K), True
    probs = F.one_hot(torch.where(torch.arange(NUM) < agreement * NUM, GIVEN, (GIVEN + 1) % K), K).float()
    method._estimate(probs, GIVEN)
    assert method.trust_power == pytest.approx(power, rel=1e-3)


def test_a_batch_of_labels_that_are_surely_wrong_teaches_nothing():
    method = begun(started())
    method.sharpness = 100.0
    wrong = IDS[GIVEN != TRUTH]
    output = step(method, torch.zeros(len(wrong), K), ids=wrong, epoch=7)
    assert float(output.terms["weighted_ce"]) == pytest.approx(0, abs=1e-6)


def test_without_weighing_the_loss_stays_plain_and_labels_are_judged_all_the_same():
    method = begun(started(max_trust_power=0.0))
    logits = truthful(2.0)
    output = step(method, logits, epoch=7)
    torch.testing.assert_close(output.terms["weighted_ce"], F.cross_entropy(logits, GIVEN))
    assert (
        output.scores["wrong_prob"][GIVEN != TRUTH].min() > output.scores["wrong_prob"][GIVEN == TRUTH].max()
    )


def test_wrong_labels_are_named_and_changed():
    output = step(begun(started(budget=0.02)), truthful(3.0), epoch=7)
    wrong = GIVEN != TRUTH
    assert torch.equal(output.scores["suggested_label"][wrong], TRUTH[wrong])
    assert output.scores["wrong_prob"].mean() == pytest.approx(0.1, abs=0.03)
    assert output.relabels is not None
    assert not set(output.relabels.ids.tolist()) - set(IDS[wrong].tolist())
    assert torch.equal(output.relabels.labels, TRUTH[output.relabels.ids])
    assert len(output.relabels.ids)
    assert (output.relabels.margins > 0).all()
    before, after = output.scores["wrong_prob"], output.scores["wrong_prob_after"]
    changed = torch.zeros(NUM, dtype=torch.bool)
    changed[output.relabels.ids] = True
    assert torch.equal(after[~changed], before[~changed])
    assert after[changed].max() < 0.3 < 0.7 < before[changed].min()


def test_expected_confusion_adds_up_what_is_thought_of_every_label():
    assert started().label_confusion() is None
    method = begun(started())
    step(method, truthful(3.0), epoch=7)
    counts = method.label_confusion()
    torch.testing.assert_close(counts.sum(1), GIVEN.bincount().float())
    belief = label_posterior(method.pool.mean(), GIVEN, method.transition, method.sharpness)
    for given in range(K):
        torch.testing.assert_close(counts[given], belief[given == GIVEN].sum(0))


def test_a_change_is_taken_back_when_the_evidence_turns():
    method = begun(started(num_epochs=30, budget=0.02))
    changes = step(method, truthful(3.0), epoch=7).relabels
    assert changes is not None
    current = GIVEN.clone()
    current[changes.ids] = changes.labels
    for epoch in range(8, 28):
        method.begin_epoch(epoch, no_outputs)
        back = step(method, 3.0 * F.one_hot(GIVEN, K).float(), given=current, epoch=epoch).relabels
        assert back is not None
        current[back.ids] = back.labels
    assert torch.equal(current, GIVEN)


def test_the_last_epoch_looks_at_the_images_as_they_are():
    """Half of the wrong labels are seen through only without augmentation."""
    blurred = truthful(2.0)
    half = (GIVEN != TRUTH) & (IDS % 20 == 0)
    blurred[half] = 0.0
    looked, blind = started(), started(look=False)
    for method in (looked, blind):
        for epoch in range(1, 10):
            method.begin_epoch(epoch, no_outputs)
            step(method, blurred, epoch=epoch)
    blind.begin_epoch(10, no_outputs)
    pooled = looked.pool.mean()
    looked.begin_epoch(10, lambda: {"logits": truthful(4.0)})
    both = (pooled * truthful(4.0).softmax(dim=1)).sqrt()
    expected = label_posterior(
        both / both.sum(dim=1, keepdim=True), GIVEN, looked.transition, looked.sharpness
    )
    found = step(looked, blurred, epoch=10).scores["wrong_prob"]
    torch.testing.assert_close(found, 1 - expected[IDS, GIVEN])
    unseen = step(blind, blurred, epoch=10).scores["wrong_prob"]
    assert (found[half] > 2 * unseen[half]).all()

    resumed = started()
    resumed.load_state_dict({name: tensor.clone() for name, tensor in looked.state_dict().items()})
    assert torch.equal(step(resumed, blurred, epoch=10).scores["wrong_prob"], found)


def test_no_budget_changes_nothing():
    output = step(begun(started(budget=0.0)), truthful(3.0), epoch=7)
    assert output.relabels is not None
    assert len(output.relabels.ids) == 0


def test_the_importance_learns_how_likely_an_image_is_read_right_and_leaves_the_features_alone():
    features = torch.randn(8, 4, requires_grad=True)
    module = Cure(CureConfig(), backbone=nn.Identity(), num_features=4, num_classes=K).module
    module(features)["importance"].sum().backward()
    assert features.grad is None
    assert module.attention.weight.grad.abs().sum() > 0

    method = begun(started())
    output = step(method, truthful(3.0), epoch=7)
    belief = label_posterior(method.pool.mean(), GIVEN, method.transition, method.sharpness)
    expected = F.binary_cross_entropy(torch.full((NUM,), 0.5), belief[IDS, TRUTH])
    torch.testing.assert_close(output.terms["reading"], expected)


def test_memory_comes_back_and_goes_on_alike():
    method, other = begun(started()), started()
    other.load_state_dict({name: tensor.clone() for name, tensor in method.state_dict().items()})
    logits = torch.randn(NUM, K)
    one, two = step(method, logits, epoch=7), step(other, logits, epoch=7)
    assert torch.equal(one.loss, two.loss)
    assert torch.equal(one.relabels.ids, two.relabels.ids)
    assert torch.equal(one.scores["wrong_prob"], two.scores["wrong_prob"])


@pytest.mark.parametrize(
    "bad",
    [
        {"momentum": 1.0},
        {"budget": -0.1},
        {"start_share": 1.0},
        {"top_share": 0.0},
        {"start_error_ratio": -1.0},
        {"momentum": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(SelfcureError, match=next(iter(bad))):
        CureConfig(**bad)


def test_labels_end_cleaner_than_they_began(stripes_folder, tmp_path):
    noisy = tmp_path / "noisy"
    add_noise(stripes_folder, out=noisy, rate=0.2, seed=0)
    run = selfcure.train(noisy, out=tmp_path / "run", method="cure", **{**TINY, "num_epochs": 8})
    cure = run.metrics()[-1]["cure"]
    assert cure["noise_after"] < cure["noise_before"]
    evidence = run.evidence(8)
    wrong_prob = evidence["wrong_prob"].to_numpy()
    assert set(evidence["suggested_label"].to_pylist()) <= set(range(len(run.class_names)))
    noise = run.metrics()[-1]["label_noise"]
    assert noise["estimated"] == pytest.approx(wrong_prob.mean())
    assert 0.1 < noise["estimated"] < 0.6
    assert 0 <= noise["calibration_error"] <= 1
    assert run.metrics()[-1]["detection"]["wrong_prob"]["auroc"] > 0.8


def test_one_epoch_is_too_few(stripes_folder, tmp_path):
    with pytest.raises(SelfcureError, match="at least 2 epochs"):
        selfcure.train(stripes_folder, out=tmp_path / "run", method="cure", **{**TINY, "num_epochs": 1})
