"""From local videos to a trained run, and what the stages promise of each other."""

import io
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from collect.killed import Dying
from collect.made_videos import PLAN, scene, write
from selfcure.cli import run as command
from selfcure.collect import frames
from selfcure.collect.clips import find_clips
from selfcure.collect.cutting import COLUMNS
from selfcure.collect.engines import share_out
from selfcure.collect.frames import cut_frames, label_of
from selfcure.collect.local import add_local
from selfcure.collect.politeness import retry_failed
from selfcure.collect.project import make_plan, open_project
from selfcure.collect.status import describe, save_statistics
from selfcure.data.folder import Dataset
from selfcure.errors import SelfcureError
from selfcure.predict.tracking import overlap


@pytest.fixture(scope="module")
def done(tmp_path_factory, tree) -> Path:
    """A project that went through all stages."""
    root = tmp_path_factory.mktemp("done")
    (root / "plan.yaml").write_text(PLAN)
    make_plan(root / "project", root / "plan.yaml")
    with open_project(root / "project") as project:
        add_local(project, tree)
        find_clips(project)
        cut_frames(project)
        save_statistics(project)
    return root / "project"


def table(folder: Path) -> dict[str, list]:
    columns: dict[str, list] = {}
    for split in ("train", "validation"):
        for file in sorted((folder / "dataset").glob(f"{split}-*.parquet")):
            part = pq.read_table(file).to_pydict()
            for name, values in part.items():
                columns.setdefault(name, []).extend(values)
            columns.setdefault("split", []).extend([split] * len(part["id"]))
    return columns


def test_a_run_is_trained_on_it(done, tmp_path, capsys):
    line = ["train", str(done / "dataset"), "--out", str(tmp_path / "run"), "--backbone", "compact"]
    line += ["--size", "16", "--epochs", "1", "--set", "batch_size=16"]
    line += ["--unit", "clip", "--set", "frames_per_clip=4"]
    assert command(line) == 0
    assert "at most 4 frames of each in an epoch; one label for each" in capsys.readouterr().err
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_rows_say_where_each_face_is_from(done):
    rows = table(done)
    assert list(rows)[4:-1] == [field.name for field in COLUMNS]
    assert len(set(rows["id"])) == len(rows["id"]) == 40
    assert set(rows["true_label"]) == {None}
    for k, id_ in enumerate(rows["id"]):
        clip, track, frame = id_.rsplit("-", 2)
        assert (clip, int(track), int(frame)) == (rows["clip"][k], rows["track"][k], rows["frame"][k])
        assert clip.startswith(rows["video"][k])
        assert rows["frame"][k] / 2 <= rows["time_sec"][k] + 1e-6
        assert rows["votes"][k][rows["label"][k]] == max(rows["votes"][k]) == 1
        assert rows["score"][k] >= 0.95
        left, top, right, bottom = rows["box"][k]
        assert all(left < x < right and top < y < bottom for x, y in rows["landmarks"][k])


def test_crops_are_the_aligned_head(done):
    """All heads are one, mirrored or not: aligned, their crops are alike."""
    rows = table(done)
    crops = [np.asarray(Image.open(io.BytesIO(image["bytes"])), float) for image in rows["image"]]
    assert {crop.shape for crop in crops} == {(32, 32, 3)}
    mean = np.mean([(crop + crop[:, ::-1]) / 2 for crop in crops], axis=0)
    for crop in crops:
        bright = (crop + crop[:, ::-1]) / 2
        if bright.mean() > 60:  # not in a fade
            assert np.corrcoef(bright.ravel(), mean.ravel())[0, 1] > 0.85


def test_whole_videos_are_for_validation(done):
    rows = table(done)
    splits = {}
    for video, split in zip(rows["video"], rows["split"], strict=True):
        assert splits.setdefault(video, split) == split
    by_class = Counter(zip(rows["label"], rows["split"], strict=True))
    assert set(by_class) == {(label, split) for label in (0, 1) for split in ("train", "validation")}


def test_two_faces_are_two_tracks(done):
    rows = table(done)
    boxes = {}
    for clip, time, track, box in zip(
        rows["clip"], rows["time_sec"], rows["track"], rows["box"], strict=True
    ):
        boxes.setdefault((clip, time), {})[track] = box
    several = [found for found in boxes.values() if len(found) > 1]
    assert several
    assert all(overlap(found[0], found[1]) < 0.1 for found in several)


def test_status_tells_it_all(done):
    with open_project(done, read_only=True) as project:
        facts = describe(project)
    assert facts["videos"] == {"clipped": 5, "failed": 1}
    assert facts["failed"]["clips"] == {"empty file": 1}
    assert (facts["num_shots"], facts["clips"], facts["num_tracks"]) == (8, {"kept": 6}, 7)
    found = facts["statistics"]
    assert found["total"] == {"videos": 4, "clips": 6, "faces": 40}
    rows = table(done)
    assert found["classes"]["sadness"] == {"videos": 2, "clips": 3, "faces": rows["label"].count(1)}
    assert sum(numbers["faces"] for numbers in found["splits"].values()) == 40
    assert json.loads((done / "statistics.json").read_text()) == found


def test_done_again_nothing_happens_and_other_settings_are_refused(done):
    before = {f: f.stat().st_mtime_ns for f in (done / "dataset").iterdir()}
    with open_project(done) as project:
        find_clips(project)
        cut_frames(project)
        with pytest.raises(SelfcureError, match="was made from other clips or settings"):
            cut_frames(project, settings=replace(project.plan.frames, size=48))
    assert {f: f.stat().st_mtime_ns for f in (done / "dataset").iterdir()} == before


