"""``selfcure collect``: what it prints, and its mistakes."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from collect.made_videos import PLAN, scene, write
from selfcure.cli import run


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("plan.yaml").write_text(PLAN)
    Path("broken.yaml").write_text("classes: {a: [no]}")
    Path("nothing").mkdir()
    return tmp_path


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("source")
    write(root / "happiness" / "a.mp4", scene(22, seed=1))
    write(root / "sadness" / "[red]b.mp4", scene(22, seed=2))
    (root / "sadness" / "c.mp4").touch()
    return root


def test_the_default_plan(here, capsys):
    assert run(["collect", "plan", "web"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "web: 10,800 queries from 40 words of 8 classes × 45 countries × 6 ages (10,800 new)"
    ]
    assert run(["collect", "plan", "web", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_new"] == 0
    assert "ours, since the paper does not say" in Path("web", "collect.yaml").read_text().lower()


def test_from_a_folder_to_a_dataset(here, source, capsys):
    shutil.copytree(source, "videos")
    assert run(shlex.split("collect plan p --plan plan.yaml")) == 0
    assert run(shlex.split("collect run p --source videos --workers 1")) == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["3 videos: 3 new"]
    assert captured.out.splitlines()[1:] == [
        "p: tests",
        "videos                     3",
        "  here                     2",
        "  scanned                  2",
        "shots                      2",
        "  with a face that stays   2",
        "  like no earlier one      2",
        "faces that stay            2",
        "crops                     10",
        "",
        "failed in clips:",
        "  1 × empty file",
        "",
        "p/dataset",
        "class      videos  clips  faces",
        "happiness       1      1      5",
        "sadness         1      1      5",
        "all             2      2     10",
        "train 2 videos, 10 faces",
    ]
    assert run(shlex.split("collect download p --source videos")) == 0
    captured = capsys.readouterr()
    assert captured.err == "3 videos: 0 new, 3 known\n"
    assert captured.out.splitlines() == ["videos: 2 clipped, 1 failed", "why: selfcure collect status p"]
    assert run(shlex.split("collect clips p")) == 0
    assert run(shlex.split("collect frames p")) == 0
    assert run(shlex.split("collect search p")) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "queries: none"
    assert run(shlex.split("collect status p --json")) == 0
    assert json.loads(capsys.readouterr().out)["statistics"]["total"] == {
        "videos": 2,
        "clips": 2,
        "faces": 10,
    }
    assert run(shlex.split("data info p/dataset")) == 0


def test_before_the_web_a_word_on_its_terms(here, capsys, monkeypatch):
    from collect.site import FakeSearch
    from selfcure.collect import web

    monkeypatch.setattr(web.YtDlp, "__init__", lambda self: setattr(self, "_open", FakeSearch({})))
    Path("few.yaml").write_text("classes: {a: [b]}\nquery: '{word}'\nsearch: {pause_sec: 0}")
    assert run(shlex.split("collect plan p --plan few.yaml")) == 0
    assert run(shlex.split("collect search p")) == 0
    captured = capsys.readouterr()
    assert "terms of use" in captured.err
    assert captured.out.splitlines()[-1] == "queries: 1 done"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("collect plan p --plan broken.yaml", "broken.yaml: words of a has False"),
        ("collect plan p --plan missing.yaml", "plan missing.yaml cannot be read"),
        (
            "collect status nothing",
            "nothing is not a project of selfcure collect (no collect.yaml); make one with",
        ),
        ("collect download good --source missing", "source missing does not exist"),
        (
            "collect download good --source nothing",
            "no video for the classes happiness, sadness in nothing: it is empty",
        ),
        ("collect download good --source nothing --license any", "are for the web, not for --source"),
        ("collect frames good", "good has no clip with a face that stays"),
        ("collect frames good --size 4", "frames: size must be from 16 to 4096, not 4"),
        ("collect clips good --workers 0", "workers must be from 1 to 1024, not 0"),
        ("collect clips good --engine dask", "unknown engine 'dask'"),
    ],
)
def test_mistakes(here, capsys, line, message):
    assert run(shlex.split("collect plan good --plan plan.yaml")) == 0
    capsys.readouterr()
    assert run(shlex.split(line)) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("selfcure: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("module", "line", "message"),
    [
        ("yaml", "collect plan q", "selfcure collect needs PyYAML: pip install 'selfcure[collect]'"),
        (
            "scenedetect",
            "collect clips p",
            "finding shots needs PySceneDetect and OpenCV: pip install 'selfcure[collect]'",
        ),
        (
            "yt_dlp",
            "collect search p",
            "searching and downloading need yt-dlp: pip install 'selfcure[collect]'",
        ),
    ],
)
def test_a_missing_library_is_said(here, source, capsys, monkeypatch, module, line, message):
    Path("few.yaml").write_text("classes: {happiness: [b], sadness: [c]}\nquery: '{word}'")
    assert run(shlex.split("collect plan p --plan few.yaml")) == 0
    assert run(shlex.split(f"collect download p --source '{source}'")) == 0
    capsys.readouterr()
    import sys

    for name in list(sys.modules):
        if name.split(".")[0] == module:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert run(shlex.split(line)) == 2
    assert capsys.readouterr().err == f"selfcure: {message}\n"
