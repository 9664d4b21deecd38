"""RAF-DB in the layout of its download."""

from pathlib import Path

import pytest
from sources import contents, jpeg, labels, reasons, write_files, zip_files

from selfcure.data.importing import import_dataset
from selfcure.data.readers.rafdb import read
from selfcure.errors import SelfcureError

NUMBERS = {
    "train_00001.jpg": 5,
    "train_00002.jpg": 1,
    "train_00003.jpg": 2,
    "train_00004.jpg": 3,
    "train_00005.jpg": 4,
    "test_0001.jpg": 6,
    "test_0002.jpg": 7,
}


@pytest.fixture
def rafdb(tmp_path: Path) -> Path:
    rows = "".join(f"{name} {number}\n" for name, number in NUMBERS.items())
    files: dict[str, bytes | str] = {"EmoLabel/list_patition_label.txt": rows}
    for name in NUMBERS:
        files[f"Image/aligned/{name.replace('.jpg', '_aligned.jpg')}"] = jpeg(10, 10)
        files[f"Image/original/{name}"] = jpeg(30, 20)
    files["Annotation/auto/train_00001_auto_locate.txt"] = "1 2\n"
    return write_files(tmp_path / "basic", files)


def test_aligned_images_are_the_default(rafdb: Path) -> None:
    listing = read(rafdb)
    assert labels(listing, "train") == [
        ("train_00001.jpg", "sadness"),
        ("train_00002.jpg", "surprise"),
        ("train_00003.jpg", "fear"),
        ("train_00004.jpg", "disgust"),
        ("train_00005.jpg", "happiness"),
    ]
    assert labels(listing, "test") == [("test_0001.jpg", "anger"), ("test_0002.jpg", "neutral")]
    assert listing.entries[0].path == "Image/aligned/train_00001_aligned.jpg"
    assert listing.skipped == []


def test_original_images(rafdb: Path, tmp_path: Path) -> None:
    dataset = import_dataset("rafdb", rafdb, out=tmp_path / "out", images="original")
    assert dataset.splits == {"train": 5, "test": 2}
    assert dataset.manifest["options"] == {"images": "original"}
    split = dataset.split("train")
    assert split.paths[0] == "Image/original/train_00001.jpg"
    assert split.column("image")[0]["bytes"].as_py() == jpeg(30, 20)


@pytest.mark.parametrize("top", ["", "RAF/basic/"])
def test_zip_and_folder_give_the_same_dataset(rafdb: Path, tmp_path: Path, top: str) -> None:
    archive = zip_files(tmp_path / "basic.zip", contents(rafdb), top)
    a = import_dataset("rafdb", rafdb, out=tmp_path / "a")
    b = import_dataset("rafdb", archive, out=tmp_path / "b")
    assert a.split("train").fingerprint() == b.split("train").fingerprint()
    assert a.split("test").fingerprint() == b.split("test").fingerprint()


def test_broken_missing_and_extra_files_are_counted(rafdb: Path, tmp_path: Path) -> None:
    aligned = rafdb / "Image" / "aligned"
    (aligned / "train_00001_aligned.jpg").write_bytes(jpeg(10, 10)[:100])
    (aligned / "train_00002_aligned.jpg").unlink()
    (aligned / "train_00099_aligned.jpg").write_bytes(jpeg(10, 10))
    (aligned / "Thumbs.db").write_text("x")
    (aligned / ".DS_Store").write_text("x")
    with open(rafdb / "EmoLabel" / "list_patition_label.txt", "a") as file:
        file.write(
            "\ntrain_00004.jpg 3\ntrain_00006.jpg 8\ntrain_00007.jpg\nfoo_1.jpg 3\n../../x/train_1.jpg 3\n"
        )
    dataset = import_dataset("rafdb", rafdb, out=tmp_path / "out")
    assert dataset.splits == {"train": 3, "test": 2}
    assert dataset.manifest["skipped"] == {
        "hidden file": 1,
        "image is missing": 1,
        "label '8' is not 1–7": 1,
        "line is not a name and a number": 1,
        "name does not begin with train_ or test_": 2,
        "image without a label": 1,
        "not an image": 1,
        "id occurs again": 1,
        "unreadable image (OSError)": 1,
    }
    listed = (tmp_path / "out" / "skipped.csv").read_text()
    assert "EmoLabel/list_patition_label.txt line 2,image is missing\n" in listed
    assert "Image/aligned/train_00099_aligned.jpg,image without a label\n" in listed


def test_errors(rafdb: Path, tmp_path: Path) -> None:
    with pytest.raises(SelfcureError, match="unknown images 'align'; did you mean 'aligned'"):
        read(rafdb, images="align")
    with pytest.raises(
        SelfcureError, match=r"Image is not RAF-DB: it has no EmoLabel/list_patition_label.txt$"
    ):
        read(rafdb / "Image")
    twice = write_files(
        tmp_path / "twice", {f"{x}/EmoLabel/list_patition_label.txt": "train_1.jpg 1" for x in ("a", "b")}
    )
    with pytest.raises(SelfcureError, match=r"in several places \(a/, b/\); name one of these"):
        read(twice)
    packed = write_files(
        tmp_path / "packed",
        {"EmoLabel/list_patition_label.txt": "train_1.jpg 1", "Image/aligned.zip": "x"},
    )
    with pytest.raises(
        SelfcureError, match=r"packed has no images in Image/aligned/; unpack Image/aligned.zip"
    ):
        read(packed)
    (rafdb / "EmoLabel" / "list_patition_label.txt").write_bytes(b"train_00001.jpg \xff\n")
    with pytest.raises(SelfcureError, match=r"list_patition_label.txt in .* is not UTF-8 text"):
        read(rafdb)


def test_nothing_is_left_out_of_a_whole_tree(rafdb: Path) -> None:
    assert reasons(read(rafdb, images="original")) == {}
