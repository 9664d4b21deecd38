"""JAFFE, Oulu-CASIA and SFEW in the layouts of their downloads."""

import io
from pathlib import Path

import pytest
from PIL import Image
from sources import contents, labels, png, reasons, write_files, zip_files

from selfcure.data.importing import import_dataset
from selfcure.data.readers import jaffe, oulu, sfew
from selfcure.errors import SelfcureError


def tiff() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (16, 16), 90).save(buffer, "tiff")
    return buffer.getvalue()


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    files: dict[str, bytes | str] = {"README_FIRST.txt": "x"}
    for person in ("KA", "KL", "YM"):
        files |= {f"jaffe/{person}.{code}1.{k}.tiff": tiff() for k, code in enumerate(jaffe.CODES, 39)}
    return write_files(tmp_path / "jaffedbase", files)


def test_jaffe(faces: Path, tmp_path: Path) -> None:
    listing = jaffe.read(faces, validation_share=0)
    assert labels(listing, "train")[:7] == [
        ("KA.AN1.39.tiff", "anger"),
        ("KA.DI1.40.tiff", "disgust"),
        ("KA.FE1.41.tiff", "fear"),
        ("KA.HA1.42.tiff", "happiness"),
        ("KA.NE1.43.tiff", "neutral"),
        ("KA.SA1.44.tiff", "sadness"),
        ("KA.SU1.45.tiff", "surprise"),
    ]
    assert reasons(listing) == {"not an image": 1}
    archive = zip_files(tmp_path / "jaffe.zip", contents(faces))
    dataset = import_dataset("jaffe", archive, out=tmp_path / "out", validation_share=0.3)
    assert dataset.splits == {"train": 14, "validation": 7}
    assert len(set(dataset.split("validation").column("subject").to_pylist())) == 1


def test_jaffe_with_broken_and_extra_files(faces: Path, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "jaffe/KA.AN2.1.tiff": b"II*\0",
        "jaffe/KA.XX1.1.tiff": tiff(),
        "jaffe/copy of KA.AN1.39.tiff": tiff(),
        "more/KA.AN1.39.tiff": tiff(),
        ".DS_Store": "x",
    }
    dataset = import_dataset("jaffe", write_files(faces, files), out=tmp_path / "out", validation_share=0)
    assert dataset.splits == {"train": 21}
    skipped = dataset.manifest["skipped"]
    assert sum(n for reason, n in skipped.items() if reason.startswith("unreadable image")) == 1
    assert {reason: n for reason, n in skipped.items() if not reason.startswith("unreadable image")} == {
        "not an image": 1,
        "hidden file": 1,
        "name is not like KA.AN1.39.tiff": 2,
        "id occurs again": 1,
    }
    with pytest.raises(SelfcureError, match=r"is not JAFFE: it has no image with a name like KA.AN1"):
        jaffe.read(write_files(tmp_path / "o", {"1.png": png(0)}))


@pytest.fixture
def sequences(tmp_path: Path) -> Path:
    folders = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
    files: dict[str, bytes | str] = {
        f"VL/Strong/P{p:03d}/{folder}/{k:03d}.jpeg": png(k, 8)
        for p in (1, 2, 3, 4)
        for folder in folders
        for k in range(6)
    }
    files |= {
        f"{top}/P001/Anger/{k:03d}.jpeg": png(k, 8) for top in ("VL/Weak", "NI/Strong") for k in range(6)
    }
    return write_files(tmp_path / "OriginalImg", files)


def test_oulu(sequences: Path, tmp_path: Path) -> None:
    listing = oulu.read(sequences, validation_share=0)
    assert labels(listing, "train")[:4] == [
        ("VL/Strong/P001/Anger/000.jpeg", "neutral"),
        ("VL/Strong/P001/Anger/003.jpeg", "anger"),
        ("VL/Strong/P001/Anger/004.jpeg", "anger"),
        ("VL/Strong/P001/Anger/005.jpeg", "anger"),
    ]
    assert len(listing.entries) == 4 * 6 * 4
    assert reasons(listing) == {"frame that is neither neutral nor peak": 48, "not in VL/Strong": 12}
    without = oulu.read(sequences, camera="NI", neutral=False, validation_share=0)
    assert labels(without, "train") == [(f"NI/Strong/P001/Anger/{k:03d}.jpeg", "anger") for k in (3, 4, 5)]
    assert reasons(without) == {"not a peak frame": 3, "not in NI/Strong": 150}
    archive = zip_files(tmp_path / "o.zip", contents(sequences), "B_OriginalImg/")
    dataset = import_dataset("oulu", archive, out=tmp_path / "out", validation_share=0.25)
    assert dataset.splits == {"train": 72, "validation": 24}


