"""``selfcure predict`` and ``selfcure export`` on the command line: results, files, and every mistake in one line."""

import csv
import io
import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from selfcure import models
from selfcure.cli import run as run_command


@pytest.fixture(scope="module")
def model(filled, tmp_path_factory):
    """The run of ``filled`` as ONNX."""
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    assert run_command(["export", str(filled / "run"), "--out", str(path), "--importance"]) == 0
    return path


@pytest.fixture
def photos(place):
    """A folder with two images and something else."""
    folder = place / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg"):
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("hello")
    (place / "film.mp4").write_text("no film")
    return folder


def test_export_says_what_was_checked(command, place):
    result = command("export run --out run.onnx")
    assert result.code == 0
    assert "run.onnx: onnx, float32," in result.out
    assert "checked on 42 validation images of data" in result.out
    assert "100.0 %" in result.out
    facts = json.loads(command("export run --out again.onnx --json --importance --check 10").out)
    assert facts["outputs"] == ["logits", "importance"]
    assert facts["parity"]["num_images"] == 10
    assert command("export run --out run.onnx").code == 2


def test_predict_prints_a_table(command, model, photos):
    result = command(f"predict {model} photos --whole")
    assert result.code == 0
    assert "a.png" in result.out
    assert "stripe" in result.out
    assert "readable" in result.out
    assert "2 faces in 2 images" in result.err
    assert "skipped photos/notes.txt: not an image or video" in result.err


def test_predict_prints_json_and_csv(command, model, photos):
    lines = command(f"predict {model} photos --whole --json").out.splitlines()
    readings = [json.loads(line) for line in lines]
    assert [reading["source"] for reading in readings] == ["photos/a.png", "photos/b.jpg"]
    rows = list(csv.DictReader(io.StringIO(command(f"predict {model} photos --whole --csv").out)))
    assert [row["expression"] for row in rows] == [reading["faces"][0]["expression"] for reading in readings]
    same = list(csv.DictReader(io.StringIO(command("predict run photos --whole --csv").out)))
    for one, other in zip(rows, same, strict=True):
        assert float(one["probability"]) == pytest.approx(float(other["probability"]), abs=1e-4)


def test_predict_writes_a_folder_once(command, model, photos, place):
    line = f"predict {model} photos 'photos/*.png' --whole --annotate --out results"
    result = command(line)
    assert result.code == 0
    assert result.out == ""
    assert "results are in results, 2 drawn in results/annotated" in result.err
    written = {str(path.relative_to(place / "results")) for path in (place / "results").rglob("*.*")}
    assert written == {"predictions.csv", "skipped.csv", "annotated/a.png", "annotated/b.jpg"}
    before = (place / "results" / "predictions.csv").read_text()
    again = command(line)
    assert again.code == 2
    assert "results already exists; choose another --out" in again.err
    assert (place / "results" / "predictions.csv").read_text() == before


def test_predict_with_the_installations_model(command, model, photos, monkeypatch):
    monkeypatch.setattr(models, "ONNX", model)
    assert command("predict photos/a.png --whole --json").code == 0
    assert "does not exist" in command("predict rnu photos/a.png").err


MISTAKES = {
    "predict": "SOURCES is missing",
    "predict {model}": "name something to look at",
    "predict photos/a.png": "photos/a.png is no run folder and no .onnx file; this installation brings no selfcure:ferplus",
    "predict rnu photos/a.png": "rnu does not exist; name a model",
    "predict unfinished photos/a.png": "unfinished is not finished",
    "predict text.txt photos/a.png": "text.txt is no run folder and no .onnx file",
    "predict {model} nowhere.png": "nowhere.png does not exist",
    "predict {model} empty": "folder empty is empty",
    "predict {model} photos/notes.txt --whole": "photos/notes.txt: not an image",
    "predict {model} empty.csv text.txt --whole": "none of 2 files could be read: 1 × empty file, 1 × not an image",
    "predict {model} something/picture.png --whole": "something/picture.png: not an image",
    "predict {model} 96": "camera 96: no such camera",
    "predict {model} photos --annotate": "--annotate needs --out",
    "predict {model} film.mp4 --whole": "film.mp4: not a readable video",
    "predict {model} photos --json --csv": "cannot both be printed",
    "predict {model} photos --engine torhc": "unknown engine 'torhc'; did you mean 'torch'",
    "predict {model} photos --engine torch": "engine torch takes run folders",
    "predict run photos --engine openvino": "needs an exported file",
    "predict {model} photos --device gpu": "unknown device 'gpu'",
    "predict {model} photos --detector mtcn": "unknown detector 'mtcn'; did you mean 'mtcnn'",
    "predict {model} photos --detector yunet": "needs its model file",
    "predict {model} photos --min-face-px 2": "min_face_px must be at least 12",
    "predict {model} photos --align bx": "unknown align 'bx'",
    "predict {model} photos --frames 0": "--frames must be at least 1",
    "predict {model} film.mp4 --smooth -1 --whole": "smooth_sec must be at least 0",
    "predict {model} photos --max-pixels 100 --whole": "none of .* 2 × image has more than 100 pixels",
    "predict {model} photos --max-pixels 0 --whole": "max_pixels must be positive",
    "predict {model} photos --whole --out text.txt": "text.txt already exists",
    "predict {model} text.txt --whole --out new": "text.txt: not an image",
    "export": "RUN is missing",
    "export run": "--out is missing",
    "export data --out new.onnx": "data is not a run folder",
    "export unfinished --out new.onnx": "unfinished is not finished",
    "export run --out new.onnx --data 'other classes'": "trained on the classes stripe 0, .*; other classes has",
    "export run --out new.onnx --format onx": "unknown format 'onx'; did you mean 'onnx'",
    "export run --out new.bin": "is named",
    "export run --out new.onnx --quantize int4": "unknown quantize 'int4'",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_are_one_line(line, command, model, photos, place, monkeypatch, tmp_path):
    monkeypatch.setattr(models, "ONNX", tmp_path / "nowhere.onnx")
    result = command(line.format(model=model))
    assert result.code == 2
    assert result.out == ""
    assert result.err.count("\n") == 1, result.err
    assert re.search(MISTAKES[line], result.err), result.err
    assert not list(place.glob("new*"))


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_read(model, place):
    from selfcure.predict.video import VideoWriter, read_video

    writer = VideoWriter(place / "film.mp4", 25.0)
    rng = np.random.default_rng(0)
    for index in range(3000):
        writer.write(index / 25, rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    writer.close()
    line = ["predict", str(model), "film.mp4", "--whole", "--annotate", "--json", "--out", "results"]
    process = subprocess.Popen(
        [sys.executable, "-m", "selfcure", *line], cwd=place, stderr=subprocess.PIPE, text=True
    )
    lines = place / "results" / "predictions.jsonl"
    while not (lines.exists() and lines.stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped before the end; what was read is in results" in err
    num = len(lines.read_text().splitlines())
    assert 0 < num < 3000
    assert len(list(read_video(place / "results" / "annotated" / "film.mp4"))) == num
