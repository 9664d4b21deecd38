"""Confident learning: the confident joint and its pruning, the folds, the pooling, and the two parts of a run."""

import os
import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import selfcure
from selfcure.core import Batch, TrainingSet
from selfcure.errors import SelfcureError
from selfcure.methods.confident_learning import confident_joint, label_issues, split_into_folds
from selfcure.training.api import build_method
from selfcure.training.checkpoint import load_tensors
from selfcure.training.config import resolve
from selfcure.training.interrupt import Interrupted
from selfcure.training.reporter import Reporter
from stripes import TINY


def naive_joint(labels, probs):
    """Confident counts, scaled to whole rows, a sample and an entry at a time."""
    num_classes = len(probs[0])
    sizes = [sum(label == k for label in labels) for k in range(num_classes)]
    thresholds = []
    for k in range(num_classes):
        own = [row[k] for row, label in zip(probs, labels, strict=True) if label == k]
        thresholds.append(sum(own) / len(own) if own else float("inf"))
    counts = [[0] * num_classes for _ in range(num_classes)]
    for row, label in zip(probs, labels, strict=True):
        over = [k for k in range(num_classes) if row[k] >= thresholds[k] - 1e-6]
        if over:
            counts[label][max(over, key=lambda k: row[k])] += 1
    for i in range(num_classes):
        counts[i][i] = max(counts[i][i], 1)
        exact = [c * sizes[i] / sum(counts[i]) for c in counts[i]]
        counts[i] = [int(e + 1e-9) for e in exact]
        by_remainder = sorted(range(num_classes), key=lambda k: counts[i][k] - exact[k])
        for k in by_remainder[: sizes[i] - sum(counts[i])]:
            counts[i][k] += 1
    return counts


def naive_issues(labels, probs):
    joint, found = naive_joint(labels, probs), set()
    for i in range(len(joint)):
        members = [n for n, label in enumerate(labels) if label == i]
        if members and joint[i][i] == 0:
            joint[i][joint[i].index(max(joint[i]))] -= 1
        for j in range(len(joint)):
            if i != j:
                found.update(sorted(members, key=lambda n: probs[n][i] - probs[n][j])[: joint[i][j]])
    return [
        n in found and max(range(len(joint)), key=lambda k: probs[n][k]) != labels[n]
        for n in range(len(labels))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_joint_and_issues_are_those_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 60)
    labels[labels == 3] = rng.integers(0, 3) if seed == 4 else 3  # once a class is empty
    probs = rng.dirichlet([0.5] * 4, 60)
    probs[np.arange(60), labels] += 0.4
    probs /= probs.sum(1, keepdims=True)
    assert confident_joint(labels, probs).tolist() == naive_joint(labels.tolist(), probs.tolist())
    assert label_issues(labels, probs).tolist() == naive_issues(labels.tolist(), probs.tolist())


def test_by_hand():
    # Thresholds: class 0 (0.9 + 0.8 + 0.7 + 0.2) / 4 = 0.65, class 1 (0.6 + 0.9 + 0.3) / 3 = 0.6.
    first = [0.9, 0.8, 0.7, 0.2, 0.4, 0.1, 0.7]
    labels, probs = np.array([0, 0, 0, 0, 1, 1, 1]), np.array([[p, 1 - p] for p in first])
    # Labelled 0: three confidently 0, the fourth (0.8 ≥ 0.6) 1. Labelled 1: two are 1, the last (0.7 ≥ 0.65) is 0.
    assert confident_joint(labels, probs).tolist() == [[3, 1], [1, 2]]
    assert label_issues(labels, probs).tolist() == [False, False, False, True, False, False, True]


def test_rows_are_scaled_to_the_number_of_labels():
    # Six labelled 0: the threshold is 0.5, so that 0.6, 0.6 and 0.5 are confidently 0 and 0.3 is 1 (0.7 ≥ 0.65); the two
    # of 0.5 − 1e-3 … are in no bin. (3, 1)·6/4 = (4.5, 1.5): equal remainders, the lower class is rounded up.
    labels = np.array([0] * 6 + [1])
    first = np.array([0.6, 0.6, 0.6, 0.3, 0.45, 0.45, 0.35])
    probs = np.stack([first, 1 - first], axis=1)
    assert confident_joint(labels, probs).tolist() == [[5, 1], [0, 1]]
    assert label_issues(labels, probs).tolist() == [False, False, False, True, False, False, False]


