"""The dataset folder: what a damaged one says, and the columns it can hold."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sources import png

from selfcure.data.folder import UNKNOWN, Dataset
from selfcure.data.folder_writer import FolderWriter, Skip
from selfcure.errors import SelfcureError

EXTRA = {
    "points": pa.array([[[1.0, 2.0]], []], pa.list_(pa.list_(pa.float64()))),
    "box": pa.array([{"x": 1, "y": 2.5}, None], pa.struct([("x", pa.int32()), ("y", pa.float32())])),
    "day": pa.array([0, None], pa.date32()),
    "when": pa.array([0, 1], pa.timestamp("us")),
    "flag": pa.array([True, None]),
    "word": pa.array(["a", "b"], pa.large_string()),
    "text.dotted": pa.array(["c", "d"]),
}


def write(out: Path, *, labels: list[int] | None = None, num_shards: int = 1, plan: object = None) -> Dataset:
    schema = [pa.field(name, column.type) for name, column in EXTRA.items()]
    writer = FolderWriter(
        out, class_names=["x", "y"], plan={"plan": plan}, num_shards={"train": num_shards}, extra=schema
    )
    for index in range(num_shards):
        core = {
            "image": [{"bytes": png(i, 4), "path": f"{i}.png"} for i in range(2)],
            "id": [f"{index}-{i}" for i in range(2)],
            "label": labels or [0, 1],
            "true_label": [None, 1],
        }
        writer.write("train", index, pa.table(core | EXTRA), [Skip("odd, one", "reason")])
    return writer.finish({"layout": "made", "source": "here"}, [Skip("é", "another")])


def test_round_trip(tmp_path: Path) -> None:
    dataset = write(tmp_path / "d", num_shards=2)
    assert dataset.manifest == {
        "format": 1,
        "layout": "made",
        "source": "here",
        "class_names": ["x", "y"],
        "splits": {"train": 4},
        "num_read": 4,
        "num_skipped": 3,
        "skipped": {"reason": 2, "another": 1},
    }
    split = dataset.split("train")
    assert sorted(f.name for f in split.files) == [
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    assert split.ids.tolist() == ["0-0", "0-1", "1-0", "1-1"]
    np.testing.assert_array_equal(split.labels, [0, 1, 0, 1])
    np.testing.assert_array_equal(split.true_labels, [UNKNOWN, 1, UNKNOWN, 1])
    assert split.paths == ["0.png", "1.png"] * 2
    assert split.column("image")[1].as_py() == {"bytes": png(1, 4), "path": "1.png"}
    assert split.extra_columns == list(EXTRA)
    for name, column in EXTRA.items():
        assert split.column(name).to_pylist() == column.to_pylist() * 2
    skipped = (dataset.path / "skipped.csv").read_text(encoding="utf-8").splitlines()
    assert skipped == ["path,reason", "é,another", '"odd, one",reason', '"odd, one",reason']
    assert {f.name for f in dataset.path.iterdir()} == {
        *(f.name for f in split.files),
        "dataset.json",
        "skipped.csv",
    }


def test_hugging_face_understands_every_column(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = write(tmp_path / "d").path
    rows = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"), split="train")
    assert rows[0]["points"] == [[1.0, 2.0]]
    assert rows[0]["box"] == {"x": 1, "y": 2.5}
    assert rows.features["day"].dtype == "date32"
    assert rows.features["points"].feature.feature.dtype == "float64"


def test_fingerprint_is_of_ids_and_given_labels_alone(tmp_path: Path) -> None:
    a, b, c = write(tmp_path / "a"), write(tmp_path / "b", plan=2), write(tmp_path / "c", labels=[1, 1])
    assert a.split("train").fingerprint() == b.split("train").fingerprint() != c.split("train").fingerprint()


def test_fingerprint_is_that_of_all_ids_at_once(tmp_path: Path) -> None:
    split = write(tmp_path / "d", num_shards=3).split("train")
    whole = "\n".join(split.ids).encode() + split.labels.astype("<i8").tobytes()
    assert split.fingerprint() == hashlib.sha256(whole).hexdigest()[:16]


def damaged(change: Callable[[Path], object]) -> Callable[[Path], Path]:
    def make(tmp_path: Path) -> Path:
        folder = write(tmp_path / "d", num_shards=2).path
        change(folder)
        return folder

    return make


def _empty(tmp_path: Path) -> Path:
    (tmp_path / "e").mkdir()
    return tmp_path / "e"


def _file(tmp_path: Path) -> Path:
    (tmp_path / "f").touch()
    return tmp_path / "f"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tmp_path: tmp_path / "none", "dataset folder .*none does not exist"),
        (_empty, "dataset folder .*e is empty"),
        (_file, "is a file, not a dataset folder; import it with"),
        (lambda tmp_path: tmp_path, "does not exist|is empty|not a dataset folder"),
        (
            damaged(lambda d: (d / "dataset.json").write_text("{")),
            r"dataset.json is damaged \(JSONDecodeError",
        ),
        (damaged(lambda d: (d / "dataset.json").write_text("[]")), r"dataset.json is damaged"),
        (
            damaged(lambda d: (d / "dataset.json").write_text('{"splits": {}}')),
            r"damaged \(KeyError\('class_names",
        ),
        (
            damaged(lambda d: (d / "train-00001-of-00002.parquet").unlink()),
            r"has 2 rows where dataset.json says 4",
        ),
        (
            damaged(lambda d: [f.unlink() for f in d.glob("*.parquet")]),
            r"its files train-\*.parquet are missing",
        ),
        (damaged(lambda d: (d / "train-00001-of-00002.parquet").write_bytes(b"x" * 99)), "cannot be read: "),
    ],
)
def test_damaged_folders_say_so(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(SelfcureError, match=message):
        Dataset(make(tmp_path)).split("train")


def test_missing_split_and_column(tmp_path: Path) -> None:
    dataset = write(tmp_path / "d")
    with pytest.raises(SelfcureError, match="has no samples in split 'test'; it has: train"):
        dataset.split("test")
    with pytest.raises(SelfcureError, match="unknown split 'trian'; did you mean 'train'"):
        dataset.split("trian")
    with pytest.raises(SelfcureError, match="unknown column 'boxx'; did you mean 'box'"):
        dataset.split("train").column("boxx")


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 2], "row 1 has label 2, outside the 2 classes"), ([0, None], "column 'label' has nulls")],
    ids=["outside", "missing"],
)
def test_labels_outside_the_classes(tmp_path: Path, labels: list, message: str) -> None:
    folder = write(tmp_path / "d").path
    file = folder / "train-00000-of-00001.parquet"
    table = pq.read_table(file)
    pq.write_table(table.set_column(2, "label", pa.array(labels, pa.int64())), file)
    with pytest.raises(SelfcureError, match=message):
        Dataset(folder).split("train").labels  # noqa: B018


def test_unfinished_work_is_only_taken_up_with_the_same_plan(tmp_path: Path) -> None:
    arguments = {"class_names": ["x"], "num_shards": {"train": 1}}
    FolderWriter(tmp_path / "d", plan={"a": 1}, **arguments)
    FolderWriter(tmp_path / "d", plan={"a": 1}, **arguments)
    for other in (
        {"plan": {"a": 2}},
        {"class_names": ["y"]},
        {"num_shards": {"train": 2}},
        {"extra": [pa.field("z", "int8")]},
    ):
        with pytest.raises(SelfcureError, match="holds unfinished work with other settings"):
            FolderWriter(tmp_path / "d", **{"plan": {"a": 1}, **arguments, **other})
    plan = json.loads((tmp_path / "d.partial" / "plan.json").read_text())
    assert plan["a"] == 1


def test_work_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SelfcureError, match=r"cannot write .*: Not a directory"):
        FolderWriter(tmp_path / "file" / "d", class_names=["x"], plan={}, num_shards={})
