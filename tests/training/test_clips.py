"""Training on the frames of clips: so many of each an epoch, and one label for all of them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_distributed import EXACT, assert_alike, steady, train_in_two  # noqa: F401 - steady is a fixture
from test_resume import InterruptAfter, assert_same_run

import selfcure
from selfcure.cli import run as command
from selfcure.data.folder import Dataset
from selfcure.data.rewrite import changed, derive
from selfcure.errors import SelfcureError
from selfcure.methods import METHODS
from selfcure.runs import RunFolder
from selfcure.training.interrupt import Interrupted
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


def test_classes_are_balanced_among_what_is_drawn():
    labels, clips = [0] * 12 + [1] * 2, [0] * 6 + [1] * 6 + [2, 3]
    drawn = order_of(labels, clips, 2, sampling="balanced")
    assert sorted(labels[k] for k in drawn) == [0, 0, 0, 1, 1, 1]


def test_rows_without_a_clip_are_clips_of_their_own(clips_folder, tmp_path):
    parent = Dataset(clips_folder)
    train = parent.split("train")
    none = {0, 5, 6}

    def drop(table: pa.Table, rows: slice) -> pa.Table:
        column = table.column_names.index("clip")
        values = [
            None if k in none else v
            for k, v in zip(range(rows.start, rows.stop), table["clip"].to_pylist(), strict=True)
        ]
        return table.set_column(column, "clip", pa.array(values, pa.string()))

    folder = derive(
        {"train": train}, tmp_path / "d", kind="made", settings={}, shards={"train": changed(train, drop)}
    )
    clips, whole = folder.split("train").clips, train.clips
    assert len(set(whole)) == 30
    assert len(set(clips)) == 33
    assert clips[1] == clips[2] == clips[3] != clips[0]
    kept = [k for k in range(120) if k not in none]
    same = clips[kept][:, None] == clips[kept]
    np.testing.assert_array_equal(same, whole[kept][:, None] == whole[kept])


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


def test_interrupted_it_goes_on_bit_for_bit(run, clips_folder, tmp_path):
    with pytest.raises(Interrupted):
        selfcure.train(
            clips_folder, out=tmp_path / "run", reporter=InterruptAfter(5), **SCN, frames_per_clip=2
        )
    selfcure.train(clips_folder, out=tmp_path / "run", resume=True)
    assert_same_run(run.path, tmp_path / "run")


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
        capsys.readouterr().err
    )
    line[1], line[3] = str(stripes_folder), str(tmp_path / "other")
    assert command([*line, "--unit", "clip"]) == 2
    assert "has no column 'clip'" in capsys.readouterr().err
    assert command([*line, "--unit", "video"]) == 2
    assert "unknown unit 'video'" in capsys.readouterr().err
