"""Label errors from predictions alone: against loops over samples, cleanlab, and digits with planted errors."""

import csv
import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import selfcure
from selfcure import detection
from selfcure.cli import run as command
from selfcure.detection import confident_joint, detect
from selfcure.errors import SelfcureError


def made(seed: int, num: int = 60, num_classes: int = 4, num_epochs: int | None = None):
    """Labels, and probabilities that know something of them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num)
    shape = (num, num_classes) if num_epochs is None else (num_epochs, num, num_classes)
    logits = rng.normal(size=shape)
    logits[..., np.arange(num), labels] += 1
    probs = np.exp(logits)
    return labels, probs / probs.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def digits():
    """scikit-learn's digits, 30 % of their labels flipped, with cross-validated probabilities."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    pixels, truth = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(truth)) < 0.3
    labels = np.where(wrong, (truth + rng.integers(1, 10, len(truth))) % 10, truth)
    model = LogisticRegression(C=0.1, max_iter=200)
    probs = cross_val_predict(model, pixels / 16, labels, cv=5, method="predict_proba")
    return labels, probs, pixels / 16, wrong


# Against loops


def test_scores_are_those_of_a_loop_over_samples_and_epochs():
    labels, probs = made(0, num_epochs=3)
    features = np.random.default_rng(1).normal(size=(60, 5))
    found = detect(labels, probs, features, beta=0.8, num_neighbours=7)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    for row, label in enumerate(labels):
        weights = [0.64, 0.8, 1.0]
        pooled = [sum(w * probs[e, row, k] for e, w in enumerate(weights)) / sum(weights) for k in range(4)]
        assert found.given_prob[row] == pytest.approx(pooled[label])
        assert found.mean_given_prob[row] == pytest.approx(np.mean([probs[e, row, label] for e in range(3)]))
        others = [pooled[k] for k in range(4) if k != label]
        assert found.margin[row] == pytest.approx(pooled[label] - max(others))
        assert found.entropy[row] == pytest.approx(-sum(p * np.log(p) for p in pooled) / np.log(4))
        assert found.suggested_label[row] == pooled.index(max(pooled))
        nearest = sorted((-float(unit[row] @ unit[k]), k) for k in range(60) if k != row)[:7]
        assert found.knn_agreement[row] == pytest.approx(np.mean([labels[k] == label for _, k in nearest]))


def test_neighbours_in_pieces_are_the_same(monkeypatch):
    labels, probs = made(1)
    features = np.random.default_rng(1).normal(size=(60, 5))
    whole = detect(labels, probs, features).knn_agreement
    monkeypatch.setattr(detection, "_CHUNK", 7 * 60)
    np.testing.assert_array_equal(detect(labels, probs, features).knn_agreement, whole)


@pytest.mark.parametrize("seed", range(5))
def test_the_joint_is_cleanlabs(seed):
    cleanlab = pytest.importorskip("cleanlab.count")
    labels, probs = made(seed, num=300, num_classes=5)
    expected = cleanlab.compute_confident_joint(labels, probs, calibrate=False)
    # cleanlab never leaves the diagonal empty.
    np.testing.assert_array_equal(np.maximum(confident_joint(labels, probs), np.eye(5, dtype=int)), expected)


def test_cleanlabs_scores_are_cleanlabs_of_the_last_epoch():
    rank = pytest.importorskip("cleanlab.rank")
    labels, probs = made(2, num_epochs=4)
    found = detect(labels, probs)
    for method in ("self_confidence", "normalized_margin"):
        expected = rank.get_label_quality_scores(labels, probs[-1], method=method)
        np.testing.assert_allclose(getattr(found, f"cleanlab_{method}"), expected)
    once = detect(labels, probs[-1])
    np.testing.assert_allclose(once.given_prob, once.cleanlab_self_confidence)
    np.testing.assert_allclose((once.margin + 1) / 2, once.cleanlab_normalized_margin)


