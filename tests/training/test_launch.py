"""Several processes from the command line: one voice, one end, nothing lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import selfcure
from selfcure.errors import SelfcureError
from selfcure.runs import RunFolder
from selfcure.training.checkpoint import load_tensors
from selfcure.training.launch import launch
from selfcure.training.workers import Workers, part_of
from stripes import TINY

SETTINGS = {**TINY, "method": "scn", "num_threads": 1}


def command(data: Path, out: Path, *more: str) -> list[str]:
    settings = {"batch_size": TINY["batch_size"], "learning_rate": TINY["learning_rate"], "num_threads": 1}
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    start = [sys.executable, "-m", "selfcure", "train", str(data), "--out", str(out)]
    return [*start, "--backbone", "compact", "--size", "16", *words, *more]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120)


def begun(data: Path, out: Path) -> subprocess.Popen[str]:
    """Two processes in a long training, past their first epoch."""
    words = command(data, out, "--epochs", "400", "--processes", "2")
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (out / "metrics.jsonl").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def test_parts_cover_everything_as_tensor_split_does():
    import torch

    for total in (0, 1, 2, 7, 8, 1023):
        for size in (1, 2, 3, 8):
            parts = torch.arange(total).tensor_split(size)
            for rank, part in enumerate(parts):
                assert torch.equal(torch.arange(total)[part_of(total, rank, size)], part)


def test_one_process_speaks_for_all(stripes_folder, tmp_path):
    done = run(*command(stripes_folder, tmp_path / "run", "--epochs", "1", "--processes", "2", "--json"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epoch"] == 1
    assert done.stderr.count("2 processes, each with 20 of a batch of 40, ranked whole") == 1
    run_folder = RunFolder(tmp_path / "run")
    assert run_folder.document["environment"]["num_processes"] == 2
    assert run_folder.finished


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--processes", "2", "--set", "micro_batch_size=1"), "micro_batch_size must be 0 or at least 2"),
        (("--processes", "0"), "--processes must be at least 1, not 0"),
    ],
)
def test_a_mistake_is_one_line(stripes_folder, tmp_path, more, message):
    done = run(*command(stripes_folder, tmp_path / "run", *more))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_too_small_a_batch_for_so_many(stripes_folder, monkeypatch, tmp_path):
    monkeypatch.setattr(Workers, "__init__", lambda self: self.__dict__.update(size=2, rank=0, num_local=2))
    monkeypatch.setattr(Workers, "__exit__", lambda *_: None)
    with pytest.raises(SelfcureError, match="2 processes need batches of at least 4; batch_size is 3"):
        selfcure.train(stripes_folder, out=tmp_path / "run", batch_size=3)


def test_a_folder_that_is_there_is_one_line_too(stripes_folder, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").touch()
    done = run(*command(stripes_folder, tmp_path / "run", "--processes", "2"))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_ctrl_c_stops_all_and_resume_goes_on(stripes_folder, tmp_path):
    out = tmp_path / "run"
    process = begun(stripes_folder, out)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.count("everything is saved") == 1
    assert "--processes 2" in errors
    done = len(RunFolder(out).metrics())
    assert 0 < done < 400
    assert load_tensors(RunFolder(out).checkpoint)[1]["epoch"] == done + 1, "what is saved is what was done"


def test_a_killed_process_ends_the_others(tmp_path):
    script = tmp_path / "one_dies.py"
    script.write_text(
        "import os, signal, time\n"
        "if os.environ['RANK'] == '1':\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "time.sleep(60)\n"
    )
    start = time.monotonic()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("selfcure.training.launch._GRACE_SEC", 0.5)
        assert launch([sys.executable, str(script)], 2) == signal.SIGKILL
    assert time.monotonic() - start < 20


def test_losing_the_others_is_told_and_nothing_hangs(stripes_folder, tmp_path):
    """One process is killed in mid-training: the other says so in one line, and its checkpoint goes on."""
    out = tmp_path / "run"
    process = begun(stripes_folder, out)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = {child: rank_of(child) for child in children}
    os.kill(int(next(child for child, rank in ranks.items() if rank == "1")), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "process 1 was killed by SIGKILL" in errors
    assert "Traceback" not in errors, errors
    assert "lost the others" in errors
    with pytest.raises(SelfcureError, match="not finished"):
        selfcure.evaluate(out, stripes_folder)


def rank_of(process: str) -> str | None:
    environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return next((v.decode()[5:] for v in environment if v.startswith(b"RANK=")), None)
