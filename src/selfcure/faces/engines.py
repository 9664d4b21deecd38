"""The same work done here, by several processes, or by Ray; results come in the order of the work."""

import itertools
import logging
import multiprocessing
import os
import queue
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from selfcure.errors import SelfcureError
from selfcure.faces.extraction import FaceSettings, Rows, Worker
from selfcure.faces.sources import Item

Chunk = Sequence[Item]
_AHEAD = 4
"""Chunks in the hands of each worker, so that none waits for another that has a long one."""


def run_here(
    settings: FaceSettings, root: Path, videos: bool, num: int, chunks: Iterable[Chunk]
) -> Iterator[Rows]:
    """In this process."""
    worker = Worker(settings, root, with_videos=videos)
    for chunk in chunks:
        yield worker.find(chunk)


def run_processes(
    settings: FaceSettings, root: Path, videos: bool, num: int, chunks: Iterable[Chunk]
) -> Iterator[Rows]:
    """In ``num`` processes.

    Each has a pipe of its own and nothing else in common with the others, so that one that is killed is noticed at once
    and leaves no lock behind, whatever it was doing. (A ``ProcessPoolExecutor`` waits forever for the rest of a result.)

    Raises:
        SelfcureError: a process was killed, for want of memory perhaps.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    pipes = [context.Pipe() for _ in range(num)]
    processes = [
        context.Process(target=_serve, args=(theirs, settings, root, videos), daemon=True)
        for _, theirs in pipes
    ]
    turn = itertools.cycle(ours for ours, _ in pipes)
    try:
        # They take the mask over: a Ctrl-C is for the parent alone, even before they could say so. Python's own helper,
        # which starts with the first of them, would lift it again.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for process, (_, theirs) in zip(processes, pipes, strict=True):
                process.start()
                theirs.close()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield from _in_order(lambda chunk: _send(next(turn), chunk), _receive, chunks, num * _AHEAD)
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()  # nothing is lost: what they found is written by this one
                process.join()


def _send(pipe: Connection, chunk: Chunk) -> Connection:
    """Hand a chunk to a process; its answers come back through the same pipe in their order."""
    try:
        pipe.send(chunk)
    except OSError as error:
        raise _killed() from error
    return pipe


def _receive(pipe: Connection) -> Rows:
    try:
        answer = pipe.recv()
    except (EOFError, OSError) as error:
        raise _killed() from error
    if isinstance(answer, Exception):
        raise answer
    return answer


def _killed() -> SelfcureError:
    return SelfcureError(
        "a worker process was ended from outside, for want of memory perhaps; "
        "repeat the command with fewer --workers, finished parts are kept"
    )


def _serve(pipe: Connection, settings: FaceSettings, root: Path, videos: bool) -> None:
    """What a process does until its parent is gone."""
    chunks: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
    threading.Thread(target=_take, args=(pipe, chunks), daemon=True).start()
    worker = Worker(settings, root, with_videos=videos)
    while True:
        answer: Rows | Exception
        try:
            answer = worker.find(chunks.get())
        except SelfcureError as error:
            answer = error
        except Exception:
            answer = RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
        pipe.send(answer)


def _take(pipe: Connection, chunks: "queue.SimpleQueue[Chunk]") -> None:
    try:
        while True:
            chunks.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(1)  # the parent is gone, killed perhaps


def run_ray(
    settings: FaceSettings, root: Path, videos: bool, num: int, chunks: Iterable[Chunk]
) -> Iterator[Rows]:
    """In ``num`` actors on a Ray cluster (``RAY_ADDRESS``), or on this machine. All must see the same files.

    Raises:
        SelfcureError: Ray is not installed, or does not start.
    """
    try:
        import ray
    except ImportError as error:
        raise SelfcureError("--engine ray needs Ray: pip install 'selfcure[ray]'") from error
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise SelfcureError(f"Ray does not start: {str(error).splitlines()[0]}") from error
    try:
        actor: Any = ray.remote(num_cpus=1)(Worker)
        actors = [actor.remote(settings, root.absolute(), with_videos=videos) for _ in range(num)]
        turn = itertools.cycle(actors)
        yield from _in_order(lambda chunk: next(turn).find.remote(chunk), ray.get, chunks, num * _AHEAD)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, SelfcureError):
            raise error.cause from error
        raise
    finally:
        if started:
            ray.shutdown()


def _in_order(
    submit: Callable[[Chunk], Any], result: Callable[[Any], Rows], chunks: Iterable[Chunk], ahead: int
) -> Iterator[Rows]:
    """Results in the order of ``chunks``, of which no more than ``ahead`` are under way."""
    pending: deque[Any] = deque()
    for chunk in chunks:
        pending.append(submit(chunk))
        if len(pending) == ahead:
            yield result(pending.popleft())
    while pending:
        yield result(pending.popleft())


ENGINES: dict[str, Callable[..., Iterator[Rows]]] = {"local": run_processes, "ray": run_ray}
"""Name → how the work is shared out."""
