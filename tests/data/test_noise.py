"""Label noise: exact counts, recorded truth, nothing else changed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources import contents, png, write_files

from selfcure.data.folder import Dataset
from selfcure.data.importing import import_dataset
from selfcure.data.noise import KINDS, add_noise
from selfcure.data.noise_kinds import confusion, noise_rate, symmetric
from selfcure.data.readers import base
from selfcure.errors import SelfcureError

CASES = {
    "labels": st.lists(st.integers(0, 4), max_size=60).map(lambda labels: np.array(labels, dtype=np.int64)),
    "rate": st.floats(0, 0.99),
    "seed": st.integers(0, 2**32),
}


@given(**CASES)
def test_symmetric_changes_exactly_its_share_of_each_class(
    labels: np.ndarray, rate: float, seed: int
) -> None:
    before = labels.copy()
    noisy = symmetric(labels, 5, rate, np.random.default_rng(seed))
    np.testing.assert_array_equal(labels, before)
    assert noisy.shape == labels.shape
    assert ((noisy >= 0) & (noisy < 5)).all()
    for k in range(5):
        members = labels == k
        assert (noisy[members] != k).sum() == round(rate * members.sum())


@given(**CASES)
def test_symmetric_repeats_with_its_seed(labels: np.ndarray, rate: float, seed: int) -> None:
    first, second = (symmetric(labels, 5, rate, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@given(**CASES, order=st.randoms(use_true_random=False))
def test_symmetric_does_not_depend_on_how_classes_are_mixed(labels, rate, seed, order) -> None:
    """Samples of a class keep their fate, in order, when samples of other classes are moved between them."""
    mixed = np.array(labels)
    order.shuffle(mixed)
    a, b = (symmetric(x, 5, rate, np.random.default_rng(seed)) for x in (labels, mixed))
    for k in range(5):
        np.testing.assert_array_equal(a[labels == k], b[mixed == k])


def test_symmetric_is_uniform_over_the_other_classes() -> None:
    noisy = symmetric(np.full(40_000, 2), 5, 0.5, np.random.default_rng(0))
    counts = np.bincount(noisy, minlength=5)
    assert counts[2] == 20_000
    np.testing.assert_allclose(np.delete(counts, 2), 5_000, atol=300)  # about 5 standard deviations


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_symmetric_refuses_rates(rate: float) -> None:
    with pytest.raises(SelfcureError, match="rate must be at least 0 and below 1, not"):
        symmetric(np.zeros(3, dtype=int), 2, rate, np.random.default_rng(0))


def test_one_class_alone_cannot_be_changed() -> None:
    with pytest.raises(SelfcureError, match="needs at least 2 classes"):
        symmetric(np.zeros(3, dtype=int), 1, 0.5, np.random.default_rng(0))


def test_measures_by_hand() -> None:
    given, true = np.array([0, 1, 1, 2]), np.array([0, 0, -1, 2])
    assert confusion(given, true, 3).tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert noise_rate(given, true) == pytest.approx(1 / 3)
    assert noise_rate(given, np.full(4, -1)) is None


@pytest.fixture
def parent(classes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """30 training images in 8 shards and 9 for validation, of 3 classes; no truth is known."""
    monkeypatch.setattr(base, "SHARD_SIZE", 4)
    source = tmp_path / "splits"
    source.mkdir()
    classes(10).rename(source / "train")
    classes(3).rename(source / "val")
    return import_dataset("folder", source, out=tmp_path / "parent")


def test_new_folder_keeps_all_but_the_labels(parent: Dataset, tmp_path: Path) -> None:
    before = contents(parent.path)
    noisy = add_noise(parent.path, out=tmp_path / "noisy", rate=0.3, seed=5)
    assert contents(parent.path) == before
    old, new = parent.split("train"), noisy.split("train")
    np.testing.assert_array_equal(new.true_labels, old.labels)
    np.testing.assert_array_equal(new.ids, old.ids)
    assert new.column("image") == old.column("image")
    for k in range(3):
        assert (new.labels[old.labels == k] != k).sum() == 3
    validation = noisy.split("validation")
    assert validation.fingerprint() == parent.split("validation").fingerprint()
    assert (validation.true_labels == -1).all()


def test_manifest_records_parent_settings_and_result(parent: Dataset, tmp_path: Path) -> None:
    noisy = add_noise(parent.path, out=tmp_path / "noisy", rate=0.3, seed=5)
    split = noisy.split("train")
    manifest = noisy.manifest
    assert manifest["layout"] == "noise"
    assert manifest["parent"] == {
        "path": str(parent.path),
        "fingerprint": {name: parent.split(name).fingerprint() for name in ("train", "validation")},
        "layout": "folder",
        "source": parent.manifest["source"],
        "options": {},
    }
    results = manifest["noise"].pop("results")
    assert manifest["noise"] == {
        "kind": "symmetric",
        "rate": 0.3,
        "seed": 5,
        "labels": None,
        "splits": ["train"],
    }
    counts = results["train"].pop("confusion_given_by_true")
    assert results == {"train": {"num_samples": 30, "num_dropped": 0, "num_changed": 9, "noise_rate": 0.3}}
    np.testing.assert_array_equal(counts, confusion(split.labels, split.true_labels, 3))
    assert np.trace(counts) == 21


def test_noise_upon_noise_keeps_the_first_truth(parent: Dataset, tmp_path: Path) -> None:
    once = add_noise(parent.path, out=tmp_path / "once", rate=0.3)
    twice = add_noise(once.path, out=tmp_path / "twice", rate=0.3, seed=1)
    np.testing.assert_array_equal(twice.split("train").true_labels, parent.split("train").labels)
    assert twice.manifest["parent"]["noise"]["rate"] == 0.3
    result = twice.manifest["noise"]["results"]["train"]
    split = twice.split("train")
    assert result["noise_rate"] == pytest.approx((split.labels != split.true_labels).mean())
    assert result["num_changed"] == (split.labels != once.split("train").labels).sum()


def test_seeds_and_splits_are_independent(parent: Dataset, tmp_path: Path) -> None:
    options = {"rate": 0.3, "seed": 1}
    a = add_noise(parent.path, out=tmp_path / "a", **options)
    b = add_noise(parent.path, out=tmp_path / "b", **options)
    c = add_noise(parent.path, out=tmp_path / "c", **options, splits=("validation", "train"))
    d = add_noise(parent.path, out=tmp_path / "d", rate=0.3, seed=2)
    assert contents(a.path) == contents(b.path)
    np.testing.assert_array_equal(a.split("train").labels, c.split("train").labels)
    assert (c.split("validation").labels != c.split("validation").true_labels).sum() == 3
    assert (a.split("train").labels != d.split("train").labels).any()


def test_interrupted_noise_is_finished_by_the_same_call(parent: Dataset, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > 10:
            raise KeyboardInterrupt

    whole = add_noise(parent.path, out=tmp_path / "whole", rate=0.2)
    with pytest.raises(KeyboardInterrupt):
        add_noise(parent.path, out=tmp_path / "out", rate=0.2, progress=stop)
    with pytest.raises(SelfcureError, match="holds unfinished work with other settings"):
        add_noise(parent.path, out=tmp_path / "out", rate=0.2, seed=1)
    assert contents(add_noise(parent.path, out=tmp_path / "out", rate=0.2).path) == contents(whole.path)


@pytest.fixture
def crowd(ferplus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setattr(base, "SHARD_SIZE", 2)
    return import_dataset("ferplus", ferplus, out=tmp_path / "crowd")


def test_annotator_from_a_table(crowd: Dataset, tmp_path: Path) -> None:
    table = tmp_path / "fer2013.csv"
    table.write_text(
        "image,name\nfer0000000.png,sad\nfer0000001.png,Happy\nfer0000005.png,\nfer0000099.png,fear\n"
    )
    noisy = add_noise(crowd.path, out=tmp_path / "noisy", kind="annotator", labels=table)
    split = noisy.split("train")
    assert split.ids.tolist() == ["fer0000000.png", "fer0000001.png"]
    assert split.labels.tolist() == [3, 1]
    assert split.true_labels.tolist() == [0, 1]
    assert split.column("votes_happiness").to_pylist() == [0, 9]
    assert noisy.manifest["skipped"] == {"given label is blank": 1, "no given label": 1}
    assert "train/fer0000005.png,given label is blank" in (noisy.path / "skipped.csv").read_text()
    result = noisy.manifest["noise"]["results"]["train"]
    assert (result["num_samples"], result["num_dropped"], result["num_changed"]) == (2, 2, 1)
    assert result["noise_rate"] == 0.5
    assert noisy.splits == {"train": 2, "validation": 2, "test": 1}


def test_annotator_gives_what_the_import_gives(crowd: Dataset, ferplus: Path, tmp_path: Path) -> None:
    table = tmp_path / "fer2013.csv"
    table.write_text("image,name\nfer0000000.png,sad\nfer0000001.png,Happy\nfer0000010.png,fear\n")
    noisy = add_noise(crowd.path, out=tmp_path / "a", kind="annotator", labels=table)
    imported = import_dataset("ferplus", ferplus, out=tmp_path / "b", given_labels=table)
    assert noisy.split("train").fingerprint() == imported.split("train").fingerprint()
    np.testing.assert_array_equal(noisy.split("train").true_labels, imported.split("train").true_labels)


def test_annotator_from_a_column_of_words_or_numbers(tmp_path: Path) -> None:
    text = (
        "path,label,words,numbers,boxes\n0.png,sad,happy,1,0\n1.png,happy,Sadness,,0\n2.png,happy,awe,7,0\n"
    )
    source = (
        write_files(tmp_path / "s", {**{f"{i}.png": png(i, 4) for i in range(3)}, "t.csv": text}) / "t.csv"
    )
    folder = import_dataset("table", source, out=tmp_path / "d").path
    words = add_noise(folder, out=tmp_path / "w", kind="annotator", labels="words")
    assert words.split("train").labels.tolist() == [0, 1]
    assert words.manifest["skipped"] == {"given label 'awe' is not a class": 1}
    numbers = add_noise(folder, out=tmp_path / "n", kind="annotator", labels="numbers")
    assert numbers.split("train").labels.tolist() == [1]
    assert numbers.manifest["skipped"] == {"given label is blank": 1, "given label '7' is not a class": 1}


def test_errors(parent: Dataset, tmp_path: Path) -> None:
    out, folder = tmp_path / "out", parent.path
    for arguments, message in [
        ({"kind": "symetric"}, r"unknown kind of noise 'symetric'; did you mean 'symmetric'\?"),
        ({}, r"symmetric noise needs a rate, for instance 0.3"),
        ({"rate": 1.0}, r"rate must be at least 0 and below 1, not 1.0"),
        ({"rate": 0.3, "labels": "x"}, r"labels is for annotator noise"),
        ({"rate": 0.3, "seed": -1}, r"seed must not be negative, it is -1"),
        ({"rate": 0.3, "splits": ["test"]}, r"has no samples in split 'test'"),
        ({"rate": 0.3, "splits": "train"}, r"splits must be a list of names"),
        ({"rate": 0.3, "splits": []}, r"splits must be a list of names"),
        ({"kind": "annotator"}, r"annotator noise needs labels"),
        ({"kind": "annotator", "labels": "x", "rate": 0.3}, r"rate is for symmetric and pairwise noise"),
        (
            {"kind": "annotator", "labels": "x"},
            r"labels 'x' is neither a column of .* \(it has no extra ones\) nor a file",
        ),
    ]:
        with pytest.raises(SelfcureError, match=message):
            add_noise(folder, out=out, **arguments)
    with pytest.raises(SelfcureError, match="does not exist"):
        add_noise(tmp_path / "none", out=out, rate=0.3)
    with pytest.raises(SelfcureError, match="already exists"):
        add_noise(folder, out=folder, rate=0.3)
    assert not list(tmp_path.glob("out*"))
    assert set(KINDS) == {"symmetric", "pairwise", "matrix", "annotator"}


def test_annotator_who_labelled_nothing(parent: Dataset, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("id,label\nelse.png,fear\n")
    only = add_noise(parent.path, out=tmp_path / "a", kind="annotator", labels=tmp_path / "l.csv")
    assert only.splits == {"validation": 9}
    with pytest.raises(SelfcureError, match=r"no usable image in .*: 39 × no given label"):
        add_noise(
            parent.path,
            out=tmp_path / "b",
            kind="annotator",
            labels=tmp_path / "l.csv",
            splits=["train", "validation"],
        )


def test_noise_takes_the_soft_labels_away(tmp_path) -> None:
    """A label that kept its soft one would show that it was not flipped."""
    votes = [6, 0, 0, 3, 0, 0, 0, 0, 1, 0]
    rows = "".join(f'fer{k:07}.png,"(0, 0, 48, 48)",{",".join(map(str, votes))}\n' for k in range(10))
    files = {f"FER2013Train/fer{k:07}.png": png(k) for k in range(10)} | {"FER2013Train/label.csv": rows}
    write_files(tmp_path / "ferplus", files)
    clean = import_dataset("ferplus", tmp_path / "ferplus", out=tmp_path / "clean", soft_labels=True)
    assert clean.split("train").soft_labels is not None
    noisy = add_noise(clean.path, out=tmp_path / "noisy", kind="symmetric", rate=0.3)
    assert noisy.split("train").column("soft_label").null_count == 10
    assert noisy.split("train").soft_labels is None
