"""Noise that follows confusions: pairwise, by a matrix, and labels that others published as lists."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources import jpeg, write_files

from selfcure.data.folder import Dataset
from selfcure.data.importing import import_dataset
from selfcure.data.noise import add_noise
from selfcure.data.noise_kinds import by_matrix, confusion, pairwise
from selfcure.data.readers.ferplus import read
from selfcure.data.readers.matrix import read_matrix
from selfcure.data.sample import sample
from selfcure.data.vocabulary import CONFUSABLE, EXPRESSIONS
from selfcure.errors import SelfcureError

LABELS = st.lists(st.integers(0, 3), max_size=60).map(lambda labels: np.array(labels, dtype=np.int64))
SHARES = st.lists(st.lists(st.integers(1, 9), min_size=4, max_size=4), min_size=4, max_size=4)


@given(labels=LABELS, rate=st.floats(0, 0.99), seed=st.integers(0, 99))
def test_pairwise_changes_exactly_its_share_to_the_partner(
    labels: np.ndarray, rate: float, seed: int
) -> None:
    partners = [1, 0, 0, 3]
    noisy = pairwise(labels, partners, rate, np.random.default_rng(seed))
    for k, partner in enumerate(partners):
        members = labels == k
        moved = members & (noisy == partner)
        assert moved.sum() == (members.sum() if partner == k else round(rate * members.sum()))
        assert (noisy[members & ~moved] == k).all()


@given(labels=LABELS, counts=SHARES, seed=st.integers(0, 99))
def test_matrix_numbers_are_exact_up_to_rounding(labels: np.ndarray, counts: list, seed: int) -> None:
    matrix = np.array(counts) / np.sum(counts, axis=1, keepdims=True)
    noisy = by_matrix(labels, matrix, np.random.default_rng(seed))
    np.testing.assert_array_equal(noisy, by_matrix(labels, matrix, np.random.default_rng(seed)))
    for k in range(4):
        got = np.bincount(noisy[labels == k], minlength=4)
        assert got.sum() == (labels == k).sum()
        assert (np.abs(got - matrix[k] * got.sum()) < 1).all()


def test_matrix_by_hand() -> None:
    labels = np.array([0] * 10 + [1] * 3)
    noisy = by_matrix(labels, np.array([[0.75, 0.25], [0.5, 0.5]]), np.random.default_rng(0))
    assert confusion(noisy, labels, 2).tolist() == [[8, 2], [2, 1]]  # 7.5 → 8, 1.5 → 2: the first of equals


@pytest.fixture
def parent(classes, tmp_path: Path) -> Dataset:
    """10 training images of each of anger, fear, happiness."""
    return import_dataset("folder", classes(10), out=tmp_path / "parent")


def counts(dataset: Dataset) -> list[list[int]]:
    split = dataset.split("train")
    return confusion(split.labels, split.true_labels, len(dataset.class_names)).T.tolist()  # true × given


def test_pairwise_folder_by_default_goes_by_the_table(parent: Dataset, tmp_path: Path) -> None:
    """Fear goes to anger where surprise is no class; happiness needs to be told."""
    with pytest.raises(SelfcureError, match="nothing is known of what class 'happiness' is confused with"):
        add_noise(parent.path, out=tmp_path / "n", kind="pairwise", rate=0.3)
    noisy = add_noise(
        parent.path, out=tmp_path / "n", kind="pairwise", rate=0.3, pairs="angry=fear, fear=Happy"
    )
    assert counts(noisy) == [[7, 3, 0], [0, 7, 3], [0, 0, 10]]
    assert noisy.manifest["noise"]["pairs"] == {
        "anger": "fear",
        "fear": "happiness",
        "happiness": "happiness",
    }
    assert noisy.manifest["noise"]["seed"] == 0


def test_pairwise_by_the_largest_confusion(parent: Dataset, tmp_path: Path) -> None:
    matrix = [[90, 4, 6], [0, 5, 0], [0.0, 9, 1]]
    noisy = add_noise(parent.path, out=tmp_path / "n", kind="pairwise", rate=0.5, matrix=matrix)
    assert counts(noisy) == [[5, 0, 5], [0, 10, 0], [0, 5, 5]]


def test_every_expression_has_someone_to_be_confused_with() -> None:
    assert set(CONFUSABLE) == set(EXPRESSIONS)
    assert all(set(others) < set(EXPRESSIONS) - {name} for name, others in CONFUSABLE.items())


def test_the_table_is_what_the_real_labels_say(ferplus_zip: Path) -> None:
    fer2013 = ferplus_zip.parent / "ferplus-fer2013-labels.csv"
    entries = read(ferplus_zip, given_labels=fer2013).entries
    matrix = confusion(
        np.array([e.label for e in entries]), np.array([e.true_label for e in entries]), len(EXPRESSIONS)
    ).T
    np.fill_diagonal(matrix, 0)
    for name, row in zip(EXPRESSIONS, matrix, strict=True):
        order = [EXPRESSIONS[k] for k in np.argsort(-row, kind="stable")]
        assert tuple(order[: len(CONFUSABLE[name])]) == CONFUSABLE[name]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", "0.8,0.1,0.1\n0,1,0\n0.3,0,0.7\n"),
        ("m.csv", "fear,happy,anger\n1,0,0\n0,0.7,0.3\n0.1,0.1,0.8\n"),
        ("m.csv", "true,fear,happy,anger\nfear,1,0,0\nhappy,0,0.7,0.3\nanger,0.1,0.1,0.8\n"),
        ("m.json", json.dumps([[0.8, 0.1, 0.1], [0, 1, 0], [0.3, 0, 0.7]])),
        ("m.json", json.dumps({"confusion": [[8, 1, 1], [0, 4, 0], [3, 0, 7]], "accuracy": 0.5})),
    ],
)
def test_matrix_from_a_file(parent: Dataset, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    noisy = add_noise(parent.path, out=tmp_path / "n", kind="matrix", matrix=tmp_path / name)
    assert counts(noisy) == [[8, 1, 1], [0, 10, 0], [3, 0, 7]]
    np.testing.assert_allclose(noisy.manifest["noise"]["matrix"], [[0.8, 0.1, 0.1], [0, 1, 0], [0.3, 0, 0.7]])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "1,0\n0,1\n", "is not a matrix of 3 rows of 3 numbers"),
        ("m.csv", "1,0,0\n0,1\n0,0,1\n", "is not a matrix of 3 rows of 3 numbers"),
        ("m.csv", "", "is not a matrix of 3 rows"),
        (
            "m.csv",
            "0.5,0.1,0.1\n0,1,0\n0,0,1\n",
            "the row of 'anger' is neither shares that sum to 1 nor counts",
        ),
        ("m.csv", "1,0,0\n0,0,0\n0,0,1\n", "the row of 'fear' is neither"),
        ("m.csv", "2,-1,0\n0,1,0\n0,0,1\n", "the row of 'anger' is neither"),
        ("m.csv", "nan,1,0\n0,1,0\n0,0,1\n", "the row of 'anger' is neither"),
        (
            "m.csv",
            "sad,happy,anger\n1,0,0\n0,1,0\n0,0,1\n",
            "has the classes sad, happy, anger, the dataset has",
        ),
        ("m.csv", "x,fear,happy,anger\nfear,1,0,0\nanger,0,1,0\nhappy,0,0,1\n", "are not named alike"),
        ("m.json", "{}", "cannot be read as a matrix: it has neither 'confusion' nor 'matrix'"),
        ("m.json", "[[1, 0", "cannot be read as a matrix"),
        ("m.json", '[["a", 0, 0], [], 1]', "is not a matrix of 3 rows"),
    ],
)
def test_matrix_files_that_do_not_fit(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SelfcureError, match=message) as caught:
        read_matrix(tmp_path / name, ("anger", "fear", "happiness"))
    assert "\n" not in str(caught.value)


def test_errors(parent: Dataset, tmp_path: Path) -> None:
    for arguments, message in [
        ({"kind": "pairwise"}, "pairwise noise needs a rate"),
        ({"kind": "pairwise", "rate": 1.0, "pairs": "anger=fear"}, "rate must be at least 0 and below 1"),
        ({"kind": "pairwise", "rate": 0.1, "pairs": "anger=awe"}, "pairs: 'awe' is not a class"),
        ({"kind": "pairwise", "rate": 0.1, "pairs": "a", "matrix": "b"}, "give one of them"),
        ({"kind": "matrix"}, "matrix noise needs a matrix"),
        ({"kind": "matrix", "matrix": "none.csv"}, r"matrix none\.csv does not exist"),
        (
            {"kind": "matrix", "matrix": np.eye(3), "rate": 0.1},
            "rate is for symmetric and pairwise noise, not for m",
        ),
        ({"rate": 0.1, "matrix": np.eye(3)}, "matrix is for matrix and pairwise noise, not for symmetric"),
        ({"rate": 0.1, "numbers": "rafdb"}, "numbers is for annotator noise"),
    ]:
        with pytest.raises(SelfcureError, match=message):
            add_noise(parent.path, out=tmp_path / "out", **arguments)
    assert not list(tmp_path.glob("out*"))


@pytest.fixture
def rafdb(tmp_path: Path) -> Dataset:
    names = [f"train_{k:05d}" for k in range(1, 8)]
    files: dict[str, bytes | str] = {f"Image/aligned/{name}_aligned.jpg": jpeg(8, 8) for name in names}
    files["EmoLabel/list_patition_label.txt"] = "".join(f"{n}.jpg {k}\n" for k, n in enumerate(names, 1))
    return import_dataset("rafdb", write_files(tmp_path / "raf", files), out=tmp_path / "rafdb")


@pytest.mark.parametrize(
    "spelling",
    [
        "train_0000{}.jpg",
        "train_0000{}_aligned.jpg",
        "aligned/train_0000{}_aligned.jpg",
        "/data/raf-basic/Image/aligned/train_0000{}_aligned.jpg",
    ],
)
def test_published_list_of_numbers(rafdb: Dataset, tmp_path: Path, spelling: str) -> None:
    lines = [f"{spelling.format(k)} {number}" for k, number in ((1, 1), (2, 7), (3, 9), (4, 6))]
    (tmp_path / "noise.txt").write_text("\n".join([*lines, "", "oneword"]))
    noisy = add_noise(rafdb.path, out=tmp_path / "a", kind="annotator", labels=tmp_path / "noise.txt")
    split = noisy.split("train")
    assert split.ids.tolist() == ["train_00001.jpg", "train_00002.jpg", "train_00004.jpg"]
    assert [noisy.class_names[k] for k in split.labels] == ["surprise", "neutral", "anger"]
    assert noisy.manifest["skipped"] == {"no given label": 3, "given label '9' is not a class": 1}


def test_a_sample_still_knows_whose_numbers_they_are(rafdb: Dataset, tmp_path: Path) -> None:
    (tmp_path / "noise.txt").write_text("".join(f"train_0000{k}.jpg 7\n" for k in range(1, 8)))
    few = sample(rafdb.path, out=tmp_path / "few", num=6)
    noisy = add_noise(few.path, out=tmp_path / "a", kind="annotator", labels=tmp_path / "noise.txt")
    assert [noisy.class_names[k] for k in noisy.split("train").labels] == ["neutral"] * 6


def test_numbers_of_another_layout_and_words(rafdb: Dataset, tmp_path: Path) -> None:
    (tmp_path / "n.lst").write_text("train_00001.jpg 1\ntrain_00002.jpg,Happy\n")
    options = {"kind": "annotator", "labels": tmp_path / "n.lst"}
    noisy = add_noise(rafdb.path, out=tmp_path / "a", **options, numbers="ferplus")
    assert [noisy.class_names[k] for k in noisy.split("train").labels] == ["happiness", "happiness"]
    assert noisy.manifest["noise"]["numbers"] == "ferplus"
    with pytest.raises(SelfcureError, match="unknown numbers 'raf'; did you mean 'rafdb'"):
        add_noise(rafdb.path, out=tmp_path / "b", **options, numbers="raf")
    (tmp_path / "n.lst").write_text("oneword\n")
    with pytest.raises(SelfcureError, match="has no line of a path and a label"):
        add_noise(rafdb.path, out=tmp_path / "b", **options)
    (tmp_path / "n.lst").write_bytes(b"\xff\xfe x")
    with pytest.raises(SelfcureError, match="cannot be read as a list"):
        add_noise(rafdb.path, out=tmp_path / "b", **options)


def test_names_that_could_be_several_samples_do_not_fit(rafdb: Dataset, tmp_path: Path) -> None:
    rows = "a/train_00001.jpg 1\nb/train_00001.jpg 2\nc/train_00002.jpg 3\n"
    (tmp_path / "n.txt").write_text(rows)
    noisy = add_noise(rafdb.path, out=tmp_path / "a", kind="annotator", labels=tmp_path / "n.txt")
    assert noisy.split("train").ids.tolist() == ["train_00002.jpg"]
