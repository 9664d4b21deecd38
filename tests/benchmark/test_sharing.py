"""Several processes on one benchmark, and what a kill leaves."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from selfcure.benchmark.api import Listener
from selfcure.benchmark.running import read_json

OPTIONS = {"methods": ["plain", "scn"], "rates": [0.0, 0.3]}
LONG = {"num_epochs": 7, "batch_size": 8, "micro_batch_size": 8}
"""Long enough to be hit in the middle."""


@pytest.fixture
def start(faces, tiny, tmp_path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the same benchmark as a command, in ``tmp_path / "bench"``; what is left of it is killed at the end."""
    processes = []

    def call(*arguments: str) -> subprocess.Popen[str]:
        line = ["benchmark", "noise", "--data", str(faces[0]), "--out", str(tmp_path / "bench")]
        line += ["--seeds", "1", "--num-images", "24", "--methods", "plain,scn", "--rates", "0,30"]
        for name, value in (tiny | LONG).items():
            line += ["--set", f"{name}={value}"]
        command = [sys.executable, "-m", "selfcure", *line, *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, **pipes))
        return processes[-1]

    yield call
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.01)


def numbers(bench: Path) -> dict[str, object]:
    """All that was measured, without clocks."""
    found: dict[str, object] = {"table": (bench / "table.md").read_text()}
    for file in bench.glob("*/*/result.json"):
        result = read_json(file)
        last = {k: v for k, v in result["last"].items() if k not in ("seconds", "images_per_second")}
        found[file.parent.name] = (result["evaluation"], last, result["epochs"])
    return found


class Watcher(Listener):
    """Notes who was settled, and kills the worker that is first seen amid a training."""

    def __init__(self, place: Path):
        self.names: list[str] = []
        self.killed: str = ""
        self._place = place
        threading.Thread(target=self._kill, daemon=True).start()

    def settled(self, name, result, **how_long):
        assert "failed" not in result
        self.names.append(name)

    def died(self, how):
        assert how == "SIGKILL"
        self.names.append("died")

    def _kill(self) -> None:
        while not self.killed:
            for metrics in self._place.glob("*/*/run/metrics.jsonl"):
                lock = metrics.parents[1] / "lock"
                with suppress(OSError):
                    os.kill(int(lock.read_text().split()[1]), signal.SIGKILL)
                    self.killed = "/".join(lock.parent.parts[-2:])
                    return
            time.sleep(0.005)


def test_workers_share_the_cells_and_take_over_those_of_a_killed_one(bench, tmp_path):
    report = bench("noise", out=tmp_path / "whole", settings=LONG, **OPTIONS)
    watcher = Watcher(tmp_path / "bench")
    shared = bench("noise", settings=LONG, jobs=2, listener=watcher, **OPTIONS)
    assert watcher.killed in watcher.names
    assert sorted(watcher.names) == sorted(["died", *(cell["name"] for cell in report["cells"])])
    assert [cell["state"] for cell in shared["cells"]] == ["done"] * 4
    assert numbers(tmp_path / "bench") == numbers(tmp_path / "whole")
    assert not list(tmp_path.rglob("*lock*"))


@pytest.mark.slow
def test_killed_at_any_point_the_tables_are_the_same(bench, start, tmp_path):
    bench("noise", out=tmp_path / "whole", settings=LONG, **OPTIONS)
    place = tmp_path / "bench"
    process = start("--jobs", "2")
    # A worker amid an epoch beyond its first …
    wait_for(lambda: [f for f in place.glob("*/*/run/metrics.jsonl") if (f.parents[1] / "lock").exists()])
    lock = next(f.parents[1] / "lock" for f in place.glob("*/*/run/metrics.jsonl"))
    worker = int(lock.read_text().split()[1]) if lock.exists() else None
    if worker:
        os.kill(worker, signal.SIGKILL)
    # … and then the one who started it; the other worker notices, and saves.
    process.kill()
    process.communicate()
    wait_for(lambda: not [f for f in place.glob("*/*/lock") if alive(f)])
    done = len(list(place.glob("*/*/result.json")))
    assert done < 4
    report = bench("noise", settings=LONG, **OPTIONS)
    assert [cell["state"] for cell in report["cells"]] == ["done"] * 4
    assert numbers(place) == numbers(tmp_path / "whole")
    assert not list(place.rglob("*lock*"))


def alive(lock: Path) -> bool:
    try:
        process = int(lock.read_text().split()[1])
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError, ValueError):
        return False


@pytest.mark.slow
def test_two_at_once_share_the_cells(start, tmp_path):
    both = [start(), start()]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    lines = [line for _, errors in said for line in errors.splitlines() if "seed0  " in line]
    # Each cell once, by one of them; and both end with the whole table.
    assert len(lines) == len({line.split()[0] for line in lines}) == 4
    assert said[0][0] == said[1][0] == (tmp_path / "bench" / "table.md").read_text()
    assert "4 of 4 cells" in said[0][0]


@pytest.mark.slow
def test_interrupted_it_says_how_to_go_on(start, tmp_path):
    process = start("--jobs", "2")
    wait_for(lambda: list((tmp_path / "bench").glob("*/*/run/metrics.jsonl")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "every cell is saved; go on with: selfcure benchmark noise --data" in errors
    assert "Traceback" not in errors
    assert not list((tmp_path / "bench").glob("*/*/lock"))
