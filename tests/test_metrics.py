"""Measures against scikit-learn and against loops that do the same slowly."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from selfcure import metrics


def predictions(num: int = 200, num_classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num, num_classes))
    labels = rng.integers(num_classes, size=num)
    logits[np.arange(num), labels] += 1.0
    probs = np.exp(logits)
    return labels, probs / probs.sum(1, keepdims=True)


@pytest.mark.parametrize("seed", range(3))
def test_classification_is_that_of_scikit_learn(seed):
    labels, probs = predictions(seed=seed)
    result, guess = metrics.classification(labels, probs), probs.argmax(1)
    assert result["num_samples"] == 200
    assert result["accuracy"] == pytest.approx(sk.accuracy_score(labels, guess))
    assert result["mean_class_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, guess))
    assert result["confusion"] == sk.confusion_matrix(labels, guess, labels=range(5)).tolist()
    assert result["negative_log_likelihood"] == pytest.approx(sk.log_loss(labels, probs, labels=range(5)))
    assert result["class_accuracy"] == pytest.approx(sk.recall_score(labels, guess, average=None))
    assert 0.2 < result["accuracy"] < 0.95


def test_a_class_without_samples_has_no_accuracy_and_does_not_count():
    labels, probs = predictions(num_classes=4)
    kept = labels != 2
    result = metrics.classification(labels[kept], probs[kept])
    assert result["class_accuracy"][2] is None
    seen = [a for a in result["class_accuracy"] if a is not None]
    assert result["mean_class_accuracy"] == pytest.approx(np.mean(seen))


def test_of_very_many_classes_only_the_most_confused_pairs_are_told():
    num_classes = metrics.MOST_CLASSES + 1
    labels, probs = predictions(num=3000, num_classes=num_classes)
    result, guess = metrics.classification(labels, probs), probs.argmax(1)
    assert "confusion" not in result
    assert "class_accuracy" not in result
    assert result["mean_class_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, guess))
    confusion = sk.confusion_matrix(labels, guess, labels=range(num_classes))
    np.fill_diagonal(confusion, 0)
    counts = [pair["num_samples"] for pair in result["most_confused"]]
    assert counts == sorted(confusion.ravel().tolist(), reverse=True)[: metrics.NUM_MOST_CONFUSED]
    assert all(confusion[p["label"], p["prediction"]] == p["num_samples"] for p in result["most_confused"])
    assert len({(p["label"], p["prediction"]) for p in result["most_confused"]}) == len(counts)


def test_nothing_is_confused():
    assert metrics.most_confused(np.array([0, 1]), np.array([0, 1])) == []


def test_certain_and_wrong_has_a_finite_loss():
    result = metrics.classification(np.array([0]), np.array([[0.0, 1.0]]))
    assert result["negative_log_likelihood"] == pytest.approx(-np.log(1e-12))


def naive_calibration_error(confidence, correct, num_bins):
    total = 0.0
    for k in range(num_bins):
        inside = [
            i
            for i, c in enumerate(confidence)
            if k / num_bins <= c < (k + 1) / num_bins or (k == num_bins - 1 and c == 1)
        ]
        if inside:
            gap = np.mean([confidence[i] for i in inside]) - np.mean([correct[i] for i in inside])
            total += len(inside) / len(confidence) * abs(gap)
    return total


# Sixteenths and a power of two as number of bins: edges that floats hold exactly.
@given(
    st.lists(st.tuples(st.integers(0, 16), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([1, 4, 8]),
)
def test_calibration_error_matches_a_loop(samples, num_bins):
    confidence = np.array([c / 16 for c, _ in samples])
    correct = np.array([right for _, right in samples])
    expected = naive_calibration_error(confidence, correct, num_bins)
    found = metrics.expected_calibration_error(confidence, correct, num_bins)
    assert found == pytest.approx(expected, abs=1e-12)


def test_perfectly_calibrated_predictions_have_no_calibration_error():
    confidence = np.repeat([0.25, 0.75], 100)
    correct = np.concatenate([np.arange(100) < 25, np.arange(100) < 75])
    assert metrics.expected_calibration_error(confidence, correct) == pytest.approx(0, abs=1e-12)


labels_of_three = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*(arrays.arrays(np.int64, n, elements=st.integers(low, 3)) for low in (0, 0, -1)))
)


@given(labels_of_three)
def test_cure_matches_a_loop(columns):
    repaired = broken = wrong_before = wrong_after = changed = known = 0
    for original, current, truth in zip(*columns, strict=True):
        if truth < 0:
            continue
        known += 1
        changed += original != current
        wrong_before += original != truth
        wrong_after += current != truth
        repaired += original != truth and current == truth
        broken += original == truth and current != truth
    expected = {
        "num_known": known,
        "num_wrong_before": wrong_before,
        "num_wrong_after": wrong_after,
        "num_changed": changed,
        "num_repaired": repaired,
        "num_broken": broken,
        "repaired": repaired / wrong_before if wrong_before else None,
        "broken": broken / (known - wrong_before) if known > wrong_before else None,
        "noise_before": wrong_before / known if known else None,
        "noise_after": wrong_after / known if known else None,
    }
    assert metrics.cure(*columns) == expected


@given(labels_of_three)
def test_cure_counts_balance(columns):
    result = metrics.cure(*columns)
    after = result["num_wrong_before"] - result["num_repaired"] + result["num_broken"]
    assert result["num_wrong_after"] == after


def test_a_perfect_score_detects_perfectly_and_its_opposite_not_at_all():
    wrong = np.random.default_rng(0).random(300) < 0.3
    result = metrics.detection(wrong, {"truth": wrong.astype(float), "opposite": -wrong.astype(float)})
    assert result["truth"] == {"auroc": 1.0, "average_precision": 1.0}
    assert result["opposite"]["auroc"] == 0.0
    assert result["opposite"]["average_precision"] == pytest.approx(wrong.mean())


def test_a_random_score_detects_nothing():
    rng = np.random.default_rng(0)
    wrong = rng.random(20_000) < 0.3
    result = metrics.detection(wrong, {"random": rng.random(20_000)})["random"]
    assert result["auroc"] == pytest.approx(0.5, abs=0.02)
    assert result["average_precision"] == pytest.approx(0.3, abs=0.02)


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(1)
    wrong, score = rng.random(60) < 0.4, rng.integers(0, 10, 60).astype(float)
    pairs = [(w > r) + 0.5 * (w == r) for w in score[wrong] for r in score[~wrong]]
    assert metrics.detection(wrong, {"s": score})["s"]["auroc"] == pytest.approx(np.mean(pairs))


def test_a_score_with_gaps_is_left_out():
    wrong = np.array([True, False, True])
    result = metrics.detection(
        wrong, {"gaps": np.array([1.0, np.nan, 0.0]), "whole": np.array([1.0, 0.0, 2.0])}
    )
    assert result.keys() == {"whole"}


@pytest.mark.parametrize("wrong", [[True, True], [False, False]])
def test_nothing_can_be_detected_where_all_labels_are_alike(wrong):
    assert metrics.detection(np.array(wrong), {"s": np.array([0.0, 1.0])}) == {}
