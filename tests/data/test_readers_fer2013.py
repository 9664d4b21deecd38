"""FER2013: the Kaggle CSV of pixels."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfcure.data.importing import import_dataset
from selfcure.data.readers.fer2013 import CLASS_NAMES, read
from selfcure.errors import SelfcureError


def pixels(seed: int, num: int = 48 * 48) -> str:
    return " ".join(map(str, np.random.default_rng(seed).integers(0, 256, num)))


def write(path: Path, rows: list[str], header: str = "emotion,pixels,Usage") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_rows_become_images(tmp_path: Path) -> None:
    rows = [
        f"{k},{pixels(k)},{use}"
        for k, use in enumerate(["Training", "Training", "PublicTest", "PrivateTest"])
    ]
    source = write(tmp_path / "fer2013.csv", rows)
    dataset = import_dataset("fer2013", source, out=tmp_path / "out")
    assert (
        dataset.class_names
        == CLASS_NAMES
        == (
            "anger",
            "disgust",
            "fear",
            "happiness",
            "sadness",
            "surprise",
            "neutral",
        )
    )
    assert dataset.splits == {"train": 2, "validation": 1, "test": 1}
    test = dataset.split("test")
    assert (test.ids[0], test.labels[0], test.true_labels[0]) == ("fer2013-00003", 3, -1)
    image = Image.open(io.BytesIO(test.column("image")[0]["bytes"].as_py()))
    assert image.format == "PNG"
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image).ravel(), np.array(pixels(3).split(), dtype=np.uint8))


def test_malformed_rows_are_listed(tmp_path: Path) -> None:
    good = pixels(0)
    rows = [
        f"0,{good},Training",
        f"7,{good},Training",
        f",{good},Training",
        f"1,{good},Elsewhere",
        f"1,{good}",
        f"1,{pixels(1, 2303)},Training",
        f"1,{good.replace(good.split()[0], '256', 1)},Training",
        f"1,{good.replace(good.split()[0], 'x', 1)},Training",
        f"1,{good.replace(good.split()[0], '9' * 30, 1)},Training",
        "1,,Training",
        "",
        f'2,"{good}",Training',
    ]
    dataset = import_dataset("fer2013", write(tmp_path / "fer2013.csv", rows), out=tmp_path / "out")
    assert dataset.split("train").ids.tolist() == ["fer2013-00000", "fer2013-00011"]
    assert dataset.manifest["skipped"] == {
        "pixels are not 48 × 48 numbers from 0 to 255": 5,
        "emotion '7' is not 0–6": 1,
        "emotion '' is not 0–6": 1,
        "unknown split 'Elsewhere'": 1,
        "row has not 3 fields": 1,
    }
    assert "fer2013.csv line 6,row has not 3 fields" in (tmp_path / "out" / "skipped.csv").read_text()


def test_other_orders_and_no_usage(tmp_path: Path) -> None:
    icml = write(tmp_path / "icml.csv", [f"5,PrivateTest,{pixels(0)}"], "emotion, Usage, pixels")
    assert [(e.split, e.label) for e in read(icml).entries] == [("test", 5)]
    train = write(tmp_path / "train.csv", [f"5,{pixels(0)}"], "\ufeffemotion,pixels")
    assert [(e.split, e.label) for e in read(train).entries] == [("train", 5)]


def test_folder_with_the_csv(tmp_path: Path) -> None:
    write(tmp_path / "fer2013.csv", [f"5,{pixels(0)},Training"])
    assert len(read(tmp_path).entries) == 1


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(SelfcureError, match=r"is not FER2013: there is no fer2013.csv in it"):
        read(tmp_path)
    with pytest.raises(SelfcureError, match=r"is not FER2013: its first line .* missing: pixels"):
        read(write(tmp_path / "x.csv", [], "emotion,path"))
    (tmp_path / "photo.jpg").write_bytes(bytes(range(256)) * 1000)
    with pytest.raises(SelfcureError, match="missing: emotion, pixels"):
        read(tmp_path / "photo.jpg")
    with pytest.raises(SelfcureError, match=r"no usable image in .*: nothing was found"):
        import_dataset("fer2013", write(tmp_path / "empty.csv", []), out=tmp_path / "out")
    with pytest.raises(SelfcureError, match="1 × pixels are not 48"):
        import_dataset("fer2013", write(tmp_path / "bad.csv", ["0,1 2,Training"]), out=tmp_path / "out")
    assert not list(tmp_path.glob("out*"))
