"""Detection curves and reliability against naive reckoning, and what an ending knows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from selfcure.errors import SelfcureError
from selfcure.metrics import detection, expected_calibration_error
from selfcure.report.ending import GRID, detection_curves, read_ending, reliability
from selfcure.runs import RunFolder


def naive(wrong: np.ndarray, score: np.ndarray) -> tuple[list[float], list[float]]:
    """Both curves from all lists of the most suspicious samples; equals come together."""
    points = [(0.0, 0.0)]
    lists = []
    for bound in sorted(set(score.tolist()), reverse=True):
        taken = score >= bound
        points.append(((taken & ~wrong).sum() / (~wrong).sum(), (taken & wrong).sum() / wrong.sum()))
        lists.append(((taken & wrong).sum() / wrong.sum(), wrong[taken].mean()))
    rates = []
    for x in GRID:
        at = [y for a, y in points if a == x]
        if at:
            rates.append(max(at))
            continue
        left = max((p for p in points if p[0] < x), key=lambda p: p)
        right = min((p for p in points if p[0] > x), key=lambda p: (p[0], -p[1]))
        # The line leaves the highest point at its left and meets the highest at its right, as in interp.
        right = (right[0], max(y for a, y in points if a == right[0]))
        rates.append(left[1] + (right[1] - left[1]) * (x - left[0]) / (right[0] - left[0]))
    precisions = [next(p for r, p in lists if r > 0 and r >= x - 1e-9) for x in GRID]
    return rates, precisions


@settings(deadline=None, max_examples=40)
@given(hnp.arrays(bool, st.integers(2, 30)), st.integers(0, 2**31), st.integers(1, 6))
def test_curves_are_those_of_a_naive_count(wrong, seed, levels):
    score = np.random.default_rng(seed).integers(0, levels, len(wrong)) / 7
    found = detection_curves(wrong, score)
    if wrong.all() or not wrong.any():
        assert found is None
        return
    rates, precisions = naive(wrong, score)
    assert found[1] == pytest.approx(precisions)
    exact = [k for k, x in enumerate(GRID) if any(x == a for a in np.arange(len(wrong) + 1) / (~wrong).sum())]
    assert found[0][exact] == pytest.approx(np.array(rates)[exact])
    assert (np.diff(found[0]) >= -1e-12).all()


def test_area_under_the_curve_is_the_auroc():
    rng = np.random.default_rng(1)
    wrong = rng.random(4000) < 0.3
    score = rng.normal(wrong * 1.0, 1.0)
    rates, _ = detection_curves(wrong, score)
    area = float(((rates[1:] + rates[:-1]) / 2 * np.diff(GRID)).sum())
    assert area == pytest.approx(detection(wrong, {"s": score})["s"]["auroc"], abs=0.01)


def test_samples_that_were_not_drawn_are_left_out():
    wrong = np.array([True, False, True, False])
    with_hole = detection_curves(np.append(wrong, True), np.array([0.9, 0.1, 0.8, 0.2, np.nan]))
    without = detection_curves(wrong, np.array([0.9, 0.1, 0.8, 0.2]))
    assert np.array_equal(with_hole[0], without[0])
    assert np.array_equal(with_hole[1], without[1])


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**31))
def test_reliability_is_what_the_calibration_error_sums(num, seed):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.random(num), rng.random(num) < 0.5
    bins = reliability(confidence, correct, num_bins=15)
    assert sum(size for _, _, size in bins) == num
    error = sum(size / num * abs(sure - right) for sure, right, size in bins)
    assert error == pytest.approx(expected_calibration_error(confidence, correct))


def test_ending_of_a_run(runs):
    run = RunFolder(runs / "noisy")
    ending = read_ending(run, [runs / "data-noisy"], all_epochs=True)
    last = run.metrics()[-1]
    assert ending.wrong.sum() == last["cure"]["num_wrong_before"]
    assert (ending.current != ending.original).sum() == last["cure"]["num_changed"]
    assert (ending.current != ending.truth).sum() == last["cure"]["num_wrong_after"]
    measured = detection(ending.wrong, ending.suspicions())
    for name, scores in last["detection"].items():
        assert measured[name] == pytest.approx(scores)


def test_the_dataset_must_be_the_one_trained_on(runs):
    run = RunFolder(runs / "noisy")
    ending = read_ending(run, [runs / "nowhere", runs / "data-clean"], all_epochs=False)
    assert ending.dataset is None
    assert ending.truth is None
    assert "nowhere does not exist" in ending.missing
    assert "data-clean has other samples or labels" in ending.missing
    again = read_ending(run, [runs / "data-clean", runs / "data-noisy"], all_epochs=False)
    assert again.dataset.path == runs / "data-noisy"


def test_a_pruned_run_has_no_mean_and_an_emptied_one_no_ending(runs):
    run = RunFolder(runs / "noisy")
    (runs / "noisy" / "evidence" / "epoch-0001.parquet").unlink()
    ending = read_ending(run, [runs / "data-noisy"], all_epochs=True)
    assert ending.mean_given_prob is None
    assert list(ending.suspicions()) == ["last_given_prob", "importance"]
    (runs / "noisy" / "evidence" / "epoch-0002.parquet").unlink()
    with pytest.raises(SelfcureError, match="missing or damaged"):
        read_ending(run, [], all_epochs=False)
    (runs / "noisy" / "metrics.jsonl").unlink()
    with pytest.raises(SelfcureError, match="no epoch is finished"):
        read_ending(run, [], all_epochs=False)