# P(label wrong)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_wrong_prob_keeps_the_order_and_has_the_share_of_each_class(seed, num_classes):
    labels, probs = made(seed, num=80, num_classes=num_classes)
    found = detect(labels, probs)
    assert ((found.wrong_prob > 0) & (found.wrong_prob < 1)).all()
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        order = rows[(-found.given_prob[rows]).argsort(kind="stable")]
        assert (np.diff(found.wrong_prob[order]) >= -1e-12).all()
        counts = found.confident_joint[label]
        share = (counts.sum() - counts[label] + 0.5) / (counts.sum() + 1)
        assert found.wrong_prob[rows].mean() == pytest.approx(share, abs=1e-6)


def test_the_order_of_samples_does_not_matter():
    labels, probs = made(3)
    features = np.random.default_rng(1).normal(size=(60, 5))
    order = np.random.default_rng(0).permutation(60)
    one, other = detect(labels, probs, features), detect(labels[order], probs[order], features[order])
    for name, score in one.suspicions().items():
        np.testing.assert_allclose(score[order], other.suspicions()[name], err_msg=name, atol=1e-9)


def test_a_class_without_samples_and_sure_predictions_are_no_trouble():
    found = detect([0, 0, 1, 1], [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]])
    assert np.isfinite(found.wrong_prob).all()
    assert found.wrong_prob[1] > 0.9
    assert found.wrong_prob[[0, 2, 3]].max() < 0.5
    assert found.entropy.tolist() == [0, 0, 0, 0]


def test_digits_with_flips_are_found_as_well_as_by_cleanlab(digits):
    labels, probs, features, wrong = digits
    found = detect(labels, probs, features).compare(wrong)
    auroc = {name: score["auroc"] for name, score in found.scores.items()}
    for name in ("wrong_prob", "given_prob", "margin", "knn_agreement"):
        assert auroc[name] > 0.98, (name, auroc)
    if "cleanlab_self_confidence" in auroc:
        best = max(value for name, value in auroc.items() if name.startswith("cleanlab"))
        assert auroc["wrong_prob"] > best - 0.01
    assert detect(labels, probs).wrong_prob.sum() == pytest.approx(wrong.sum(), rel=0.15)


def test_wrong_prob_is_nearer_to_the_truth_than_plain_doubt(digits):
    """Not calibrated, but its level is right: 1 − p of a timid model is far too high."""
    from selfcure.metrics import expected_calibration_error as error

    labels, probs, _, wrong = digits
    found = detect(labels, probs)
    assert error(found.wrong_prob, wrong) < 0.6 * error(1 - found.given_prob, wrong)


def test_predictions_of_all_epochs_find_what_the_last_has_learned_by_heart():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300)
    wrong = rng.random(300) < 0.3
    labels = np.where(wrong, (truth + 1) % 3, truth)
    early, late = np.full((300, 3), 0.1), np.full((300, 3), 0.02)
    early[np.arange(300), truth] = 0.8
    late[np.arange(300), labels] = 0.96
    found = detect(labels, np.stack([early, early, late])).compare(wrong).scores
    assert found["wrong_prob"]["auroc"] == found["mean_given_prob"]["auroc"] == 1
    assert detect(labels, late).compare(wrong).scores["wrong_prob"]["auroc"] < 0.7


# Tables and comparisons


def test_the_table_has_every_score_and_names():
    labels, probs = made(4, num_epochs=2)
    found = detect(labels, probs, np.eye(60), class_names=["a", "b", "c", "d"])
    table = found.table()
    assert {"row", "label", "suggested_label", *found.suspicions()} == set(table.column_names)
    assert {"mean_given_prob", "knn_agreement"} <= set(table.column_names)
    assert table["label"].to_pylist() == ["abcd"[label] for label in labels]
    assert detect(labels, probs[0]).table()["label"].to_pylist() == labels.tolist()
    assert not {"mean_given_prob", "knn_agreement"} & set(detect(labels, probs[0]).table().column_names)


