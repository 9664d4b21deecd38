"""A folder per class, with and without split folders."""

from pathlib import Path

import pytest
from sources import contents, png, write_files, zip_files

from selfcure.data.importing import import_dataset
from selfcure.data.readers.class_folders import read
from selfcure.errors import SelfcureError


def found(source: Path) -> list[tuple[str, str, str]]:
    listing = read(source)
    return [(e.split, listing.class_names[e.label], e.id) for e in listing.entries]


def test_without_splits_all_is_train_in_natural_order(tmp_path: Path) -> None:
    files = {f"{c}/img{i}.png": png(i, 4) for c in ("10", "2") for i in (10, 9)} | {"2/deep/a.JPG": b"x"}
    source = write_files(tmp_path / "s", files)
    assert found(source) == [
        ("train", "2", "2/deep/a.JPG"),
        ("train", "2", "2/img9.png"),
        ("train", "2", "2/img10.png"),
        ("train", "10", "10/img9.png"),
        ("train", "10", "10/img10.png"),
    ]
    assert list(read(source).class_names) == ["2", "10"]


def test_split_folders(tmp_path: Path) -> None:
    files = {
        "train/sad/1.png": png(0),
        "Val/sad/1.png": png(1),
        "test/happy/1.png": png(2),
        "valid/sad/2.png": png(3),
    }
    source = write_files(tmp_path / "s", {**files, "docs/pictures/x.png": png(4), "train/loose.png": png(5)})
    assert sorted(found(source)) == [
        ("test", "happy", "test/happy/1.png"),
        ("train", "sad", "train/sad/1.png"),
        ("validation", "sad", "Val/sad/1.png"),
        ("validation", "sad", "valid/sad/2.png"),
    ]
    assert {(s.path, s.reason) for s in read(source).skipped} == {
        ("docs/pictures/x.png", "not below a split folder"),
        ("train/loose.png", "not in a class folder"),
    }


def test_broken_and_other_files_are_counted(tmp_path: Path) -> None:
    files = {
        "sad/1.png": png(0),
        "sad/2.png": png(0)[:60],
        "sad/3.png": b"",
        "sad/4.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
        "sad/notes.txt": b"x",
        "sad/.hidden.png": png(1),
        ".git/x.png": png(1),
        "loose.png": png(2),
        "sad/5.eps": b"x",
    }
    dataset = import_dataset("folder", write_files(tmp_path / "s", files), out=tmp_path / "out")
    assert dataset.splits == {"train": 1}
    assert dataset.manifest["skipped"] == {
        "hidden file": 2,
        "not an image": 2,
        "not in a class folder": 1,
        "unreadable image (OSError)": 1,
        "unreadable image (UnidentifiedImageError)": 1,
        "EPS files are not read": 1,
    }
    assert dataset.manifest["num_read"] == 1
    assert dataset.manifest["num_skipped"] == 8


@pytest.mark.parametrize("top", ["", "RAF/"])
@pytest.mark.parametrize("below", ["", "train/"])
def test_zip_and_folder_give_the_same_dataset(classes, tmp_path: Path, top: str, below: str) -> None:
    files = {below + name: data for name, data in contents(classes()).items()}
    folder = write_files(tmp_path / "folder", files)
    archive = zip_files(tmp_path / "a.zip", files | {"__MACOSX/._x": b""}, top)
    a = import_dataset("folder", folder, out=tmp_path / "a")
    b = import_dataset("folder", archive, out=tmp_path / "b")
    assert a.class_names == b.class_names == ("anger", "fear", "happiness")
    assert a.split("train").fingerprint() == b.split("train").fingerprint()
    assert b.manifest["skipped"] == {"hidden file": 1}


def test_zip_members_that_point_outside_are_refused(tmp_path: Path) -> None:
    files = {
        name: png(0)
        for name in ("../sad/1.png", "/etc/sad/2.png", "C:/sad/3.png", "sad/../../4.png", "sad/5.png")
    }
    dataset = import_dataset("folder", zip_files(tmp_path / "a.zip", files), out=tmp_path / "out")
    assert dataset.split("train").ids.tolist() == ["sad/5.png"]
    assert dataset.manifest["skipped"] == {"path leaves the source": 4}


def test_a_link_to_a_folder_above_is_not_walked_forever(classes) -> None:
    source = classes()
    (source / "anger" / "loop").symlink_to(source)
    assert len(read(source).entries) == 9


def test_name_that_is_not_utf8(classes, tmp_path: Path) -> None:
    source = classes(1)
    (source / "anger" / "\udce9.png").write_bytes(png(0))
    dataset = import_dataset("folder", source, out=tmp_path / "out")
    assert dataset.manifest["skipped"] == {"name is not UTF-8": 1}


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(SelfcureError, match="is not a tree of class folders: it has no image in a folder"):
        read(write_files(tmp_path / "s", {"1.png": png(0), "sad/readme.txt": "x"}))
    write_files(tmp_path, {"x.zip": b"PK nonsense"})
    with pytest.raises(SelfcureError, match="is neither a folder nor a readable zip file"):
        read(tmp_path / "x.zip")
