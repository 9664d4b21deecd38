"""Training on the frames of clips: so many of each an epoch, and one label for all of them."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from test_distributed import EXACT, assert_alike, steady, train_in_two  # noqa: F401 - steady is a fixture
from test_resume import InterruptAfter, assert_same_run

import selfcure
from selfcure.cli import run as command
from selfcure.data.folder import Dataset
from selfcure.data.rewrite import changed, derive
from selfcure.errors import SelfcureError
from selfcure.methods import METHODS
from selfcure.review.app import make_app
from selfcure.review.desk import Desk
from selfcure.review.guard import Guard
from selfcure.runs import RunFolder
from selfcure.training.checkpoint import load_tensors
from selfcure.training.interrupt import Interrupted
from selfcure.training.reporter import Reporter
from selfcure.training.sampling import epoch_order
from stripes import TINY, write_stripes

FRAMES = 4
SCN = {**TINY, "method": "scn", "relabel_epoch": 2, "relabel_margin": 0.0, "unit": "clip"}


@pytest.fixture(scope="module")
def clips_folder(tmp_path_factory) -> Path:
    """30 clips of 4 frames for training, 10 for validation."""
    return write_stripes(tmp_path_factory.mktemp("clips") / "clips", frames=FRAMES).path


def order_of(labels, clips, limit, seed=0, **options):
    return epoch_order(
        torch.tensor(labels),
        torch.Generator().manual_seed(seed),
        **{"sampling": "shuffle", **options},
        clips=torch.tensor(clips),
        frames_per_clip=limit,
    ).tolist()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 4), st.integers(0, 99))
def test_an_epoch_draws_at_most_so_many_frames_of_a_clip(clips, limit, seed):
    drawn = order_of([0] * len(clips), clips, limit, seed)
    assert len(set(drawn)) == len(drawn)
    sizes = np.bincount(clips)
    np.testing.assert_array_equal(
        np.bincount([clips[k] for k in drawn], minlength=len(sizes)), sizes.clip(max=limit)
    )


def test_other_frames_are_drawn_in_every_epoch():
    clips = [0] * 6 + [1] * 2
    epochs = [order_of([0] * 8, clips, 2, seed) for seed in range(40)]
    counts = np.bincount([k for epoch in epochs for k in epoch], minlength=8)
    assert (counts[6:] == 40).all()
    assert counts[:6].sum() == 80
    assert 4 < counts[:6].min() <= counts[:6].max() < 24  # 13.3 on average


def test_every_frame_has_its_turn():
    clips = [k // 10 for k in range(200)]
    drawn = {k for seed in range(60) for k in order_of([0] * 200, clips, 1, seed)}
    assert len(drawn) == 200  # all but certain: each is left out 60 times with a chance of 0.2 %


def test_classes_are_balanced_among_what_is_drawn():
    labels, clips = [0] * 12 + [1] * 2, [0] * 6 + [1] * 6 + [2, 3]
    drawn = order_of(labels, clips, 2, sampling="balanced")
    assert sorted(labels[k] for k in drawn) == [0, 0, 0, 1, 1, 1]


def without_clips(parent: Path, out: Path, none: set[int]) -> Dataset:
    """A copy of the training split in which rows ``none`` have no clip."""
    train = Dataset(parent).split("train")

    def drop(table: pa.Table, rows: slice) -> pa.Table:
        column = table.column_names.index("clip")
        values = [
            None if k in none else v
            for k, v in zip(range(rows.start, rows.stop), table["clip"].to_pylist(), strict=True)
        ]
        return table.set_column(column, "clip", pa.array(values, pa.string()))

    return derive({"train": train}, out, kind="made", settings={}, shards={"train": changed(train, drop)})


class Notes(Reporter):
    """Keeps what a training says as it begins."""

    def started(self, *, notes, **counts):
        self.text = "\n".join(notes)


def test_rows_without_a_clip_are_clips_of_their_own(clips_folder, tmp_path):
    none = {0, 5, 6}
    folder, notes = without_clips(clips_folder, tmp_path / "d", none), Notes()
    clips, whole = folder.split("train").clips, Dataset(clips_folder).split("train").clips
    assert len(set(whole)) == 30
    assert len(set(clips)) == 33
    assert clips[1] == clips[2] == clips[3] != clips[0]
    kept = [k for k in range(120) if k not in none]
    same = clips[kept][:, None] == clips[kept]
    np.testing.assert_array_equal(same, whole[kept][:, None] == whole[kept])
    selfcure.train(
        folder.path, out=tmp_path / "run", reporter=notes, **{**TINY, "num_epochs": 1}, frames_per_clip=2
    )
    assert "33 clips, 3 of them of one frame (frames without a clip: 3); at most 2" in notes.text


@pytest.fixture(scope="module")
def run(clips_folder, tmp_path_factory) -> RunFolder:
    out = tmp_path_factory.mktemp("clips-run") / "run"
    return selfcure.train(clips_folder, out=out, **SCN, frames_per_clip=2)


def test_all_frames_of_a_clip_get_one_label_and_one_importance(run, clips_folder):
    clips = Dataset(clips_folder).split("train").clips
    table = selfcure.label_table(run)
    current, original = (table[name].to_numpy() for name in ("current", "original"))
    assert (current != original).any(), "no label changed: nothing was compared"
    for clip in set(clips):
        assert len(set(current[clips == clip])) == 1
    for record in run.metrics():
        assert record["num_drawn"] == 60
        evidence = run.evidence(record["epoch"])
        importance = evidence["importance"].to_numpy()
        seen = evidence["prediction"].to_numpy() >= 0
        for clip in set(clips):
            assert seen[clips == clip].sum() == 2
            assert len(set(importance[clips == clip])) == 1


def test_flipped_clips_are_repaired_with_all_their_frames_or_not_at_all(run, clips_folder):
    split = Dataset(clips_folder).split("train")
    table = selfcure.label_table(run)
    current, original = (table[name].to_numpy() for name in ("current", "original"))
    names = np.array(run.class_names)
    was_wrong, right = names[split.true_labels] != original, names[split.true_labels] == current
    repaired = [right[split.clips == clip] for clip in set(split.clips[was_wrong])]
    assert all(frames.all() or not frames.any() for frames in repaired)
    assert sum(frames.all() for frames in repaired) >= len(repaired) / 4
    last = run.metrics()[-1]["clips"]
    assert last["num_labels_changed"] == len(set(split.clips[current != original]))
    for record in run.metrics():
        rows = run.changes(["row", "epoch"])
        of_epoch = rows["row"].to_numpy()[rows["epoch"].to_numpy() == record["epoch"]]
        assert record["clips"]["num_label_changes"] == len(set(split.clips[of_epoch]))
        assert record["num_label_changes"] == FRAMES * record["clips"]["num_label_changes"]
        assert record["clips"]["num_decided"] >= record["clips"]["num_label_changes"]


def test_importance_of_clips_that_an_epoch_left_out_is_kept(clips_folder, tmp_path):
    settings = {**SCN, "sampling": "balanced", "frames_per_clip": 1, "num_epochs": 6}
    run = selfcure.train(clips_folder, out=tmp_path / "run", **settings)
    of_epochs = np.stack(
        [run.evidence(epoch)["importance"].to_numpy(zero_copy_only=False) for epoch in range(1, 7)]
    )
    assert np.isnan(of_epochs[-1]).any(), "every clip was drawn: nothing was tested"
    groups, _ = load_tensors(run.checkpoint)
    kept, noted = groups["book"]["importance"].numpy(), ~np.isnan(of_epochs)
    newest = 5 - noted[::-1].argmax(axis=0)
    rows = noted.any(axis=0)
    np.testing.assert_array_equal(kept[rows], of_epochs[newest[rows], rows.nonzero()[0]])
    assert np.isnan(kept[~rows]).all()


@pytest.mark.parametrize("steps", [3, 4, 5])
def test_interrupted_it_goes_on_bit_for_bit(run, clips_folder, tmp_path, steps):
    with pytest.raises(Interrupted):
        selfcure.train(
            clips_folder, out=tmp_path / "run", reporter=InterruptAfter(steps), **SCN, frames_per_clip=2
        )
    selfcure.train(clips_folder, out=tmp_path / "run", resume=True)
    assert_same_run(run.path, tmp_path / "run")


def test_a_run_is_not_resumed_on_other_clips(clips_folder, tmp_path):
    with pytest.raises(Interrupted):
        selfcure.train(clips_folder, out=tmp_path / "run", reporter=InterruptAfter(1), **SCN)
    other = without_clips(clips_folder, tmp_path / "other", {7})
    with pytest.raises(
        SelfcureError, match=r"run was begun on .*clips with other clips than .*other has now"
    ):
        selfcure.train(other.path, out=tmp_path / "run", resume=True)


def test_labels_report_and_review_read_it(run, clips_folder, tmp_path, capsys):
    run = RunFolder(shutil.copytree(run.path, tmp_path / "run"))  # the desk writes into it
    # The last change of a row counts, and a row may have gone back to where it was.
    changed = pc.sum(
        pc.not_equal(*(selfcure.label_table(run)[c].cast("string") for c in ("original", "current")))
    )
    assert changed.as_py() % FRAMES == 0
    assert command(["labels", "export", str(run.path), "--out", str(tmp_path / "labels.csv")]) == 0
    assert f"120 samples; {changed} labels changed in training" in capsys.readouterr().err
    page = tmp_path / "report.html"
    assert command(["report", str(run.path), "--data", str(clips_folder), "--out", str(page)]) == 0
    assert "train-0" in page.read_text(encoding="utf-8")
    desk = Desk(run, clips_folder)
    try:
        client = TestClient(
            Guard(make_app(desk)), base_url="http://localhost", headers={"X-Selfcure": "review"}
        )
        row = int(np.flatnonzero(run.evidence(1)["prediction"].to_numpy() < 0)[0])
        shown = client.get(f"/api/sample/{row}/history").json()
        assert shown["prediction"][0] in (None, -1)
        assert shown["given_prob"][0] is None
        assert shown["importance"][0] == pytest.approx(run.evidence(1)["importance"][row].as_py(), abs=1e-4)
        assert client.get("/api/dashboard").status_code == 200
    finally:
        desk.close()


@pytest.mark.usefixtures("steady")
def test_two_processes_train_as_one(clips_folder, tmp_path):
    settings = {
        **EXACT,
        **{k: v for k, v in SCN.items() if k not in TINY},
        "relabel_epoch": 1,
        "frames_per_clip": 3,
    }
    one = selfcure.train(clips_folder, out=tmp_path / "one", **settings)
    train_in_two([{"data": str(clips_folder), "out": str(tmp_path / "two"), "settings": settings}], tmp_path)
    assert_alike(one, RunFolder(tmp_path / "two"))
    assert len(one.changes())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_clips(method, clips_folder, tmp_path):
    run = selfcure.train(
        clips_folder, out=tmp_path / "run", **{**TINY, "method": method, "frames_per_clip": 2, "unit": "clip"}
    )
    assert np.isfinite([record["loss"] for record in run.metrics()]).all()
    assert len(selfcure.label_table(run)) == 120


@pytest.mark.parametrize("option", [{"unit": "clip"}, {"frames_per_clip": 2}])
def test_a_set_without_clips_is_refused(option, stripes_folder, tmp_path):
    with pytest.raises(
        SelfcureError, match=r"has no column 'clip'.*'selfcure collect' makes folders that do"
    ):
        selfcure.train(stripes_folder, out=tmp_path / "run", **TINY, **option)
    assert not (tmp_path / "run").exists()


def test_the_command_says_what_it_draws(clips_folder, stripes_folder, tmp_path, capsys):
    line = [
        "train",
        str(clips_folder),
        "--out",
        str(tmp_path / "run"),
        "--backbone",
        "compact",
        "--size",
        "16",
    ]
    line += ["--epochs", "1", "--set", "batch_size=16", "--set", "frames_per_clip=2"]
    assert command([*line, "--unit", "clip"]) == 0
    assert "30 clips, 0 of them of one frame; at most 2 frames of each in an epoch; one label for each" in (
        (printed := capsys.readouterr()).err
    )
    assert "clips decided on in the epoch" in printed.out
    assert "clips with another label than at first" in printed.out
    line[1], line[3] = str(stripes_folder), str(tmp_path / "other")
    assert command([*line, "--unit", "clip"]) == 2
    assert "has no column 'clip'" in capsys.readouterr().err
    assert command([*line, "--unit", "video"]) == 2
    assert "unknown unit 'video'" in capsys.readouterr().err


def test_frames_that_the_last_epoch_did_not_draw_have_no_importance(clips_folder, tmp_path):
    settings = {**TINY, "method": "scn", "frames_per_clip": 1, "num_epochs": 1}
    table = selfcure.label_table(selfcure.train(clips_folder, out=tmp_path / "run", **settings))
    assert table["importance"].null_count == 90
    assert not np.isnan(table["importance"].drop_null().to_numpy()).any()
