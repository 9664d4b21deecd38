"""Joining dataset folders: classes by name, ids that keep their source, columns of all."""

from pathlib import Path

import numpy as np
import pytest
from sources import contents, jpeg, png, write_files

from selfcure.data.folder import Dataset
from selfcure.data.importing import import_dataset
from selfcure.data.join import join, joined_classes
from selfcure.data.noise import add_noise
from selfcure.data.readers import base
from selfcure.errors import SelfcureError


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SHARD_SIZE", 3)


@pytest.fixture
def rafdb(tmp_path: Path) -> Dataset:
    names = [f"train_{k:05d}" for k in range(1, 8)] + ["test_0001"]
    files: dict[str, bytes | str] = {f"Image/aligned/{name}_aligned.jpg": jpeg(8, 8) for name in names}
    files["EmoLabel/list_patition_label.txt"] = "".join(
        f"{name}.jpg {(k - 1) % 7 + 1}\n" for k, name in enumerate(names, 1)
    )
    return import_dataset("rafdb", write_files(tmp_path / "raf", files), out=tmp_path / "rafdb")


@pytest.fixture
def crowd(ferplus: Path, tmp_path: Path) -> Dataset:
    return import_dataset("ferplus", ferplus, out=tmp_path / "crowd")


def by_name(dataset: Dataset, split: str, source: str = "") -> dict[str, str]:
    """Id, as the source has it → name of its class."""
    rows = dataset.split(split)
    names = zip(rows.ids.tolist(), rows.labels.tolist(), strict=True)
    return {i.removeprefix(source): dataset.class_names[k] for i, k in names if i.startswith(source)}


def test_join(rafdb: Dataset, crowd: Dataset, tmp_path: Path) -> None:
    before = contents(rafdb.path)
    joined = join(rafdb.path, crowd.path, out=tmp_path / "j")
    assert contents(rafdb.path) == before
    assert joined.class_names == crowd.class_names  # all eight, in the order of the vocabulary
    assert joined.splits == {"train": 11, "validation": 2, "test": 2}
    for dataset in (rafdb, crowd):
        for split in dataset.splits:
            assert by_name(joined, split, f"{dataset.path.name}/") == by_name(dataset, split)
    train = joined.split("train")
    assert train.ids[0] == "rafdb/train_00001.jpg"
    assert train.column("votes_happiness").to_pylist()[6:9] == [None, 0, 9]
    assert train.column("image")[0] == rafdb.split("train").column("image")[0]
    assert (train.true_labels == -1).all()
    parents = joined.manifest["parents"]
    assert [(p["name"], p["layout"], p["path"]) for p in parents] == [
        ("rafdb", "rafdb", str(rafdb.path)),
        ("crowd", "ferplus", str(crowd.path)),
    ]
    assert parents[0]["classes"]["surprise"] == "surprise"
    assert parents[0]["fingerprint"] == {s: rafdb.split(s).fingerprint() for s in ("train", "test")}


def test_truth_is_mapped_too(rafdb: Dataset, crowd: Dataset, tmp_path: Path) -> None:
    noisy = add_noise(rafdb.path, out=tmp_path / "noisy", kind="pairwise", rate=0.9)
    joined = join(crowd.path, noisy.path, out=tmp_path / "j", names=["a", "b"])
    rows, old = joined.split("train"), noisy.split("train")
    mine = np.array([name.startswith("b/") for name in rows.ids])
    assert (rows.true_labels[~mine] == -1).all()
    for new, before in ((rows.labels[mine], old.labels), (rows.true_labels[mine], old.true_labels)):
        assert [joined.class_names[k] for k in new] == [noisy.class_names[k] for k in before]
    assert joined.manifest["parents"][1]["noise"]["kind"] == "pairwise"


def test_classes() -> None:
    assert joined_classes([["b", "a"], ["b", "a"]]) == ["b", "a"]
    assert joined_classes([["happy", "Sad"], ["joy", "sadness"]]) == ["happiness", "sadness"]
    assert joined_classes([["fear", "awe", "happy"], ["Awe", "calm", "boredom"]]) == [
        "neutral",
        "happiness",
        "fear",
        "awe",
        "boredom",
    ]


def made(tmp_path: Path, name: str, rows: str) -> Path:
    text = f"path,label,{rows}"
    source = write_files(tmp_path / f"{name}-source", {"0.png": png(0, 4), "t.csv": text}) / "t.csv"
    return import_dataset("table", source, out=tmp_path / name).path


def test_columns_of_one_name_and_several_types_are_kept_apart(tmp_path: Path) -> None:
    a = made(tmp_path, "a", "age,note\n0.png,sad,7,x\n")
    b = made(tmp_path, "b", "age,note\n0.png,Happy,old,y\n")
    train = join(a, b, out=tmp_path / "j").split("train")
    assert train.extra_columns == ["age_a", "note", "age_b"]
    assert train.column("age_a").to_pylist() == [7, None]
    assert train.column("age_b").to_pylist() == [None, "old"]
    assert train.column("note").to_pylist() == ["x", "y"]
    c = made(tmp_path, "c", "age,age_a\n0.png,sad,1.5,z\n")
    with pytest.raises(SelfcureError, match="column 'age_a' is there in several types; choose other names"):
        join(a, c, out=tmp_path / "k", names=["a", "c"])


def test_interrupted_join_is_finished_by_the_same_call(
    rafdb: Dataset, crowd: Dataset, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        assert total == 15
        if done > 6:
            raise KeyboardInterrupt

    whole = join(rafdb.path, crowd.path, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        join(rafdb.path, crowd.path, out=tmp_path / "out", progress=stop)
    with pytest.raises(SelfcureError, match="holds unfinished work with other settings"):
        join(crowd.path, rafdb.path, out=tmp_path / "out")
    again = join(rafdb.path, crowd.path, out=tmp_path / "out")
    assert contents(again.path) == contents(whole.path)


def test_errors(rafdb: Dataset, crowd: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(SelfcureError, match="needs at least two dataset folders"):
        join(rafdb.path, out=out)
    with pytest.raises(SelfcureError, match="need different names, not rafdb, rafdb; choose them with names"):
        join(rafdb.path, rafdb.path, out=out)
    with pytest.raises(SelfcureError, match="names has 1 names for 2 dataset folders"):
        join(rafdb.path, crowd.path, out=out, names=["a"])
    with pytest.raises(SelfcureError, match="name 'a/b' of a source is blank or has a slash"):
        join(rafdb.path, crowd.path, out=out, names=["a/b", "c"])
    with pytest.raises(SelfcureError, match="does not exist"):
        join(rafdb.path, tmp_path / "none", out=out)
    files: dict[str, bytes | str] = {f"{name}/1.png": png(0, 4) for name in ("happy", "joy")}
    twice = import_dataset("folder", write_files(tmp_path / "t", files), out=tmp_path / "twice")
    with pytest.raises(SelfcureError, match=r"classes 'happy' and 'joy' of .*twice mean the same expression"):
        join(rafdb.path, twice.path, out=out)
    with pytest.raises(SelfcureError, match="already exists"):
        join(rafdb.path, crowd.path, out=crowd.path)
    assert not list(tmp_path.glob("out*"))