def test_comparing_needs_both_kinds_of_labels():
    labels, probs = made(5)
    found = detect(labels, probs)
    with pytest.raises(SelfcureError, match="both right and wrong labels"):
        found.compare(np.zeros(60, bool))
    with pytest.raises(SelfcureError, match="wrong must be 60 booleans, not int64"):
        found.compare(labels)
    wrong = found.given_prob < np.median(found.given_prob)
    printed = str(found.compare(wrong))
    assert "given_prob" in printed
    assert "1.000  1.000" in printed
    assert "30 of 60 labels are wrong" in printed


def test_without_cleanlab_its_scores_are_missing_and_nothing_else(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab.rank", None)
    labels, probs = made(6)
    found = detect(labels, probs)
    assert found.cleanlab_self_confidence is None
    assert "cleanlab_self_confidence" not in found.table().column_names
    assert "wrong_prob" in found.table().column_names


def test_it_needs_no_torch():
    code = (
        "import sys, selfcure; selfcure.detect([0, 1], [[.9, .1], [.2, .8]]); print('torch' in sys.modules)"
    )
    blocked = "import sys; sys.modules['cleanlab'] = None\n" + code  # cleanlab itself may import anything
    result = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
    assert selfcure.detect is detect


# Mistakes


OK = [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("labels", "probs", "more", "message"),
    [
        ([[0], [1]], OK, {}, r"labels must be \[N\]"),
        ([], OK, {}, "N at least 1"),
        ([0.0, 1.0, 1.0], OK, {}, "labels must be integers"),
        ([0, -1, 1], OK, {}, r"labels\[1\] is -1"),
        ([0, 1, 2], OK, {}, r"labels\[2\] is 2, outside the 2 classes"),
        ([0, 1], OK, {}, "does not fit 2 labels"),
        ([0, 1, 1], [[1.0], [1.0], [1.0]], {}, "two classes or more"),
        ([0, 1, 1], [0.5, 0.5, 0.5], {}, r"of shape \[N, K\]"),
        ([0, 1, 1], [["a", "b"]] * 3, {}, "probs must be numbers"),
        ([0, 1, 1], np.zeros((0, 3, 2)), {}, "does not fit"),
        ([0, 1, 1], [[0.9, 0.1], [np.nan, 0.8], [0.5, 0.5]], {}, r"probs\[1\] holds NaN"),
        (
            [0, 1, 1],
            [[0.9, 0.1], [0.2, 0.8], [2.5, -1.5]],
            {},
            r"probs\[2\] holds a negative number; give prob",
        ),
        ([0, 1, 1], [[0.9, 0.1], [0.2, 0.9], [0.5, 0.5]], {}, r"probs\[1\] does not sum to 1.*\(1 of 3 rows"),
        ([0, 1, 1], [OK, [[0.9, 0.1], [0.2, 0.7], [0.5, 0.5]]], {}, r"probs\[1\]\[1\] does not sum"),
        ([0, 1, 1], OK, {"features": [[1.0], [2.0]]}, "features must be numbers of shape"),
        ([0, 1, 1], OK, {"features": [[1.0], [2.0], [np.inf]]}, r"features\[2\] holds NaN or inf"),
        ([0, 1, 1], OK, {"features": np.eye(3), "num_neighbours": 0}, "num_neighbours must be"),
        ([0], [[0.9, 0.1]], {"features": [[1.0]]}, "have no neighbours"),
        ([0, 1, 1], OK, {"class_names": ["a"]}, "1 names for the 2 classes"),
        ([0, 1, 1], OK, {"beta": 0.0}, "beta must be above 0"),
    ],
)
def test_mistakes_are_told_in_one_line(labels, probs, more, message):
    with pytest.raises(SelfcureError, match=message):
        detect(labels, probs, **more)


def test_half_precision_is_taken():
    labels, probs = made(7, num=500, num_classes=40)
    found = detect(labels, probs.astype(np.float16))
    np.testing.assert_allclose(found.given_prob, detect(labels, probs).given_prob, atol=2e-3)


# The command


@pytest.fixture
def files(tmp_path, monkeypatch, digits):
    labels, probs, features, wrong = digits
    monkeypatch.chdir(tmp_path)
    np.save("probs.npy", probs)
    np.savez("all.npz", probs=probs, labels=labels, features=features)
    np.save("labels.npy", labels)
    np.save("truth.npy", np.where(wrong, (labels + 1) % 10, labels))
    names = [f"digit {k}" for k in range(10)]
    with open("labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([["id", "label"], *([f"i{k}", names[v]] for k, v in enumerate(labels))])
    return ",".join(names)


def test_the_command_writes_the_table(files, digits, capsys):
    labels, probs, features, wrong = digits
    expected = detect(labels, probs, features)
    arguments = ["labels", "detect", "probs.npy", "labels.csv", "--classes", files, "--features", "all.npz"]
    assert command([*arguments, "--truth", "truth.npy", "--out", "t.parquet", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["num_samples"] == len(labels)
    assert told["num_wrong"] == wrong.sum()
    assert told["expected_wrong"] == pytest.approx(expected.wrong_prob.sum())
    assert told["scores"]["wrong_prob"]["auroc"] > 0.98
    table = pq.read_table("t.parquet")
    np.testing.assert_allclose(table["wrong_prob"].to_numpy(), expected.wrong_prob)
    assert table["label"][0].as_py() == f"digit {labels[0]}"
    assert (
        command(["labels", "detect", "all.npz", "labels.npy", "--out", "t.csv", "--truth", "truth.npy"]) == 0
    )
    said = capsys.readouterr()
    assert "1,797 labels, about" in " ".join(said.err.split())
    assert "AUROC" in said.out
    assert "525 of 1,797 labels are wrong" in " ".join((said.out + said.err).split())
    with open("t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["label"]) for row in rows] == labels.tolist()
    assert float(rows[5]["given_prob"]) == pytest.approx(expected.given_prob[5])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gone.npy labels.npy --out t.csv", "gone.npy does not exist"),
        ("labels.csv labels.npy --out t.csv", "must be .npy or .npz"),
        ("probs.npy labels.npy --out t.txt", "must end in .parquet or .csv"),
        ("probs.npy labels.csv --out t.csv", "labels.csv line 2: 'digit"),
        ("probs.npy labels.csv --out t.csv --classes a,b", "classes are a, b"),
        ("probs.npy empty.csv --out t.csv", "empty.csv is empty"),
        ("probs.npy wide.csv --out t.csv", "has no column 'label', but x, y"),
        ("probs.npy gone.csv --out t.csv", "gone.csv cannot be read"),
        ("two.npz labels.npy --out t.csv", "has no array 'probs', but a, b"),
        ("torn.npy labels.npy --out t.csv", "torn.npy cannot be read as a NumPy file"),
        ("objects.npy labels.npy --out t.csv", "objects.npy cannot be read as a NumPy file"),
        ("probs.npy labels.npy --out t.csv --truth short.npy", "labels of shape (2,), not 1,797"),
        ("probs.npy labels.npy --out t.csv --truth labels.npy", "both right and wrong labels"),
    ],
)
def test_mistakes_in_files_are_told_and_nothing_is_written(files, capsys, tmp_path, line, message):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "wide.csv").write_text("x,y\n1,2\n")
    np.savez("two.npz", a=np.eye(2), b=np.eye(2))
    np.save("short.npy", np.array([0, 1]))
    np.save("objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "torn.npy").write_bytes((tmp_path / "probs.npy").read_bytes()[:500])
    assert command(["labels", "detect", *line.split()]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.glob("t.*"))
