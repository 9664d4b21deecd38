"""Several worker processes of one machine, which share its cores and its GPUs."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from selfcure.benchmark.cells import Bench, Cell
from selfcure.benchmark.running import Keep
from selfcure.benchmark.worker import Tell
from selfcure.errors import SelfcureError
from selfcure.training.interrupt import Interrupted


def run_pool(
    bench: Bench,
    cells: Sequence[Cell],
    *,
    jobs: int,
    keep: Keep,
    fields: dict[str, Any],
    tell: Tell,
    gpus: Sequence[str],
    threads: int,
    stopping: Callable[[], None],
    died: Callable[[str], None],
) -> None:
    """Run cells in ``jobs`` processes until all are settled.

    The first Ctrl-C or SIGTERM stops each after the batch at hand, saved; a second one at once.

    Args:
        gpus: names as in ``CUDA_VISIBLE_DEVICES``, handed out in turn; none: what there is, for all.
        threads: CPU threads of each.
        stopping: called at the first signal.
        died: called with the signal's name where a worker was killed; the others take its cell over.

    Raises:
        Interrupted: stopped by a signal.
        SelfcureError: a worker could not go on, or all have died.
    """
    plan = json.dumps(
        {
            "out": str(bench.path),
            "sources": {name: str(path) for name, path in bench.sources.items()},
            "weights": {name: str(path) for name, path in bench.weights.items()},
            "cells": [cell.as_dict() for cell in cells],
            "keep": keep,
            "fields": fields,
        }
    )
    workers: list[subprocess.Popen[str]] = []
    num_signals = 0

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal num_signals
        num_signals += 1
        if num_signals == 1:
            stopping()
        for worker in workers:
            with suppress(OSError):
                worker.send_signal(signal.SIGTERM if num_signals == 1 else signal.SIGKILL)

    previous = {}
    with suppress(ValueError):  # not the main thread
        previous = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for index in range(jobs):
            workers.append(_start(index, gpus, threads))
            assert workers[-1].stdin
            with suppress(BrokenPipeError):
                workers[-1].stdin.write(plan + "\n")
                workers[-1].stdin.flush()
        errors = _listen(workers, tell, died)
        codes = [worker.wait() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                assert pipe
                with suppress(BrokenPipeError):
                    pipe.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
    if num_signals:
        raise Interrupted("stopped; every cell is saved")
    if errors:
        raise SelfcureError(errors[0])
    if all(codes):
        killed = [signal.Signals(-code).name for code in codes if code < 0]
        how = f"killed by {', '.join(sorted(set(killed)))}" if killed else f"ended with exit code {codes[0]}"
        raise SelfcureError(
            f"all workers were {how}" if killed else f"all workers {how}, their words are above"
        )


def _start(index: int, gpus: Sequence[str], threads: int) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environment.setdefault(name, str(threads))
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
    return subprocess.Popen(
        [sys.executable, "-m", "selfcure.benchmark.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        encoding="utf-8",
        start_new_session=True,  # the terminal's Ctrl-C reaches them through us, once
    )


def _listen(workers: Sequence["subprocess.Popen[str]"], tell: Tell, died: Callable[[str], None]) -> list[str]:
    """Pass on what the workers say until all have ended; returns their errors."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read(worker: "subprocess.Popen[str]") -> None:
        for line in worker.stdout or ():
            lines.put(line)
        code = worker.wait()
        lines.put(signal.Signals(-code).name if code < 0 else "")

    for worker in workers:
        threading.Thread(target=read, args=(worker,), daemon=True).start()
    errors, num_open = [], len(workers)
    while num_open:
        line = lines.get()
        if not line.startswith("{"):
            num_open -= 1
            if line:
                died(line)
        elif "error" in (said := json.loads(line)):
            errors.append(said["error"])
        else:
            tell(said["cell"], said["result"])
    return errors


def num_cores() -> int:
    """Cores that this process may use; a container's quota counts."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        cores = os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def visible_gpus() -> list[str]:
    """The GPUs that torch sees here, as ``CUDA_VISIBLE_DEVICES`` calls them."""
    import torch

    if not torch.cuda.is_available():
        return []
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named or [str(index) for index in range(torch.cuda.device_count())]
