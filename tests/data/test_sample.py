"""A random part of a dataset folder: which rows, what stays with them, and taking up interrupted work."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from selfcure.data import synthetic_folder
from selfcure.data.folder import Dataset
from selfcure.data.folder_writer import FolderWriter
from selfcure.data.sample import sample
from selfcure.data.synthetic_folder import write_synthetic
from selfcure.errors import SelfcureError


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """Three shards of 20 training faces and 10 of validation, with extra columns."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(synthetic_folder, "_SHARD", 20)
        out = tmp_path_factory.mktemp("sample") / "faces"
        return write_synthetic(out, 60, num_validation=10, size_px=16)


def rows(dataset: Dataset, split: str) -> list[dict]:
    return [row for file in dataset.split(split).files for row in pq.ParquetFile(file).read().to_pylist()]


def test_kept_rows_are_the_parents_in_order_with_every_column(synthetic, tmp_path):
    part = sample(synthetic.path, out=tmp_path / "part", num=25, seed=1)
    kept, parent = rows(part, "train"), rows(synthetic, "train")
    assert part.splits == {"train": 25, "validation": 10}
    assert kept == [row for row in parent if row["id"] in {k["id"] for k in kept}]
    assert {"kind", "identity", "true_label"} <= kept[0].keys()
    assert rows(part, "validation") == rows(synthetic, "validation")
    assert part.class_names == synthetic.class_names


def test_a_seed_fixes_the_draw_and_labels_do_not(tmp_path):
    drawn = {}
    for name, wrong in {"a": 0.0, "other labels": 0.8}.items():
        data = write_synthetic(tmp_path / name, 60, num_validation=0, wrong=wrong, size_px=16).path
        drawn[name] = sample(data, out=tmp_path / f"{name} part", num=30, seed=5).split("train").ids.tolist()
    assert drawn["a"] == drawn["other labels"]
    other = sample(tmp_path / "a", out=tmp_path / "b", num=30, seed=6).split("train").ids.tolist()
    assert other != drawn["a"]


def test_every_sample_is_as_likely_as_any_other(tmp_path):
    data = write_synthetic(tmp_path / "data", 10, num_validation=0, size_px=16).path
    counts = dict.fromkeys(Dataset(data).split("train").ids, 0)
    for seed in range(60):
        for chosen in sample(data, out=tmp_path / str(seed), num=5, seed=seed).split("train").ids:
            counts[chosen] += 1
    # 60 draws with chance one half: mean 30, four standard deviations of 3.9.
    assert all(14 <= count <= 46 for count in counts.values()), counts


def test_another_split_can_be_sampled(synthetic, tmp_path):
    part = sample(synthetic.path, out=tmp_path / "part", num=4, split="validation")
    assert part.splits == {"train": 60, "validation": 4}


def test_parent_and_settings_are_recorded(synthetic, tmp_path):
    manifest = sample(synthetic.path, out=tmp_path / "part", num=7, seed=3).manifest
    assert manifest["layout"] == "sample"
    assert manifest["sample"] == {"num": 7, "seed": 3, "split": "train"}
    fingerprints = {name: synthetic.split(name).fingerprint() for name in synthetic.splits}
    origin = {"path": str(synthetic.path), "fingerprint": fingerprints}
    assert manifest["parent"].items() >= origin.items()
    assert manifest["parent"]["layout"] == synthetic.manifest["layout"]


def test_all_of_it_is_a_copy_and_the_parent_is_untouched(synthetic, tmp_path):
    before = {file: file.read_bytes() for file in synthetic.path.iterdir()}
    part = sample(synthetic.path, out=tmp_path / "part", num=60)
    assert part.split("train").fingerprint() == synthetic.split("train").fingerprint()
    assert {file: file.read_bytes() for file in synthetic.path.iterdir()} == before


def test_interrupted_work_is_taken_up(synthetic, tmp_path, monkeypatch):
    write, written = FolderWriter.write, []

    def killed(self, split, index, *arguments):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append((split, index))
        write(self, split, index, *arguments)

    monkeypatch.setattr(FolderWriter, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        sample(synthetic.path, out=tmp_path / "part", num=25, seed=1)
    monkeypatch.undo()
    with pytest.raises(SelfcureError, match="unfinished work with other settings"):
        sample(synthetic.path, out=tmp_path / "part", num=26, seed=1)
    seen = []
    monkeypatch.setattr(FolderWriter, "write", lambda self, *a: (seen.append(a[:2]), write(self, *a))[1])
    part = sample(synthetic.path, out=tmp_path / "part", num=25, seed=1)
    assert seen == [("train", 2), ("validation", 0)]
    monkeypatch.undo()
    whole = sample(synthetic.path, out=tmp_path / "whole", num=25, seed=1)
    assert rows(part, "train") == rows(whole, "train")


def test_progress_counts_to_the_end(synthetic, tmp_path):
    heard = []
    sample(synthetic.path, out=tmp_path / "part", num=5, progress=lambda *done: heard.append(done))
    assert heard == [(20, 70), (40, 70), (60, 70), (70, 70)]


@pytest.mark.parametrize("num", [0, -1, 61])
def test_a_number_that_is_not_there_is_refused(synthetic, tmp_path, num):
    with pytest.raises(
        SelfcureError, match=rf"num must be between 1 and the 60 samples of split 'train' of .*, not {num}"
    ):
        sample(synthetic.path, out=tmp_path / "part", num=num)
    assert not list(tmp_path.iterdir())


def test_other_mistakes(synthetic, tmp_path):
    with pytest.raises(SelfcureError, match="has no samples in split 'test'"):
        sample(synthetic.path, out=tmp_path / "part", num=1, split="test")
    with pytest.raises(SelfcureError, match="unknown split 'trian'; did you mean 'train'"):
        sample(synthetic.path, out=tmp_path / "part", num=1, split="trian")
    with pytest.raises(SelfcureError, match="does not exist"):
        sample(tmp_path / "nothing", out=tmp_path / "part", num=1)
    with pytest.raises(SelfcureError, match="already exists"):
        sample(synthetic.path, out=synthetic.path, num=1)


def test_a_draw_over_shards_leaves_none_out_by_its_place(synthetic, tmp_path):
    kept = np.array(
        [int(i.split("-")[1]) for i in sample(synthetic.path, out=tmp_path / "p", num=30).split("train").ids]
    )
    assert (np.bincount(kept // 20, minlength=3) > 3).all()
