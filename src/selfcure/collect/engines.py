"""Work shared out: here, by processes, or by Ray. What comes back does not depend on it."""

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar, cast

from selfcure.errors import SelfcureError, check_choice
from selfcure.faces.extraction import one_thread

Task = TypeVar("Task")
Result = TypeVar("Result")


def share_out(
    job: Callable[[Task], Result], tasks: Iterable[Task], *, workers: int, engine: str
) -> Iterator[tuple[Task, Result]]:
    """Each task and its result, as they are done; with the engine ``local`` and one worker in this process.

    Args:
        job: what is done to a task. It is pickled once for each worker, and keeps there what it builds.

    Raises:
        SelfcureError: an argument is out of range, a worker was killed, or Ray is missing.
    """
    check_choice("engine", engine, ENGINES)
    if not 1 <= workers <= 1024:
        raise SelfcureError(f"workers must be from 1 to 1024, not {workers}")
    run = _here if engine == "local" and workers == 1 else ENGINES[engine]
    yield from run(job, iter(tasks), workers)


def in_order(results: Iterable[tuple[tuple[int, Any], Result]]) -> Iterator[Result]:
    """Results of tasks (0, …), (1, …), … in that order, whatever came first."""
    early: dict[int, Result] = {}
    expected = 0
    for (number, _), result in results:
        early[number] = result
        while expected in early:
            yield early.pop(expected)
            expected += 1


def _here(job: Callable[[Task], Result], tasks: Iterator[Task], num: int) -> Iterator[tuple[Task, Result]]:
    for task in tasks:
        with one_thread():
            result = job(task)
        yield task, result


def _processes(
    job: Callable[[Task], Result], tasks: Iterator[Task], num: int
) -> Iterator[tuple[Task, Result]]:
    """Each process has a pipe and one task at a time; one that is killed is noticed at once."""
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    workers: dict[Connection, _Worker[Task]] = {}
    try:
        _start(context, job, num, workers)
        for pipe, worker in workers.items():
            worker.give(pipe, tasks)
        while busy := [pipe for pipe, worker in workers.items() if worker.busy]:
            for pipe in cast(list[Connection], wait(busy)):
                task, answer = workers[pipe].take(pipe)
                workers[pipe].give(pipe, tasks)
                yield task, answer
    finally:
        for worker in workers.values():
            worker.process.terminate()  # nothing is lost: what it found is written by this one
            worker.process.join()


class _Worker(Generic[Task]):
    def __init__(self, process: Any):
        self.process = process
        self.busy: list[Task] = []

    def give(self, pipe: Connection, tasks: Iterator[Task]) -> None:
        for task in tasks:
            try:
                pipe.send(task)
            except OSError as error:
                raise _killed() from error
            self.busy.append(task)
            return

    def take(self, pipe: Connection) -> tuple[Task, Any]:
        try:
            answer = pipe.recv()
        except (EOFError, OSError) as error:
            raise _killed() from error
        if isinstance(answer, Exception):
            raise answer
        return self.busy.pop(), answer


def _start(
    context: Any, job: Callable[[Any], Any], num: int, workers: dict[Connection, "_Worker[Any]"]
) -> None:
    # As selfcure.faces.engines: a Ctrl-C is for the parent alone, and Python's own helper would lift the mask again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for _ in range(num):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, job), daemon=True)
            process.start()
            workers[ours] = _Worker(process)
            theirs.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, job: Callable[[Any], Any]) -> None:
    """What a process does until its parent is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        answer: Any
        try:
            with one_thread():
                answer = job(task)
        except SelfcureError as error:
            answer = error
        except Exception:
            answer = RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
        pipe.send(answer)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)  # the parent was killed: nobody takes what is under way


def _killed() -> SelfcureError:
    return SelfcureError(
        "a worker process was ended from outside, for want of memory perhaps; "
        "repeat the command with fewer --workers, finished parts are kept"
    )


class _Actor:
    """A Ray worker."""

    def __init__(self, job: Callable[[Any], Any]):
        self._job = job

    def work(self, task: Any) -> Any:
        with one_thread():
            return self._job(task)


def _ray(job: Callable[[Task], Result], tasks: Iterator[Task], num: int) -> Iterator[tuple[Task, Result]]:
    """In ``num`` actors on a Ray cluster (``RAY_ADDRESS``), or on this machine. All must see the same files."""
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
        actor: Any = ray.remote(num_cpus=1)(_Actor)
        free = [actor.remote(job) for _ in range(num)]
        under_way: dict[Any, tuple[Any, Task]] = {}
        while True:
            while free and (task := next(tasks, None)) is not None:
                worker = free.pop()
                under_way[worker.work.remote(task)] = (worker, task)
            if not under_way:
                return
            for reference in ray.wait(list(under_way))[0]:
                worker, task = under_way.pop(reference)
                free.append(worker)
                yield task, ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, SelfcureError):
            raise error.cause from error
        raise
    finally:
        if started:
            ray.shutdown()


ENGINES: dict[str, Callable[..., Iterator[tuple[Any, Any]]]] = {"local": _processes, "ray": _ray}
"""Name → how the work is shared out."""