def test_right_labels_are_no_issue_and_every_class_keeps_a_sample():
    labels = np.arange(30) % 3
    sure = np.full((30, 3), 0.05)
    sure[np.arange(30), labels] = 0.9
    assert not label_issues(labels, sure).any()
    wrong = np.roll(sure, 1, axis=1)  # every label looks wrong
    assert (np.bincount(labels[~label_issues(labels, wrong)], minlength=3) >= 1).all()


def test_the_numbering_of_classes_and_samples_does_not_matter():
    rng = np.random.default_rng(0)
    labels, probs = rng.integers(0, 3, 50), rng.dirichlet([1.0] * 3, 50)
    order, names = rng.permutation(50), np.array([2, 0, 1])
    renamed = np.empty_like(probs)
    renamed[:, names] = probs
    issues = label_issues(labels, probs)
    assert issues.any()
    assert (label_issues(labels[order], probs[order]) == issues[order]).all()
    assert (label_issues(names[labels], renamed) == issues).all()


def test_folds_are_even_within_each_class_and_always_the_same():
    labels = torch.randint(3, (200,), generator=torch.Generator().manual_seed(1))
    folds = split_into_folds(labels, 4)
    for k in range(3):
        sizes = folds[labels == k].bincount(minlength=4)
        assert sizes.max() - sizes.min() <= 1
    torch.manual_seed(5)
    assert torch.equal(split_into_folds(labels, 4), folds)
    assert (folds[:-1] == folds[1:]).float().mean() < 0.5, "neighbours, often of one person, are spread"


NUM, K = 40, 3
LABELS = torch.arange(NUM) % K


def started(num_epochs: int = 8, **settings):
    method = build_method(resolve("confident-learning", "paper", backbone="compact", **settings), K)
    method.start(TrainingSet(LABELS, K, num_epochs))
    return method


def step(method, ids: list[int], fold_logits: torch.Tensor, epoch: int):
    rows = torch.tensor(ids)
    batch = Batch(rows, torch.zeros(len(ids), 3, 8, 8), LABELS[rows], LABELS[rows], epoch)
    outputs = {"logits": fold_logits[:, 0], "fold_logits": fold_logits}
    return method.step(batch, lambda images: outputs)


def test_a_network_learns_from_what_is_outside_its_fold():
    method, ids = started(), list(range(12))
    logits = torch.randn(12, 4, K, dtype=torch.float64, requires_grad=True)
    output = step(method, ids, logits, epoch=1)
    expected = 0.0
    for fold in range(4):
        learns = [i for i in ids if method.folds[i] != fold]
        expected = expected + F.cross_entropy(logits[learns, fold], LABELS[learns])
    torch.testing.assert_close(output.loss, expected)
    output.loss.backward()
    held_out = F.one_hot(method.folds[ids], 4).bool()
    assert ((logits.grad.abs().sum(2) == 0) == held_out).all()
    assert torch.equal(output.logits, logits[held_out])
    given = logits[held_out].softmax(1)[torch.arange(12), LABELS[ids]]
    torch.testing.assert_close(output.scores["held_out_prob"], given)


def test_the_last_half_of_the_first_part_is_pooled():
    method = started(num_epochs=16)  # 6 epochs in folds, 3 of them pooled
    assert method.num_fold_epochs == 6
    ids, expected = [1, 5, 1], torch.zeros(NUM, K)
    for epoch in range(1, 9):
        logits = torch.randn(3, 4, K, generator=torch.Generator().manual_seed(epoch))
        step(method, ids, logits, epoch)
        if 4 <= epoch <= 6:
            for row, id in zip(logits, ids, strict=True):
                expected[id] += row[method.folds[id]].softmax(0)
    torch.testing.assert_close(method.prob_sums, expected)
    assert method.prob_counts[[1, 5, 0]].tolist() == [6, 3, 0]


