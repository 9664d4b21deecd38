"""Photographs in, a dataset folder out: rows, what is left out, resume, and the same folder from every engine."""

import io
import multiprocessing
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from faces.video_files import write_video
from selfcure.errors import SelfcureError
from selfcure.faces.alignment import align
from selfcure.faces.extraction import FaceSettings
from selfcure.faces.photos import read_upright
from selfcure.faces.pipeline import describe_faces, extract_faces

QUICK = FaceSettings(size=64, format="png")


def rows(folder: Path, split: str = "train") -> list[dict]:
    return [
        row for file in sorted(folder.glob(f"{split}-*.parquet")) for row in pq.read_table(file).to_pylist()
    ]


def skipped(folder: Path) -> dict[str, str]:
    lines = (folder / "skipped.csv").read_text().splitlines()[1:]
    return dict(line.split(",", 1) for line in lines)


def assert_same_folder(a: Path, b: Path) -> None:
    assert [f.name for f in sorted(a.iterdir())] == [f.name for f in sorted(b.iterdir())]
    for file in a.iterdir():
        assert file.read_bytes() == (b / file.name).read_bytes(), file.name


def test_rows_of_class_folders(tree, tmp_path, mtcnn):
    photos = tree(4)
    dataset = extract_faces(photos, out=tmp_path / "out", settings=QUICK)
    assert dataset.class_names == ("happy", "sad")
    assert dataset.split("train").labels.tolist() == [0, 0, 1, 1]
    for row in rows(dataset.path):
        pixels = read_upright(photos / row["source"])
        (face,) = mtcnn.detect([pixels])[0]
        assert row["id"] == row["source"] == row["image"]["path"]
        assert (row["face"], row["num_faces"], row["true_label"]) == (0, 1, None)
        np.testing.assert_allclose(row["box"], face.box, atol=0.01)
        np.testing.assert_allclose(row["landmarks"], face.landmarks, atol=0.01)
        assert row["score"] == pytest.approx(face.score, abs=1e-4)
        crop = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))).astype(int)
        assert np.abs(crop - align(pixels, face, size=64)).max() <= 1
    assert dataset.manifest["options"]["labels"] == "folder names"
    assert dataset.manifest["options"]["align"] == "similarity"


def test_opens_with_hugging_face_datasets(tree, tmp_path):
    datasets = pytest.importorskip("datasets")
    out = extract_faces(tree(2, classes=()), out=tmp_path / "out", settings=QUICK).path
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))["train"]
    assert loaded[0]["label"] is None
    assert loaded[0]["image"].size == (64, 64)
    assert np.shape(loaded[0]["landmarks"]) == (5, 2)


def test_without_labels_nothing_can_be_trained_on(tree, tmp_path):
    dataset = extract_faces(tree(2, classes=()), out=tmp_path / "out", settings=QUICK)
    assert dataset.class_names == ()
    assert [row["label"] for row in rows(dataset.path)] == [None, None]
    assert describe_faces(dataset)["num_by_class"] is None


def test_keep_largest_and_all(tmp_path, group):
    (tmp_path / "in").mkdir()
    Image.fromarray(group).save(tmp_path / "in" / "group.png")
    largest = extract_faces(tmp_path / "in", out=tmp_path / "largest", settings=QUICK)
    (row,) = rows(largest.path)
    assert (row["id"], row["face"], row["num_faces"]) == ("group.png", 0, 3)
    assert skipped(largest.path) == dict.fromkeys(["group.png#1", "group.png#2"], "not the largest face")
    assert describe_faces(largest) | {"path": "", "options": {}} == {
        "path": "",
        "source": str(tmp_path / "in"),
        "options": {},
        "num_pictures": 1,
        "num_faces": 1,
        "num_with_several": 1,
        "num_by_class": None,
        "num_skipped": 2,
        "skipped": {"not the largest face": 2},
    }
    every = extract_faces(tmp_path / "in", out=tmp_path / "all", settings=replace(QUICK, keep="all"))
    assert [row["id"] for row in rows(every.path)] == ["group.png#0", "group.png#1", "group.png#2"]
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (row["box"] for row in rows(every.path))]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > 2 * areas[2]
    assert every.manifest["num_skipped"] == 0


