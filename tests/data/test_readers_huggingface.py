"""Hugging Face datasets in the forms in which they lie on a disk."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sources import labels, png, reasons, write_files

from selfcure.data.importing import import_dataset
from selfcure.data.readers.huggingface import read
from selfcure.errors import SelfcureError

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def saved(folder: Path, rows: dict[str, list], features: dict | None = None) -> Path:
    """What ``save_to_disk`` writes of one split, ``train``."""
    described = datasets.Features(features) if features else None
    rows = {"image": [{"bytes": png(k, 8), "path": None} for k in range(len(rows["label"]))], **rows}
    datasets.Dataset.from_dict(rows, features=described).save_to_disk(folder)
    return folder


IMAGE = datasets.Image()


def test_save_to_disk_with_class_labels(tmp_path: Path) -> None:
    features = {
        "image": IMAGE,
        "label": datasets.ClassLabel(names=["sad", "happy"]),
        "id": datasets.Value("string"),
        "ages": datasets.List(datasets.Value("int32")),
    }
    rows = {"label": [1, 0, -1, None], "id": list("abcd"), "ages": [[1, 2], [], [3], None]}
    dataset = import_dataset("huggingface", saved(tmp_path / "s", rows, features), out=tmp_path / "out")
    train = dataset.split("train")
    assert dataset.class_names == ("sad", "happy")
    assert (train.ids.tolist(), train.labels.tolist()) == (["train/0000000", "train/0000001"], [1, 0])
    assert train.column("image")[1]["bytes"].as_py() == png(1, 8)
    assert train.column("source_id").to_pylist() == ["a", "b"]
    assert train.column("ages").to_pylist() == [[1, 2], []]
    assert dataset.manifest["skipped"] == {"label is blank": 2}


def test_parquet_folder_with_splits(tmp_path: Path) -> None:
    """Also a dataset folder of our own is one."""
    source = tmp_path / "s"
    (source / "data").mkdir(parents=True)
    schema = pa.schema(
        [("img", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("emotion", pa.string())]
    )
    features = {"img": {"_type": "Image"}, "emotion": {"dtype": "string", "_type": "Value"}}
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    for split, num in (("train", 3), ("validation", 2)):
        rows = [{"img": {"bytes": png(k, 8), "path": "x.png"}, "emotion": f"c{k}"} for k in range(num)]
        table = pa.Table.from_pylist(rows, schema)
        pq.write_table(table, source / "data" / f"{split}-00000-of-00001.parquet")
    listing = read(source)
    assert list(listing.class_names) == ["c0", "c1", "c2"]
    assert labels(listing, "validation") == [("validation/0000000", "c0"), ("validation/0000001", "c1")]
    alone = read(source / "data" / "train-00000-of-00001.parquet", class_names="c1,c2")
    assert labels(alone, "train") == [("train/0000001", "c1"), ("train/0000002", "c2")]
    assert reasons(alone) == {"label 'c0' is not a class": 1}


def test_imagefolder_with_a_broken_image(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        f"{split}/{name}/{k}.png": png(k, 8)
        for split in ("train", "test")
        for name in ("happy", "sad")
        for k in range(2)
    }
    files["train/sad/1.png"] = b"broken"
    dataset = import_dataset("huggingface", write_files(tmp_path / "s", files), out=tmp_path / "out")
    assert dataset.class_names == ("happy", "sad")
    assert dataset.splits == {"train": 3, "test": 4}
    assert dataset.manifest["skipped"] == {"unreadable image (UnidentifiedImageError)": 1}


def test_bare_numbers_and_images_that_are_not_there(tmp_path: Path) -> None:
    outside = write_files(tmp_path, {"secret.png": png(0, 8)}) / "secret.png"
    records = [{"bytes": png(0, 8), "path": None}, None, {"bytes": None, "path": str(outside)}]
    features = {"image": datasets.Image(decode=False), "label": datasets.Value("int64")}
    rows = {"image": records, "label": [5, 3, 3]}
    source = saved(tmp_path / "s", {**rows, "image": [*records[:2], records[0]]}, features)
    assert list(read(source).class_names) == ["3", "5"]
    listing = read(source)
    assert [e.label for e in listing.entries] == [1, 0, 0]
    with pytest.raises(Exception, match=r"^image is missing$"):
        listing.read_bytes(listing.entries[1])
    pq.write_table(pa.Table.from_pydict(rows), tmp_path / "x.parquet")
    listing = read(tmp_path / "x.parquet")
    with pytest.raises(Exception, match=r"^path leaves the source$"):
        listing.read_bytes(listing.entries[2])
    named = read(source, class_names=["a", "b", "c", "d"])
    assert labels(named, "train") == [("train/0000001", "d"), ("train/0000002", "d")]
    assert reasons(named) == {"label '5' is not a class": 1}


def test_other_splits_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = {"image": [{"bytes": png(0, 8), "path": None}] * 2, "label": ["x", "y"]}
    part = datasets.Dataset.from_dict(
        rows, features=datasets.Features({"image": IMAGE, "label": datasets.Value("string")})
    )
    datasets.DatasetDict({"train": part, "unsupervised": part}).save_to_disk(tmp_path / "s")
    assert reasons(read(tmp_path / "s")) == {"unknown split 'unsupervised'": 2}


def test_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"label": [0.5, 1.5], "class": ["a", "b"], "text": ["x", "y"]}
    source = saved(
        tmp_path / "s",
        both,
        {
            "image": IMAGE,
            "label": datasets.Value("float32"),
            "class": datasets.Value("string"),
            "text": datasets.Value("string"),
        },
    )
    with pytest.raises(SelfcureError, match=r"several columns \(label, class\) of labels; .*label_column$"):
        read(source)
    with pytest.raises(SelfcureError, match="the labels are neither words nor whole numbers"):
        read(source, label_column="label")
    with pytest.raises(SelfcureError, match="unknown column 'lable'; did you mean 'label'"):
        read(source, label_column="lable")
    with pytest.raises(SelfcureError, match=r"column 'text' does not hold images|no usable image"):
        import_dataset("huggingface", source, out=tmp_path / "o", label_column="class", image_column="text")
    no_image = tmp_path / "n"
    datasets.Dataset.from_dict({"label": [1]}).save_to_disk(no_image)
    with pytest.raises(
        SelfcureError, match="has no column of images; its columns are label; choose one with"
    ):
        read(no_image)
    with pytest.raises(
        SelfcureError, match=r"^nobody/nothing-here cannot be loaded as a Hugging Face"
    ) as caught:
        import_dataset("huggingface", "nobody/nothing-here", out=tmp_path / "o")
    assert "\n" not in str(caught.value)
    with pytest.raises(SelfcureError, match="cannot be loaded as a Hugging Face dataset"):
        read(write_files(tmp_path / "t", {"notes.bin": "x"}))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SelfcureError, match="pip install datasets"):
        read(source)
