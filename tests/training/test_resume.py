"""Interrupt and resume: the same bits as without."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import selfcure
from selfcure.errors import SelfcureError
from selfcure.runs import RunFolder
from selfcure.training.interrupt import Interrupted
from selfcure.training.reporter import Reporter
from stripes import TINY, write_stripes

RUNNER = Path(__file__).with_name("runner.py")
TIMING = ("seconds", "images_per_second")


def assert_same_run(a: Path, b: Path) -> None:
    """Weights, checkpoint (label book, optimiser, evidence), history and metrics agree to the last bit."""
    for name in ("model.safetensors", "checkpoint.safetensors"):
        left, right = load_file(a / name), load_file(b / name)
        assert left.keys() == right.keys()
        for key in left:
            assert torch.equal(left[key].nan_to_num(-9), right[key].nan_to_num(-9)), f"{name}: {key} differs"
    for folder in ("evidence", "changes"):
        assert sorted(p.name for p in (a / folder).iterdir()) == sorted(
            p.name for p in (b / folder).iterdir()
        )
        for file in (a / folder).iterdir():
            tables = [pq.read_table(path).to_pandas() for path in (file, b / folder / file.name)]
            assert tables[0].equals(tables[1]), file  # where both are NaN too
    metrics = [
        [{k: v for k, v in r.items() if k not in TIMING} for r in RunFolder(p).metrics()] for p in (a, b)
    ]
    assert metrics[0] == metrics[1]


VARIANTS = {
    "scn": {"method": "scn", "relabel_epoch": 2},
    "plain": {"method": "plain"},
    "cosine": {"method": "plain", "lr_schedule": "cosine", "warmup_epochs": 0.5},
}


@pytest.fixture(scope="module", params=sorted(VARIANTS))
def whole(request, stripes_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp(f"whole-{request.param}") / "run"
    settings = {**TINY, **VARIANTS[request.param]}
    selfcure.train(stripes_folder, out=out, **settings)
    return out, settings


class InterruptAfter(Reporter):
    """Sends SIGINT to this process after so many steps, as Ctrl-C does."""

    def __init__(self, num_steps: int):
        self.left = num_steps

    def step(self, epoch, samples_done, means):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("steps", [1, 3, 5, 7])
def test_ctrl_c_then_resume_is_bit_identical(whole, stripes_folder, tmp_path, steps):
    out, settings = whole
    with pytest.raises(Interrupted, match="everything is saved"):
        selfcure.train(stripes_folder, out=tmp_path / "run", reporter=InterruptAfter(steps), **settings)
    selfcure.train(stripes_folder, out=tmp_path / "run", resume=True)
    assert_same_run(out, tmp_path / "run")


def test_sigkill_then_resume_is_bit_identical(stripes_folder, tmp_path):
    def run(out: Path, mode: str, moment: str) -> int:
        command = [sys.executable, str(RUNNER), str(stripes_folder), str(out), mode, moment]
        return subprocess.run(command, capture_output=True, timeout=300).returncode

    assert run(tmp_path / "whole", "new", "never") == 0
    dice = random.Random()  # truly random moments; the message says which
    moments = [f"fsync:{dice.randint(1, 4)}", f"step:{dice.randint(1, 3)}", "evidence:1"]
    dice.shuffle(moments)
    killed = tmp_path / "killed"
    for number, moment in enumerate(moments):
        mode = "resume" if number else "new"
        assert run(killed, mode, moment) == -signal.SIGKILL, moments
    assert run(killed, "resume", "never") == 0, moments
    try:
        assert_same_run(tmp_path / "whole", killed)
    except AssertionError as error:
        raise AssertionError(f"killed at {moments}") from error


def test_training_never_sees_the_truth(tmp_path):
    runs = []
    for truth in ("true", "random", "absent"):
        data = write_stripes(tmp_path / truth, truth=truth).path
        run = selfcure.train(data, out=tmp_path / f"run-{truth}", **TINY, method="scn", relabel_epoch=2)
        runs.append((load_file(run.model), load_file(run.checkpoint), run.changes()))
    assert len(runs[0][2]), "no label changed: the test would prove too little"
    for weights, checkpoint, changes in runs[1:]:
        assert all(torch.equal(weights[k], v) for k, v in runs[0][0].items())
        assert all(torch.equal(checkpoint[k].nan_to_num(-9), v.nan_to_num(-9)) for k, v in runs[0][1].items())
        assert changes.equals(runs[0][2])


def test_resume_of_a_finished_run_changes_nothing(whole, stripes_folder):
    out, _ = whole
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    assert selfcure.train(stripes_folder, out=out, resume=True).path == out
    assert before == {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}


def test_resume_refuses_other_settings_and_other_data(whole, stripes_folder, tmp_path):
    out, settings = whole
    with pytest.raises(SelfcureError, match=r"seed: 3 there, 4 here"):
        selfcure.train(stripes_folder, out=out, resume=True, seed=4)
    selfcure.train(stripes_folder, out=out, resume=True, **settings)
    other = write_stripes(tmp_path / "other", seed=5).path
    with pytest.raises(SelfcureError, match="other samples or labels"):
        selfcure.train(other, out=out, resume=True)


def test_an_existing_run_is_not_overwritten(whole, stripes_folder):
    with pytest.raises(SelfcureError, match="already exists; go on with --resume"):
        selfcure.train(stripes_folder, out=whole[0], **TINY)


def test_a_full_disk_leaves_the_last_checkpoint(stripes_folder, tmp_path, monkeypatch):
    from selfcure.training import checkpoint

    calls = 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    settings = {**TINY, "method": "scn", "relabel_epoch": 2}
    with pytest.raises(OSError, match="No space left"):
        selfcure.train(stripes_folder, out=tmp_path / "run", **settings)
    assert not list((tmp_path / "run").glob("*.tmp"))
    monkeypatch.undo()
    selfcure.train(stripes_folder, out=tmp_path / "run", resume=True)
    selfcure.train(stripes_folder, out=tmp_path / "whole", **settings)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_a_damaged_checkpoint_is_one_clear_error(whole, stripes_folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(whole[0], copy)
    (copy / "model.safetensors").unlink()
    (copy / "checkpoint.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(SelfcureError, match="damaged or no checkpoint"):
        selfcure.train(stripes_folder, out=copy, resume=True)
