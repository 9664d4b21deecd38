"""Synthetic faces as a dataset folder: the renderer's samples, whole, in shards, and resumed."""

import io

import numpy as np
import pytest
from PIL import Image

from selfcure.data import synthetic_folder
from selfcure.data.folder import Dataset
from selfcure.data.folder_writer import FolderWriter
from selfcure.data.synthetic import CLASS_NAMES, synthesize
from selfcure.data.synthetic_folder import write_synthetic
from selfcure.errors import SelfcureError

SHARES = {"wrong": 0.3, "ambiguous": 0.2, "low_quality": 0.2}


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Dataset:
    out = tmp_path_factory.mktemp("synthetic") / "faces"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(synthetic_folder, "_SHARD", 50)
        return write_synthetic(out, 120, **SHARES, size_px=16, seed=4)


def test_the_folder_holds_what_the_renderer_drew(faces):
    split, drawn = faces.split("train"), synthesize(120, **SHARES, size_px=16, seed=4)
    assert faces.class_names == tuple(CLASS_NAMES)
    assert faces.splits == {"train": 120, "validation": 30}
    assert len(split.files) == 3
    np.testing.assert_array_equal(split.labels, drawn.given_labels)
    np.testing.assert_array_equal(split.true_labels, drawn.true_labels)
    for name, values in (
        ("kind", drawn.kinds),
        ("second_label", drawn.second_labels),
        ("blend_weight", drawn.blend_weights),
        ("degradation", drawn.degradations),
        ("identity", drawn.identities),
    ):
        assert split.column(name).to_pylist() == values.tolist(), name
    for record, pixels in zip(split.column("image").to_pylist(), drawn.images, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(record["bytes"]))), pixels)
    assert split.ids.tolist() == [f"train-{i:06d}" for i in range(120)]
    assert split.paths == [f"train-{i:06d}.png" for i in range(120)]


def test_wrong_labels_are_planted_in_training_alone(faces):
    train, validation = faces.split("train"), faces.split("validation")
    kinds = np.array(train.column("kind").to_pylist())
    np.testing.assert_array_equal(train.labels != train.true_labels, kinds == "wrong")
    assert 0.2 < (kinds == "wrong").mean() < 0.4
    np.testing.assert_array_equal(validation.labels, validation.true_labels)
    assert {"ambiguous", "low-quality"} <= set(validation.column("kind").to_pylist())


def test_training_and_validation_share_nobody(faces):
    train, validation = (set(faces.split(s).column("identity").to_pylist()) for s in ("train", "validation"))
    assert not train & validation


def test_more_faces_begin_with_the_same_ones(faces, tmp_path):
    more = write_synthetic(tmp_path / "more", 140, num_validation=0, **SHARES, size_px=16, seed=4)
    assert more.splits == {"train": 140}
    few, many = (d.split("train").column("image").to_pylist() for d in (faces, more))
    assert few == many[:120]


def test_another_seed_is_another_set(faces, tmp_path):
    other = write_synthetic(tmp_path / "other", 20, num_validation=0, **SHARES, size_px=16, seed=5)
    first = faces.split("train").column("image").to_pylist()[:20]
    assert all(
        a["bytes"] != b["bytes"]
        for a, b in zip(first, other.split("train").column("image").to_pylist(), strict=True)
    )


def test_interrupted_drawing_is_taken_up(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_folder, "_SHARD", 50)
    write, drawn = FolderWriter.write, []

    def killed(self, split, index, *arguments):
        if index == 2:
            raise KeyboardInterrupt
        write(self, split, index, *arguments)

    monkeypatch.setattr(FolderWriter, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "faces", 120, **SHARES, size_px=16, seed=4)
    assert not (tmp_path / "faces").exists()
    monkeypatch.setattr(FolderWriter, "write", lambda self, *a: (drawn.append(a[:2]), write(self, *a))[1])
    again = write_synthetic(tmp_path / "faces", 120, **SHARES, size_px=16, seed=4)
    assert drawn == [("train", 2), ("validation", 0)]
    for split in ("train", "validation"):
        assert again.split(split).column("image").equals(faces.split(split).column("image"))
        assert again.split(split).fingerprint() == faces.split(split).fingerprint()


def test_progress_counts_both_splits(tmp_path):
    heard = []
    write_synthetic(tmp_path / "f", 8, size_px=16, progress=lambda *done: heard.append(done))
    assert heard == [(8, 10), (10, 10)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num": 0}, "the number of train images must be positive, not 0"),
        ({"num": 4, "num_validation": -1}, "the number of validation images must be positive, not -1"),
        ({"num": 4, "wrong": 1.5}, r"wrong"),
        ({"num": 4, "wrong": 0.6, "ambiguous": 0.6}, r"ambiguous"),
        ({"num": 4, "size_px": 3}, r"size_px is 3; give a whole number from 16 to 1024"),
        ({"num": 4, "seed": -1}, r"seed is -1"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, arguments, message):
    with pytest.raises(SelfcureError, match=message):
        write_synthetic(tmp_path / "faces", **arguments)
    assert not (tmp_path / "faces").exists()


def test_a_mistake_does_not_stand_in_the_way_of_the_next_try(tmp_path):
    with pytest.raises(SelfcureError, match="wrong"):
        write_synthetic(tmp_path / "faces", 4, wrong=1.5, size_px=16)
    assert write_synthetic(tmp_path / "faces", 4, wrong=0.5, size_px=16).splits["train"] == 4


def test_an_existing_folder_is_not_overwritten(faces):
    with pytest.raises(SelfcureError, match="already exists; choose another --out or delete it"):
        write_synthetic(faces.path, 4)
