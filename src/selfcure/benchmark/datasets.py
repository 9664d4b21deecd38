"""The dataset folders of a benchmark, made once whoever needs them first."""

import time
from collections.abc import Callable
from pathlib import Path

from selfcure.benchmark.cells import Bench, Data
from selfcure.benchmark.claims import Claim
from selfcure.data.folder import Dataset
from selfcure.data.join import join
from selfcure.data.noise import add_noise
from selfcure.data.sample import sample

_POLL_SEC = 0.5


def prepare(bench: Bench, data: Data, *, check: Callable[[], None] = lambda: None) -> Path:
    """The folder of ``data``, made with its parents where it is not there yet.

    Args:
        check: called now and then; what it raises ends the waiting and the work, which the next call takes up.

    Raises:
        SelfcureError: it cannot be made.
    """
    for step in data.steps():
        if step.kind != "source":
            _make(bench, step, check)
    return bench.data(data)


def _make(bench: Bench, data: Data, check: Callable[[], None]) -> None:
    out = bench.data(data)
    while not out.is_dir():
        check()
        # Others may want the same one now: the first makes it, the others wait.
        claim = Claim.take(out.with_name(out.name + ".lock"))
        if claim is None:
            time.sleep(_POLL_SEC)
            continue
        with claim:
            if not out.is_dir():
                _call(bench, data, out, lambda done, total: check())


def _call(bench: Bench, data: Data, out: Path, progress: Callable[[int, int], None]) -> Dataset:
    parents = [bench.data(parent) for parent in data.parents]
    if data.kind == "join":
        return join(*parents, out=out, progress=progress, **data.options)
    if data.kind == "sample":
        return sample(parents[0], out=out, progress=progress, **data.options)
    return add_noise(parents[0], out=out, progress=progress, **data.options)