def test_what_cannot_be_used_is_listed_and_the_rest_done(tree, tmp_path):
    photos = tree(2)
    good = (photos / "happy" / "0.png").read_bytes()
    (photos / "happy" / "cut.png").write_bytes(good[: len(good) // 2])
    (photos / "happy" / "zero.jpg").touch()
    (photos / "sad" / "text.jpg").write_text("hello")
    (photos / "sad" / "notes.txt").write_text("hello")
    Image.new("RGB", (300, 200), "grey").save(photos / "sad" / "wall.png")
    Image.new("1", (12_000, 12_000)).save(photos / "sad" / "bomb.png")
    (photos / "sad" / "secret.png").symlink_to(photos / "nowhere")
    dataset = extract_faces(photos, out=tmp_path / "out", settings=QUICK)
    assert len(rows(dataset.path)) == 2
    assert skipped(dataset.path) == {
        "happy/cut.png": "truncated image",
        "happy/zero.jpg": "empty file",
        "sad/text.jpg": "not an image",
        "sad/notes.txt": "not an image or video",
        "sad/wall.png": "no face",
        "sad/bomb.png": '"image has more than 100,000,000 pixels"',
        "sad/secret.png": "unreadable file (No such file or directory)",
    }


def test_exif_orientation_is_obeyed(tmp_path, small, mtcnn):
    (tmp_path / "in").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(small, 1)).save(tmp_path / "in" / "turned.png", exif=exif)
    (row,) = rows(extract_faces(tmp_path / "in", out=tmp_path / "out", settings=QUICK).path)
    (face,) = mtcnn.detect([small])[0]
    np.testing.assert_allclose(row["box"], face.box, atol=0.01)


def test_video(tmp_path, small, mtcnn):
    blank = np.full_like(small, 128)
    path = write_video(tmp_path / "clip.mp4", [small] * 10 + [blank] * 10 + [small] * 5, fps=10)
    dataset = extract_faces(path, out=tmp_path / "out", settings=replace(QUICK, fps=2))
    assert [(row["id"], row["frame"], row["time_sec"]) for row in rows(dataset.path)] == [
        ("clip.mp4#0", 0, 0.0),
        ("clip.mp4#1", 1, 0.5),
        ("clip.mp4#4", 4, 2.0),
    ]
    assert {row["source"] for row in rows(dataset.path)} == {"clip.mp4"}
    assert skipped(dataset.path) == {"clip.mp4#2": "no face", "clip.mp4#3": "no face"}


@pytest.mark.parametrize("align_", ["similarity", "box"])
def test_margin_size_and_format(tmp_path, tree, align_):
    settings = FaceSettings(size=48, margin=0.3, align=align_)
    (row,) = rows(extract_faces(tree(1, classes=()), out=tmp_path / "out", settings=settings).path)
    image = Image.open(io.BytesIO(row["image"]["bytes"]))
    assert (image.size, image.format) == ((48, 48), "JPEG")


def test_no_face_at_all(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (99, 99)).save(tmp_path / "in" / "a.png")
    with pytest.raises(SelfcureError, match=r"no usable image in .*in: 1 × no face"):
        extract_faces(tmp_path / "in", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({"size": 5}, {}, "size must be from 16 to 4096 pixels, not 5"),
        ({"margin": -1}, {}, "margin must be above -0.5"),
        ({"keep": "larges"}, {}, "did you mean 'largest'"),
        ({"align": "boxes"}, {}, "did you mean 'box'"),
        ({"format": "jpg"}, {}, "did you mean 'jpeg'"),
        ({"fps": 0}, {}, "fps must be above 0"),
        ({"max_pixels": 0}, {}, "max_pixels must be positive"),
        ({"device": "gpu"}, {}, "device 'gpu' cannot be used"),
        ({"detector": "yunet"}, {}, "needs its model file"),
        (
            {"detector": "yunet", "weights": "nowhere.onnx"},
            {},
            "nowhere.onnx of detector 'yunet' does not exist",
        ),
        ({}, {"workers": 0}, "workers must be from 1 to 1024, not 0"),
        ({}, {"engine": "rai"}, "did you mean 'ray'"),
        ({}, {"labels": "nne"}, "did you mean 'none'"),
    ],
)
def test_mistakes_leave_nothing(tmp_path, tree, settings, arguments, message):
    with pytest.raises(SelfcureError, match=message):
        extract_faces(tree(1), out=tmp_path / "out", settings=FaceSettings(**settings), **arguments)
    assert not list(tmp_path.glob("out*"))


