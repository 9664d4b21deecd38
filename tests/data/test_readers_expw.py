"""ExpW in the layout of its download."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sources import contents, jpeg, labels, write_files, zip_files

from selfcure.data.importing import import_dataset
from selfcure.data.readers.expw import CLASS_NAMES, read
from selfcure.errors import SelfcureError


@pytest.fixture
def expw(tmp_path: Path) -> Path:
    """Seven photographs of 100 × 80 with one face of each class, the first with a second face."""
    rows = [f"angry_man_{k}.jpg 0 10 20 50 60 22.93 {k}\n" for k in range(7)]
    rows.insert(1, "angry_man_0.jpg 1 0 60 95 20 30.1 3\n")
    files: dict[str, bytes | str] = {"label/label.lst": "".join(rows), "label/readme.txt": "x"}
    files |= {f"image/origin/angry_man_{k}.jpg": jpeg(100, 80) for k in range(7)}
    return write_files(tmp_path / "ExpW", files)


def test_faces_are_cut_out(expw: Path, tmp_path: Path) -> None:
    listing = read(expw)
    assert labels(listing, "train") == [
        ("angry_man_0.jpg-0", "anger"),
        ("angry_man_0.jpg-1", "happiness"),
        *((f"angry_man_{k}.jpg-0", CLASS_NAMES[k]) for k in range(1, 7)),
    ]
    dataset = import_dataset("expw", expw, out=tmp_path / "out")
    assert dataset.splits == {"train": 8}
    assert dataset.manifest["skipped"] == {}
    train = dataset.split("train")
    faces = [Image.open(io.BytesIO(image["bytes"].as_py())) for image in train.column("image")]
    assert [(face.size, face.format) for face in faces[:2]] == [((30, 50), "JPEG"), ((35, 20), "JPEG")]
    assert np.abs(np.asarray(faces[0]).astype(int) - [120, 90, 60]).max() < 8
    row = {name: train.column(name)[1].as_py() for name in train.extra_columns}
    assert row.pop("box_confidence") == pytest.approx(30.1)
    assert row == {"face": 1, "box_top": 0, "box_left": 60, "box_right": 95, "box_bottom": 20}


@pytest.mark.parametrize("top", ["", "data/"])
def test_zip_and_images_without_origin(expw: Path, tmp_path: Path, top: str) -> None:
    files = {name.replace("image/origin/", "image/"): data for name, data in contents(expw).items()}
    archive = zip_files(tmp_path / "a.zip", files, top)
    a = import_dataset("expw", expw, out=tmp_path / "a")
    b = import_dataset("expw", archive, out=tmp_path / "b")
    assert a.split("train").fingerprint() == b.split("train").fingerprint()


def test_broken_missing_and_extra_files_are_counted(expw: Path, tmp_path: Path) -> None:
    folder = expw / "image" / "origin"
    (folder / "angry_man_0.jpg").write_bytes(jpeg(100, 80)[:200])
    (folder / "angry_man_1.jpg").unlink()
    write_files(folder, {"more.jpg": jpeg(5, 5), "Thumbs.db": "x", ".DS_Store": "x"})
    with open(expw / "label" / "label.lst", "a") as file:
        file.write("\nangry_man_2.jpg 0 10 20 50 60 22.93 2\nangry_man_2.jpg 1 10 20 50 60 22.93 7\n")
        file.write("angry_man_2.jpg 2 90 20 50 95 22.93 2\nangry_man_2.jpg 3 a 20 50 95 22.93 2\n")
        file.write("angry_man_2.jpg 4 10 20\n../../x.jpg 0 10 20 50 60 22.93 2\n")
    dataset = import_dataset("expw", expw, out=tmp_path / "out")
    assert dataset.splits == {"train": 5}
    assert dataset.manifest["skipped"] == {
        "hidden file": 1,
        "image is missing": 1,
        "label '7' is not 0–6": 1,
        "face or box is not in whole numbers": 1,
        "line has not 8 fields": 1,
        "path leaves the source": 1,
        "image without a label": 1,
        "not an image": 1,
        "id occurs again": 1,
        "unreadable image (OSError)": 2,
        "face box is outside the image": 1,
    }
    assert "label/label.lst line 2,image is missing" not in (tmp_path / "out" / "skipped.csv").read_text()
    assert "label/label.lst line 3,image is missing\n" in (tmp_path / "out" / "skipped.csv").read_text()


def test_errors(expw: Path, tmp_path: Path) -> None:
    with pytest.raises(SelfcureError, match=r"image is not ExpW: it has no label/label.lst$"):
        read(expw / "image")
    packed = write_files(
        tmp_path / "packed", {"label/label.lst": "a.jpg 0 1 1 2 2 1 0\n", "image/origin.7z.001": "x"}
    )
    with pytest.raises(SelfcureError, match="packed has no images in image/origin; unpack the parts"):
        read(packed)