def test_oulu_with_short_broken_and_extra_files(sequences: Path, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "VL/Strong/P005/Fear/000.jpeg": png(0, 8),
        "VL/Strong/P005/Fear/001.jpeg": png(0, 8)[:50],
        "VL/Strong/P005/Fear/notes.txt": "x",
        "VL/Strong/P005/Awe/000.jpeg": png(0, 8),
        "VL/Strong/loose.jpeg": png(0, 8),
        "VL/Strong/P005/.hidden.jpeg": png(0, 8),
        "readme.txt": "x",
    }
    dataset = import_dataset("oulu", write_files(sequences, files), out=tmp_path / "out", validation_share=0)
    assert dataset.splits == {"train": 97}
    assert dataset.manifest["skipped"] == {
        "frame that is neither neutral nor peak": 48,
        "not in VL/Strong": 12,
        "hidden file": 1,
        "not an image": 1,
        "not in the folder of an expression": 1,
        "not in the folder of a sequence": 1,
        "unreadable image (OSError)": 1,
    }


def test_oulu_errors(sequences: Path, tmp_path: Path) -> None:
    with pytest.raises(SelfcureError, match="unknown camera 'VIS'"):
        oulu.read(sequences, camera="VIS")
    with pytest.raises(SelfcureError, match="unknown light 'strong'; did you mean 'Strong'"):
        oulu.read(sequences, light="strong")
    with pytest.raises(SelfcureError, match=r"is not Oulu-CASIA: it has no VL/Dark$"):
        oulu.read(sequences, light="Dark")
    with pytest.raises(SelfcureError, match="is not Oulu-CASIA: VL/Strong/ has no P001/Anger"):
        oulu.read(write_files(tmp_path / "o", {"VL/Strong/1.png": png(0)}))


@pytest.fixture
def films(tmp_path: Path) -> Path:
    files: dict[str, bytes | str] = {}
    for folder in sfew.FOLDERS:
        for split in ("Train", "Val"):
            files[f"{split}/{folder}/Film_000100000_0000000{len(folder)}.png"] = png(0, 8)
    return write_files(tmp_path / "SFEW", files)


def test_sfew_original(films: Path, tmp_path: Path) -> None:
    listing = sfew.read(films)
    assert listing.options == {"images": "original"}
    assert labels(listing, "train") == [
        (f"{folder}/Film_000100000_0000000{len(folder)}.png", name)
        for folder, name in zip(sfew.FOLDERS, sfew.CLASS_NAMES, strict=True)
    ]
    assert len(labels(listing, "validation")) == 7
    archive = zip_files(tmp_path / "s.zip", contents(films), "SFEW 2.0/")
    assert sfew.read(archive).entries[0].id == listing.entries[0].id


@pytest.mark.parametrize(
    "place", ["Train_Aligned_Faces", "Train/Train_Aligned_Faces", "Train/Train_Aligned_Faces_new"]
)
def test_sfew_aligned_comes_first(films: Path, place: str) -> None:
    write_files(films, {f"{place}/Happy/Film_1.png": png(0, 8)})
    listing = sfew.read(films)
    assert labels(listing, "train") == [("Happy/Film_1.png", "happiness")]
    assert reasons(listing) == {"not one of the aligned images": 14}
    assert len(sfew.read(films, images="original").entries) == 14


def test_sfew_with_broken_and_extra_files(films: Path, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "Train/Happy/broken.png": png(0, 8)[:50],
        "Train/Happy/Thumbs.db": "x",
        "Train/Confused/1.png": png(0, 8),
        "Test/1.png": png(0, 8),
        "Test/.x.png": "x",
        "labels.csv": "x",
    }
    dataset = import_dataset("sfew", write_files(films, files), out=tmp_path / "out")
    assert dataset.splits == {"train": 7, "validation": 7}
    assert dataset.manifest["skipped"] == {
        "hidden file": 1,
        "not an image": 1,
        "not in the folder of an expression": 2,
        "unreadable image (OSError)": 1,
    }
    with pytest.raises(SelfcureError, match="is not SFEW: it has no image in Train_Aligned_Faces/Angry"):
        sfew.read(films, images="aligned")
    with pytest.raises(SelfcureError, match="unknown images 'faces'"):
        sfew.read(films, images="faces")
    with pytest.raises(SelfcureError, match="is not SFEW: it has no image in Train/Angry"):
        sfew.read(write_files(tmp_path / "o", {"Angry/1.png": png(0)}))