def test_out_in_the_way(tmp_path, tree):
    photos = tree(1)
    with pytest.raises(SelfcureError, match="is inside the source"):
        extract_faces(photos, out=photos / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").touch()
    with pytest.raises(SelfcureError, match="already exists"):
        extract_faces(photos, out=tmp_path / "out")


class Stop(Exception):
    pass


def test_resume_does_only_what_is_missing(tmp_path, tree, monkeypatch):
    photos = tree(80)
    whole = extract_faces(photos, out=tmp_path / "whole", settings=QUICK, shard_size=32).path

    def stop(done: int, total: int) -> None:
        if done == 64:
            raise Stop

    with pytest.raises(Stop):
        extract_faces(photos, out=tmp_path / "out", settings=QUICK, shard_size=32, progress=stop)
    partial = tmp_path / "out.partial"
    before = {file.name: file.stat().st_mtime_ns for file in partial.glob("train-*.parquet")}
    assert list(before) == ["train-00000-of-00003.parquet"]
    with pytest.raises(SelfcureError, match="unfinished work with other settings"):
        extract_faces(photos, out=tmp_path / "out", settings=replace(QUICK, size=32), shard_size=32)
    seen = []
    out = extract_faces(
        photos, out=tmp_path / "out", settings=QUICK, shard_size=32, progress=lambda *at: seen.append(at)
    ).path
    assert seen == [(64, 80), (80, 80)]
    assert (out / "train-00000-of-00003.parquet").stat().st_mtime_ns == before["train-00000-of-00003.parquet"]
    assert_same_folder(whole, out)


SCRIPT = """
import sys
from selfcure.faces.extraction import FaceSettings
from selfcure.faces.pipeline import extract_faces
if __name__ == "__main__":
    extract_faces(sys.argv[1], out=sys.argv[2], settings=FaceSettings(size=64, format="png"), shard_size=32,
                  workers=int(sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_taken_up_again(tmp_path, tree, workers):
    photos = tree(400)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(photos), str(tmp_path / "out"), str(workers)]
    process = subprocess.Popen(command)
    first = tmp_path / "out.partial" / "train-00000-of-00013.parquet"
    deadline = time.monotonic() + 120
    while not first.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert first.exists()
    assert not (tmp_path / "out").exists()
    for child in children:  # workers end with their parent
        while _alive(int(child)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _alive(int(child))
    assert len(children) >= (workers if workers > 1 else 0)
    made = first.stat().st_mtime_ns
    subprocess.run(command, check=True)
    assert (tmp_path / "out" / first.name).stat().st_mtime_ns == made
    whole = extract_faces(photos, out=tmp_path / "whole", settings=QUICK, shard_size=32, workers=1).path
    assert_same_folder(whole, tmp_path / "out")


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _mixed(tmp_path: Path, tree, small: np.ndarray) -> Path:
    photos = tree(70)
    write_video(photos / "happy" / "clip.mp4", [small] * 30, fps=10)
    (photos / "sad" / "broken.jpg").write_text("hello")
    return photos


@pytest.mark.slow
def test_processes_make_the_same_folder(tmp_path, tree, small):
    photos = _mixed(tmp_path, tree, small)
    settings = replace(QUICK, fps=5)
    one = extract_faces(photos, out=tmp_path / "one", settings=settings, workers=1, shard_size=40).path
    two = extract_faces(photos, out=tmp_path / "two", settings=settings, workers=2, shard_size=40).path
    assert_same_folder(one, two)
    assert len(rows(one)) == 85


@pytest.mark.slow
def test_ray_makes_the_same_folder(tmp_path, tree, small):
    pytest.importorskip("ray", reason="Ray is not installed")
    photos = _mixed(tmp_path, tree, small)
    settings = replace(QUICK, fps=5)
    one = extract_faces(photos, out=tmp_path / "one", settings=settings, workers=1, shard_size=40).path
    two = extract_faces(
        photos, out=tmp_path / "two", settings=settings, workers=2, engine="ray", shard_size=40
    ).path
    assert_same_folder(one, two)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_told_and_the_call_goes_on(tmp_path, tree):
    photos = tree(300)

    def kill(done: int, total: int) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(SelfcureError, match="a worker process was ended from outside"):
        extract_faces(photos, out=tmp_path / "out", settings=QUICK, workers=2, shard_size=32, progress=kill)
    assert extract_faces(photos, out=tmp_path / "out", settings=QUICK, workers=1, shard_size=32).splits == {
        "train": 300
    }
