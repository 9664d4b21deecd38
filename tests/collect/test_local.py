"""Videos from folders and tables."""

import os
import shutil

import pytest

from selfcure.collect.local import add_local
from selfcure.collect.project import open_project
from selfcure.errors import SelfcureError


def votes(folder) -> dict[str, list[str]]:
    with open_project(folder, read_only=True) as project:
        rows = project.ledger.rows(
            "SELECT v.url, o.class FROM votes o JOIN videos v ON v.id = o.video ORDER BY v.url, o.class"
        )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["url"].rsplit("/", 1)[1], []).append(row["class"])
    return found


def add(folder, source):
    with open_project(folder) as project:
        return add_local(project, source)


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "source"
    for name in ("happy/a.mp4", "Sad/deep/b.webm", "sad/c.mp4", "calm/d.mp4", "e.mp4", "happy/notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_folders_are_classes_by_any_word_for_them(project, source):
    folder = project()
    facts = add(folder, source)
    assert facts == {
        "num_files": 3,
        "num_new": 3,
        "num_known": 0,
        "num_same": 0,
        "left_out": {
            "label 'calm' is none of the plan's classes": 1,
            "not in a class folder": 1,
            "not a video by its name": 1,
        },
    }
    assert votes(folder) == {"a.mp4": ["happiness"], "b.webm": ["sadness"], "c.mp4": ["sadness"]}
    names = sorted(f.name for f in (folder / "videos").iterdir())
    assert [len(name.split(".")[0]) for name in names] == [16, 16, 16]
    assert {name.split(".")[1] for name in names} == {"mp4", "webm"}


def test_taken_again_nothing_is_new(project, source):
    folder = project()
    add(folder, source)
    before = {f.name: f.stat().st_mtime_ns for f in (folder / "videos").iterdir()}
    assert add(folder, source)["num_known"] == 3
    assert {f.name: f.stat().st_mtime_ns for f in (folder / "videos").iterdir()} == before
    os.remove(folder / "videos" / min(before))
    add(folder, source)
    assert sorted(f.name for f in (folder / "videos").iterdir()) == sorted(before)


def test_the_same_content_in_two_classes_is_one_video_with_both_votes(project, source):
    shutil.copy(source / "happy" / "a.mp4", source / "sad" / "again.mp4")
    folder = project()
    facts = add(folder, source)
    assert (facts["num_new"], facts["num_same"]) == (3, 1)
    assert votes(folder)["a.mp4"] == ["happiness", "sadness"]


def test_a_table_with_several_votes_and_where_it_is_from(project, source):
    table = source / "list.csv"
    table.write_text(
        "path,label,license,uploader\nhappy/a.mp4,happy,CC BY,somebody\nhappy/a.mp4,sad,,\n"
        "nowhere.mp4,sad,,\n../source/sad/c.mp4,,,\n"
    )
    folder = project()
    facts = add(folder, table)
    assert facts["left_out"] == {"file is missing": 1, "without a label": 1}
    assert votes(folder) == {"a.mp4": ["happiness", "sadness"]}
    with open_project(folder) as opened:
        row = opened.ledger.rows("SELECT license, uploader FROM videos")[0]
    assert row == {"license": "CC BY", "uploader": "somebody"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "does not exist"),
        ("source/happy/notes.txt", "must be a folder with a folder for each class, or a table"),
        ("source/calm", "no video for the classes happiness, sadness in .*: 1 × not in a class folder"),
        ("bad.csv", "must have a column 'path' and one 'label'"),
    ],
)
def test_mistakes(project, source, tmp_path, name, message):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    folder = project()
    with pytest.raises(SelfcureError, match=message):
        add(folder, tmp_path / name)
