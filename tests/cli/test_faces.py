"""``selfcure faces``: what it prints, and its mistakes."""

import inspect
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfcure.cli import run
from selfcure.cli.faces import faces
from selfcure.faces.extraction import FaceSettings
from selfcure.faces.photos import MAX_PIXELS
from selfcure.faces.pipeline import extract_faces


@pytest.fixture(scope="module")
def head() -> Image.Image:
    """The head of scikit-image's portrait."""
    from skimage import data

    return Image.fromarray(data.astronaut()[0:260, 90:350]).resize((130, 130), Image.Resampling.BICUBIC)


@pytest.fixture
def here(tmp_path, monkeypatch, head) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("happy/1.png", "happy/2.png", "sad/[red]3.png", "plain/4.png"):
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        head.save(Path("photos", name))
    Path("photos", "sad", "broken.jpg").write_text("hello")
    Path("text.txt").write_text("hello")
    Path("empty").mkdir()
    Path("no photos").mkdir()
    Path("no photos", "a.txt").write_text("hello")
    Path("wall").mkdir()
    Image.new("RGB", (99, 99)).save("wall/a.png")
    Path("broken.mp4").write_text("hello")
    Path("columns.csv").write_text("foo,bar\n1,2\n")
    Path("outside.csv").write_text("path,label\n../../a.png,happy\n")
    return tmp_path


def test_summary(here, capsys):
    assert run(shlex.split("faces photos --out out --size 32")) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "out: 4 faces from 4 pictures (0 with several)",
        "label, from folder names  train",
        "happy                         2",
        "plain                         1",
        "sad                           1",
        "",
        "left out 1 (listed in out/skipped.csv):",
        "  1 × not an image",
    ]
    assert captured.err == ""


def test_without_labels(here, capsys):
    assert run(shlex.split("faces photos --out out --size 32 --labels none")) == 0
    assert "no labels: to train on these faces" in capsys.readouterr().out
    assert run(shlex.split("data info out")) == 0
    assert re.search(r"without one +4\nall +4\n", capsys.readouterr().out)
    assert run(shlex.split("train out --out run")) == 2
    assert "column 'label' has nulls; every sample needs a given label" in capsys.readouterr().err


def test_json(here, capsys):
    assert (
        run(shlex.split("faces photos --out out --size 32 --margin 0.2 --align box --format png --json")) == 0
    )
    facts = json.loads(capsys.readouterr().out)
    assert (facts["num_faces"], facts["num_pictures"], facts["num_skipped"]) == (4, 4, 1)
    assert facts["num_by_class"] == {"train": {"happy": 2, "plain": 1, "sad": 1}}
    assert facts["options"]["margin"] == 0.2
    assert facts["options"]["align"] == "box"
    assert facts["options"]["format"] == "png"


MISTAKES = {
    "faces": "SOURCE is missing",
    "faces photos": "--out is missing",
    "faces nowhere --out out": "source nowhere does not exist",
    "faces empty --out out": "empty has no image or video in it",
    "faces 'no photos' --out out": "no photos has no image or video in it .1 other files.",
    "faces text.txt --out out": "text.txt is neither a folder nor a readable zip",
    "faces wall --out out": "no usable image in wall: 1 × no face",
    "faces broken.mp4 --out out": "no usable image in broken.mp4: 1 × not a readable video",
    "faces columns.csv --out out": "columns.csv has no column path .* foo, bar",
    "faces outside.csv --out out": "no usable image in outside.csv: 1 × path leaves the table's folder",
    "faces photos --out photos/out": "photos/out is inside the source",
    "faces photos --out empty/../wall": "wall already exists",
    "faces photos --out out --keep larges": "unknown keep 'larges'; did you mean 'largest'",
    "faces photos --out out --align simlarity": "did you mean 'similarity'",
    "faces photos --out out --detector mtcn": "did you mean 'mtcnn'",
    "faces photos --out out --detector yunet": "'yunet' needs its model file",
    "faces photos --out out --weights a.onnx": "'mtcnn' brings its weights",
    "faces photos --out out --engine rai": "unknown engine 'rai'; did you mean 'ray'",
    "faces photos --out out --labels folder": "did you mean 'folders'",
    "faces photos --out out --size 0": "size must be from 16 to 4096",
    "faces photos --out out --min-face-px 3": "min_face_px must be at least 12",
    "faces photos --out out --min-score 2": "min_score must be from 0 to 1",
    "faces photos --out out --fps -1": "fps must be above 0",
    "faces photos --out out --workers 0": "workers must be from 1 to 1024",
    "faces photos --out out --label-column x": "are for tables",
    "faces photos --out out --device gpu": "device 'gpu' cannot be used",
    "faces photos --out out --max-pixels 99": "no usable image in photos: 4 × image has more than 99 pixels",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistake_is_one_line_and_exit_code_2(line, here, capsys):
    assert run(shlex.split(line)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("selfcure: ")
    assert captured.err.count("\n") == 1
    assert re.search(MISTAKES[line], captured.err), captured.err
    assert not [file for file in here.iterdir() if file.name in ("out", "out.partial")]


def test_options_are_those_of_python():
    own = {name: p.default for name, p in inspect.signature(faces).parameters.items()}
    settings = {field.name: field.default for field in fields(FaceSettings)}
    others = {name: p.default for name, p in inspect.signature(extract_faces).parameters.items()}
    assert set(own) - {"json"} == (set(settings) | set(others)) - {"settings", "shard_size", "progress"}
    for name in set(own) - {"json", "source", "out"}:
        assert own[name] == (settings | others)[name], name
    assert own["max_pixels"] == MAX_PIXELS


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_is_one_line_and_the_command_goes_on(here, head, workers):
    for index in range(300):
        Image.fromarray(np.roll(np.asarray(head), index % 9, 1)).save(
            Path("photos", "happy", f"more {index}.png")
        )
    command = [sys.executable, "-m", "selfcure", "faces", "photos", "--out", "out", "--workers", workers]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    shard = Path("out.partial", "train-00000-of-00001.tmp")
    deadline = time.monotonic() + 120
    while not shard.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "selfcure: interrupted; repeat the command to finish\n"
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "out: 304 faces from 304 pictures" in done.stdout
