"""A validation split made of training samples, by class or by group."""

from pathlib import Path

import numpy as np
import pytest
from sources import contents, png, write_files

from selfcure.data.folder import Dataset
from selfcure.data.importing import import_dataset
from selfcure.data.readers import base
from selfcure.data.split import split
from selfcure.errors import SelfcureError


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SHARD_SIZE", 4)


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    """30 training images of 3 classes in 8 shards, of 5 people and one nobody knows, and 2 test images."""
    rows = ["path,label,person,split"]
    rows += [f"{k}.png,{'abc'[k % 3]},{f'P{k % 5}' if k else ''},train" for k in range(30)]
    rows += ["30.png,a,P1,test", "31.png,b,P9,test"]
    files: dict[str, bytes | str] = {f"{k}.png": png(k, 4) for k in range(32)}
    files["t.csv"] = "\n".join(rows) + "\n"
    return import_dataset("table", write_files(tmp_path / "s", files) / "t.csv", out=tmp_path / "parent")


def ids(dataset: Dataset, name: str) -> list[str]:
    return dataset.split(name).ids.tolist()


def test_the_same_share_of_each_class_moves(parent: Dataset, tmp_path: Path) -> None:
    before = contents(parent.path)
    new = split(parent.path, out=tmp_path / "n", validation=0.3, seed=4)
    assert contents(parent.path) == before
    assert new.splits == {"train": 21, "validation": 9, "test": 2}
    assert np.bincount(new.split("validation").labels).tolist() == [3, 3, 3]
    old = ids(parent, "train")
    kept, moved = ids(new, "train"), ids(new, "validation")
    assert set(kept) | set(moved) == set(old)
    for part in (kept, moved):
        assert part == [i for i in old if i in part]  # in their order
    assert new.split("test").fingerprint() == parent.split("test").fingerprint()
    position = old.index(moved[0])
    assert new.split("validation").column("image")[0] == parent.split("train").column("image")[position]
    assert new.manifest["split"] == {"validation": 0.3, "seed": 4, "by": None}
    assert new.manifest["parent"]["layout"] == "table"
    assert len(new.split("validation").files) == 3  # of 3 shards of train each


def test_seed(parent: Dataset, tmp_path: Path) -> None:
    a, b, c = (split(parent.path, out=tmp_path / f"{k}", seed=seed) for k, seed in enumerate((1, 1, 2)))
    assert contents(a.path) == contents(b.path)
    assert ids(a, "validation") != ids(c, "validation")


def test_groups_stay_together(parent: Dataset, tmp_path: Path) -> None:
    new = split(parent.path, out=tmp_path / "n", validation=0.4, by="person")
    people = {name: set(new.split(name).column("person").to_pylist()) for name in ("train", "validation")}
    people = {name: {p for p in values if p} for name, values in people.items()}
    assert not people["train"] & people["validation"]
    assert 9 <= new.splits["validation"] <= 15
    assert new.splits["train"] + new.splits["validation"] == 30


def test_interrupted_split_is_finished_by_the_same_call(parent: Dataset, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        assert total == 62
        if done > 20:
            raise KeyboardInterrupt

    whole = split(parent.path, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        split(parent.path, out=tmp_path / "out", progress=stop)
    assert contents(split(parent.path, out=tmp_path / "out").path) == contents(whole.path)


def test_errors(parent: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for arguments, message in [
        ({"validation": 0.0}, "validation must be above 0 and below 1, not 0.0"),
        ({"validation": float("nan")}, "validation must be above 0 and below 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"by": "persons"}, "unknown column 'persons'; did you mean 'person'"),
        ({"validation": 0.01}, "0.01 of the 30 samples of split 'train' of .* leaves a split empty"),
        ({"by": "image"}, "column 'image' holds struct"),
    ]:
        with pytest.raises(SelfcureError, match=message):
            split(parent.path, out=out, **arguments)
    once = split(parent.path, out=tmp_path / "once")
    with pytest.raises(SelfcureError, match="has a validation split already, of 3 samples"):
        split(once.path, out=out)
    alone = split_of_one(tmp_path)
    with pytest.raises(SelfcureError, match="has one value alone in column 'person'"):
        split(alone, out=out, by="person")
    assert not list(tmp_path.glob("out*"))


def split_of_one(tmp_path: Path) -> Path:
    files: dict[str, bytes | str] = {f"{k}.png": png(k, 4) for k in range(2)}
    files["t.csv"] = "path,label,person\n0.png,a,P1\n1.png,b,P1\n"
    return import_dataset("table", write_files(tmp_path / "o", files) / "t.csv", out=tmp_path / "alone").path