def test_more_votes_win_and_ties_go_to_the_first():
    names = ["angry", "happy", "sad"]
    assert label_of({"sad": 3, "happy": 2}, names) == 2
    assert label_of({"sad": 2, "happy": 2, "angry": 1}, names) == 1


def test_the_majority_of_votes_is_the_label(project, tree):
    folder = project()
    with open_project(folder) as opened:
        add_local(opened, tree)
        with opened.ledger.writing() as ledger:
            for row in ledger.rows("SELECT id FROM videos"):
                ledger.vote(row["id"], [("sadness", 1), ("sadness", 2)])
        find_clips(opened)
        dataset = cut_frames(opened)
    rows = table(folder)
    assert set(rows["label"]) == {dataset.class_names.index("sadness")}
    assert {tuple(v) for v in rows["votes"]} == {(1, 2), (0, 3)}


def test_a_video_uploaded_again_is_dropped_and_counted(project, tmp_path):
    source = tmp_path / "source"
    write(source / "happiness" / "a.mp4", scene(30, seed=1))
    write(source / "sadness" / "again.mp4", scene(30, seed=1), crf=30, size=(360, 240))
    write(source / "sadness" / "other.mp4", scene(30, seed=2))
    folder = project()
    with open_project(folder) as opened:
        add_local(opened, source)
        find_clips(opened)
        assert opened.ledger.count("clips") == {"kept": 2, "duplicate": 1}
        originals = [r["id"] for r in opened.ledger.rows("SELECT id FROM clips WHERE state = 'kept'")]
        assert opened.ledger.value("SELECT same_as FROM clips WHERE state = 'duplicate'") in originals
        cut_frames(opened)
    assert len(set(table(folder)["video"])) == 2


def test_a_file_that_was_changed_is_not_used(project, tmp_path):
    source = tmp_path / "source"
    path = write(source / "happiness" / "a.mp4", scene(25))
    folder = project()
    with open_project(folder) as opened:
        add_local(opened, source)
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        find_clips(opened)
        assert describe(opened)["failed"]["clips"] == {"the file was changed since it was taken": 1}
        with pytest.raises(SelfcureError, match="has no clip with a face that stays"):
            cut_frames(opened)
        data[-1] ^= 1
        path.write_bytes(data)
        retry_failed(opened.ledger, "clips")
        find_clips(opened)
        assert opened.ledger.count("clips") == {"kept": 1}


def test_a_video_that_vanishes_after_its_clips_is_counted(done, tmp_path):
    folder = Path(shutil.copytree(done, tmp_path / "project"))
    shutil.rmtree(folder / "dataset")
    with open_project(folder) as opened:
        victim = opened.ledger.value("SELECT v.file FROM videos v JOIN clips c ON c.video = v.id LIMIT 1")
        (folder / "videos" / victim).unlink()
        dataset = cut_frames(opened)
    assert dataset.manifest["skipped"].get("unreadable file (No such file or directory)", 0) >= 1
    assert sum(dataset.splits.values()) < 40


def test_long_clips_are_cut_in_parts_and_nothing_is_missed(done, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(done, tmp_path / "project"))
    shutil.rmtree(folder / "dataset")
    monkeypatch.setattr(frames, "_CHUNK_FRAMES", 3)
    with open_project(folder) as opened:
        cut_frames(opened, shard_size=5)
    assert sorted(table(folder)["id"]) == sorted(table(done)["id"])


def test_one_video_alone_has_no_validation(project, tmp_path):
    write(tmp_path / "source" / "happiness" / "a.mp4", scene(25))
    folder = project()
    with open_project(folder) as opened:
        add_local(opened, tmp_path / "source")
        find_clips(opened)
        assert list(cut_frames(opened).splits) == ["train"]


def test_clips_whose_class_left_the_plan_are_counted(done, tmp_path):
    folder = Path(shutil.copytree(done, tmp_path / "project"))
    shutil.rmtree(folder / "dataset")
    (folder / "collect.yaml").write_text(PLAN.replace("sadness", "fear"))
    with open_project(folder) as opened:
        dataset = cut_frames(opened)
    assert dataset.manifest["skipped"] == {"its classes are no longer in the plan": 3}
    assert sum(dataset.splits.values()) == 16


@pytest.mark.parametrize(
    ("workers", "engine"),
    [pytest.param(2, "local", marks=pytest.mark.slow), pytest.param(2, "ray", marks=pytest.mark.slow)],
)
def test_workers_and_ray_give_the_same(done, project, tree, workers, engine):
    if engine == "ray":
        pytest.importorskip("ray")
    folder = project()
    with open_project(folder) as opened:
        add_local(opened, tree)
        find_clips(opened, workers=workers, engine=engine)
        cut_frames(opened, workers=workers, engine=engine)
        mine = {t: opened.ledger.rows(f"SELECT * FROM {t}") for t in ("clips", "tracks")}
    with open_project(done, read_only=True) as opened:
        assert mine == {t: opened.ledger.rows(f"SELECT * FROM {t}") for t in ("clips", "tracks")}
    for file in (done / "dataset").glob("*.parquet"):
        assert (folder / "dataset" / file.name).read_bytes() == file.read_bytes()
    assert Dataset(folder / "dataset").splits == Dataset(done / "dataset").splits


@pytest.mark.slow
def test_a_killed_worker_is_noticed():
    with pytest.raises(SelfcureError, match="ended from outside"):
        list(share_out(Dying(), [1, 2], workers=2, engine="local"))