@pytest.mark.parametrize(("num_epochs", "folds"), [(40, 15), (8, 3), (3, 1), (2, 1), (1, 0)])
def test_the_second_part_has_at_least_one_epoch(num_epochs, folds):
    assert started(num_epochs).num_fold_epochs == folds


def test_what_looks_wrong_is_dropped_and_what_was_never_drawn_is_kept():
    method = started()
    probs = torch.full((NUM, K), 0.1)
    probs[torch.arange(NUM), LABELS] = 0.8
    probs[[4, 9]] = probs[[4, 9]].roll(1, dims=1)  # two wrong labels
    method.prob_sums, method.prob_counts = 2 * probs, torch.full((NUM,), 2.0)
    method.prob_sums[20], method.prob_counts[20] = 0, 0
    assert method.begin_epoch(3, lambda: pytest.fail("no pass over the data is needed")) is None
    kept = method.begin_epoch(4, lambda: pytest.fail("no pass over the data is needed"))
    assert sorted(set(range(NUM)) - set(kept.tolist())) == [4, 9]
    assert torch.equal(method.begin_epoch(5, lambda: {}), kept), "asked again it says the same"
    other = started()
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.begin_epoch(4, lambda: {}), kept), "after a resume too"


@pytest.mark.parametrize("from_scratch", [False, True])
def test_the_second_part_trains_one_network_and_that_one_answers(from_scratch):
    method = started(from_scratch=from_scratch)
    assert len(method.backbones) == len(method.module.networks) == 4 + from_scratch
    images = torch.randn(6, 3, 16, 16)
    batch = Batch(torch.arange(6), images, LABELS[:6], LABELS[:6], epoch=1)
    for epoch, trained in ((1, range(from_scratch, 4 + from_scratch)), (4, [0])):
        method.module.train().zero_grad(set_to_none=True)
        batch = Batch(torch.arange(6), images, LABELS[:6], LABELS[:6], epoch)
        method.step(batch, method.module).loss.backward()
        for index, network in enumerate(method.module.networks):
            assert (network.classifier.weight.grad is not None) == (index in trained), (epoch, index)
    method.module.eval()
    with torch.no_grad():
        assert torch.equal(method.module(images)["logits"], method.module.networks[0](images)["logits"])


class InterruptAfter(Reporter):
    """Sends SIGINT to this process after so many steps, as Ctrl-C does."""

    def __init__(self, num_steps: int):
        self.left = num_steps

    def step(self, epoch, samples_done, means):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


# 120 samples in batches of 40, two epochs in folds and two after: in the first part, at its end, in the second.
@pytest.mark.parametrize("steps", [4, 6, 8])
def test_a_resumed_run_is_the_same_run(stripes_folder, tmp_path_factory, tmp_path, steps):
    settings = {**TINY, "num_epochs": 4, "fold_share": 0.5, "num_folds": 2, "method": "confident-learning"}
    whole = tmp_path_factory.getbasetemp() / "confident-learning-whole"
    if not whole.exists():
        selfcure.train(stripes_folder, out=whole, **settings)
    with pytest.raises(Interrupted):
        selfcure.train(stripes_folder, out=tmp_path / "run", reporter=InterruptAfter(steps), **settings)
    selfcure.train(stripes_folder, out=tmp_path / "run", resume=True)
    for name in ("model.safetensors", "checkpoint.safetensors"):
        left, right = (load_tensors(folder / name)[0] for folder in (whole, tmp_path / "run"))
        for group in left:
            for key, tensor in left[group].items():
                assert torch.equal(tensor.nan_to_num(-9), right[group][key].nan_to_num(-9)), (group, key)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_folds": 1}, "num_folds must be at least 2, not 1"),
        ({"fold_share": 0.0}, "fold_share must be above 0 and at most 1, not 0.0"),
        ({"pool_share": 1.5}, "pool_share must be above 0 and at most 1, not 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(SelfcureError, match=message):
        resolve("confident-learning", "paper", **settings)
