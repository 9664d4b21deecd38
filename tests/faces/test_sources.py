"""What a source turns out to hold: which photographs, of which splits, with which labels."""

import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from faces.video_files import write_video
from selfcure.data.folder_writer import Skip
from selfcure.errors import SelfcureError
from selfcure.faces.sources import SEGMENT, open_source, read_bytes


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def labelled(source):
    return {
        item.id: (item.split, None if item.label is None else source.class_names[item.label])
        for item in source.items
    }


def test_class_folders(tmp_path):
    found = open_source(
        touch(tmp_path, "happy/1.jpg", "happy/deep/2.png", "sad/1.jpg", "sad/notes.txt"), fps=1
    )
    assert labelled(found) == {
        "happy/1.jpg": ("train", "happy"),
        "happy/deep/2.png": ("train", "happy"),
        "sad/1.jpg": ("train", "sad"),
    }
    assert found.labels_from == "folder names"
    assert found.skipped == [Skip("sad/notes.txt", "not an image or video")]


def test_split_folders_and_a_folder_around(tmp_path):
    found = open_source(touch(tmp_path, "set/train/a/1.jpg", "set/val/b/2.jpg"), fps=1)
    assert labelled(found) == {"train/a/1.jpg": ("train", "a"), "val/b/2.jpg": ("validation", "b")}
    assert [item.path for item in found.items] == ["set/train/a/1.jpg", "set/val/b/2.jpg"]


@pytest.mark.parametrize(
    "names", [("1.jpg", "2.jpg"), ("a/1.jpg", "b/2.jpg", "3.jpg"), ("a/1.jpg", "a/2.jpg")]
)
def test_other_trees_have_no_labels_of_themselves(tmp_path, names):
    found = open_source(touch(tmp_path, *names), fps=1)
    assert {label for _, label in labelled(found).values()} == {None}
    assert [item.path for item in found.items] == sorted(names)
    assert (found.labels_from, found.class_names, found.skipped) == (None, (), [])


def test_labels_that_are_asked_for_or_not_wanted(tmp_path):
    touch(tmp_path, "a/1.jpg", "b/2.jpg", "3.jpg")
    found = open_source(tmp_path, fps=1, labels="folders")
    assert labelled(found) == {"a/1.jpg": ("train", "a"), "b/2.jpg": ("train", "b")}
    assert found.skipped == [Skip("3.jpg", "not in a class folder")]
    (tmp_path / "3.jpg").unlink()
    assert labelled(open_source(tmp_path, fps=1, labels="none"))["a/1.jpg"] == ("train", None)
    assert labelled(open_source(tmp_path, fps=1))["a/1.jpg"] == ("train", "a")


def test_table(tmp_path):
    touch(tmp_path, "x/1.jpg", "2.jpg", "3.jpg")
    (tmp_path / "list.csv").write_text(
        "path,label,split,age,score\nx/1.jpg,happy,train,30,1\n2.jpg,sad,val,40,2\n3.jpg,,train,50,3\n../4.jpg,sad,train,5,4\n"
    )
    found = open_source(tmp_path / "list.csv", fps=1)
    assert labelled(found) == {"x/1.jpg": ("train", "happy"), "2.jpg": ("validation", "sad")}
    assert [dict(item.extra) for item in found.items] == [
        {"age": 30, "source_score": 1},
        {"age": 40, "source_score": 2},
    ]
    assert [f.name for f in found.extra_fields] == ["age", "source_score"]
    assert found.skipped == [
        Skip("3.jpg", "label is blank"),
        Skip("../4.jpg", "path leaves the table's folder"),
    ]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_table_without_labels(tmp_path, suffix):
    touch(tmp_path, "1.jpg", "2.jpg")
    if suffix == "csv":
        (tmp_path / "list.csv").write_text("file,age\n1.jpg,3\n2.jpg,4\nnowhere.jpg,5\n")
    else:
        rows = {"file": ["1.jpg", "2.jpg", "nowhere.jpg"], "age": [3, 4, 5]}
        pq.write_table(pa.table(rows), tmp_path / "list.parquet")
    found = open_source(tmp_path / f"list.{suffix}", fps=1)
    assert labelled(found) == {"1.jpg": ("train", None), "2.jpg": ("train", None)}
    assert [dict(item.extra) for item in found.items] == [{"age": 3}, {"age": 4}]
    assert (found.labels_from, found.skipped) == (None, [Skip("nowhere.jpg", "file is missing")])


