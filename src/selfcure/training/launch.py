"""Starts the processes of one training on this machine; on several machines torchrun does."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from selfcure.errors import SelfcureError

_GRACE_SEC = 20.0
"""How long the others may take to notice that one has failed."""


def launched() -> bool:
    """Whether this process is already one of several."""
    return "RANK" in os.environ


def launch(command: Sequence[str], num_processes: int) -> int:
    """Run ``command`` in several processes that find each other, and wait for all.

    Ctrl-C and SIGTERM are passed on once to each, so that they stop together after the batch at hand.

    Args:
        command: program and arguments, the same in each process; ``RANK`` and the like tell them apart.

    Returns:
        The exit code of the first process that failed, 0 if none did.
    """
    if num_processes < 1:
        raise SelfcureError(f"--processes must be at least 1, not {num_processes}")
    # Cores are shared from the start: teams of threads made too large and cut later go on costing.
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // num_processes))
    with tempfile.TemporaryDirectory(prefix="selfcure-") as folder:
        processes: list[subprocess.Popen[bytes]] = []

        def pass_on(number: int, frame: object) -> None:
            for process in processes:
                if process.poll() is None:
                    process.send_signal(number)

        previous = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for rank in range(num_processes):
                environment = {
                    **os.environ,
                    "OMP_NUM_THREADS": threads,
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": str(num_processes),
                    "LOCAL_WORLD_SIZE": str(num_processes),
                    "SELFCURE_RENDEZVOUS": (Path(folder) / "store").as_uri(),
                }
                # A group of its own: the terminal's Ctrl-C reaches it through us, once.
                processes.append(subprocess.Popen(command, env=environment, start_new_session=True))
            return _wait(processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()
            for number, handler in previous.items():
                signal.signal(number, handler)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    failed, since = 0, 0.0
    while any(process.poll() is None for process in processes):
        time.sleep(0.05)
        for rank, process in enumerate(processes):
            code = process.poll()
            if code and not failed:
                failed, since = code, time.monotonic()
                if code < 0:
                    name = signal.Signals(-code).name
                    print(f"selfcure: process {rank} was killed by {name}", file=sys.stderr, flush=True)
        if failed and time.monotonic() - since > _GRACE_SEC:
            return abs(failed)
    return abs(failed or next((process.returncode for process in processes if process.returncode), 0))