def test_labels_of_a_table_can_be_left(tmp_path):
    touch(tmp_path, "1.jpg")
    (tmp_path / "list.csv").write_text("path,label\n1.jpg,happy\n")
    found = open_source(tmp_path / "list.csv", fps=1, labels="none")
    assert labelled(found) == {"1.jpg": ("train", None)}
    assert dict(found.items[0].extra) == {"source_label": "happy"}


def test_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a/1.jpg", "b/2.jpg", "b/3.mp4", "../4.jpg"):
            archive.writestr(name, name)
    found = open_source(tmp_path / "a.zip", fps=1)
    assert labelled(found) == {"a/1.jpg": ("train", "a"), "b/2.jpg": ("train", "b")}
    assert [s.reason for s in found.skipped] == ["path leaves the source", "video in a zip"]
    assert read_bytes(found.root, "b/2.jpg") == b"b/2.jpg"


def test_one_photograph(tmp_path):
    found = open_source(touch(tmp_path, "1.jpg", "2.jpg") / "2.jpg", fps=1)
    assert [item.path for item in found.items] == ["2.jpg"]


def test_videos_are_cut_into_stretches(tmp_path, small):
    folder = tmp_path / "clips"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
    write_video(folder / "a" / "long.mp4", [small] * 60, fps=10)
    (folder / "b" / "broken.mp4").write_text("no video")
    touch(folder, "b/photo.jpg")
    found = open_source(folder, fps=200)
    assert [(item.path, item.frames) for item in found.items] == [
        ("a/long.mp4", (0, SEGMENT)),
        ("a/long.mp4", (SEGMENT, 2 * SEGMENT)),
        ("a/long.mp4", (2 * SEGMENT, None)),
        ("b/photo.jpg", None),
    ]
    assert found.class_names == ["a", "b"]
    assert found.skipped == [Skip("b/broken.mp4", "not a readable video")]
    assert found.has_videos


@pytest.mark.parametrize(
    ("make", "source", "options", "message"),
    [
        ({}, "nowhere", {}, "source nowhere does not exist"),
        ({"d/a.txt": "x"}, "d", {}, r"d has no image or video in it \(1 other files\)"),
        ({"d/.hidden.jpg": "x"}, "d", {}, "d has no image or video in it"),
        ({"a.txt": "x"}, "a.txt", {}, "neither a folder nor a readable zip"),
        ({"l.csv": ""}, "l.csv", {}, "l.csv is empty"),
        ({"l.csv": "path\n"}, "l.csv", {}, "l.csv has no rows"),
        (
            {"l.csv": "foo,label\n1,2\n"},
            "l.csv",
            {},
            "l.csv has no column path .* its columns are foo, label",
        ),
        ({"l.csv": "foo\n1\n"}, "l.csv", {}, "l.csv has no column path"),
        ({"l.csv": "path\n1\n"}, "l.csv", {"label_column": "lab"}, "unknown column 'lab'"),
        ({"l.csv": "path\n1\n"}, "l.csv", {"labels": "folders"}, "l.csv is a table"),
        ({"1.jpg": "x"}, "1.jpg", {"labels": "folders"}, "1.jpg is one file"),
        ({"d/1.jpg": "x"}, "d", {"labels": "folders"}, "d is not a tree of class folders"),
        ({"d/1.jpg": "x"}, "d", {"labels": "folder"}, "did you mean 'folders'"),
        ({"d/1.jpg": "x"}, "d", {"path_column": "p"}, "are for tables, and d is none"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, make, source, options, message):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    for name, text in make.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    with pytest.raises(SelfcureError, match=message):
        open_source(Path(source), fps=1, **options)


def test_empty_folder(tmp_path):
    with pytest.raises(SelfcureError, match="no image or video in it"):
        open_source(tmp_path, fps=1)


def test_images_are_not_opened_to_list_them(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert len(open_source(touch(tmp_path, "b.png"), fps=1).items) == 2
