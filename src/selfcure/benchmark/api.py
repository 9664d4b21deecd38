"""A benchmark as one call."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfcure.benchmark.cells import Bench, Cell, Data, sampled
from selfcure.benchmark.pool import num_cores, run_pool, visible_gpus
from selfcure.benchmark.requests import Request
from selfcure.benchmark.results import gather, headline, load
from selfcure.benchmark.running import FAILED, Keep, read_json, register, state
from selfcure.benchmark.suites import SUITES
from selfcure.benchmark.tables import as_csv, markdown
from selfcure.benchmark.worker import stopper, work
from selfcure.data.folder import Dataset
from selfcure.data.images import available_memory
from selfcure.data.noise import noise_rate
from selfcure.errors import SelfcureError, check_choice
from selfcure.methods import METHODS
from selfcure.runs import write_text
from selfcure.training.config import RECIPES, resolve
from selfcure.training.interrupt import StopRequest

BUDGETS: dict[str, dict[str, Any]] = {
    # The paper's 0.1 at batch 1024, by the linear rule; the reference recipe keeps its own batch and Adam.
    "short": {
        "num_images": 8000,
        "fields": {"image_size_px": 48, "num_epochs": 12},
        "recipes": {"paper": {"batch_size": 128, "learning_rate": 0.0125}},
    },
    "paper": {"num_images": 0, "fields": {}, "recipes": {}},
}
"""Training images (0: all) and fields of the configuration, the same for every method."""


class Listener:
    """Hears how a benchmark goes. This one says nothing."""

    def planned(self, *, cells: Sequence[Cell], states: Mapping[str, str], bench: Bench) -> None:
        """What there is to do."""

    def settled(self, name: str, result: Mapping[str, Any], *, num_left: int, seconds_left: float) -> None:
        """A cell is finished, or ``failed`` with the reason."""

    def died(self, how: str) -> None:
        """One of several workers was killed by the signal ``how``; the others take its cell over."""

    def stopping(self) -> None:
        """Asked to stop: it will, after the batch at hand."""


def run_benchmark(
    suite: str,
    data: Sequence[str | Path],
    *,
    out: str | Path,
    methods: Sequence[str] | None = None,
    recipe: str | None = None,
    seeds: int = 3,
    budget: str = "short",
    rates: Sequence[float] | None = None,
    num_images: int | None = None,
    weights: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    jobs: int = 1,
    retry: bool = False,
    keep: str = "results",
    dry_run: bool = False,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Run a suite's cells, or what is left of them, and write ``table.md`` and ``table.csv`` into ``out``.

    A finished cell is never computed again. Any number of processes and machines may call this with the same ``out`` at
    once: they share the cells.

    Args:
        suite: a key of :data:`~selfcure.benchmark.suites.SUITES`.
        data: dataset folders; each gives tables of its own, but for the suites that put them together.
        out: the benchmark's folder, which is made.
        methods: keys of METHODS, each perhaps with a recipe, as ``scn:reference``; by default the suite's.
        recipe: of the methods that name none: ``paper`` (default), ``reference`` or ``modern``.
        seeds: each cell is trained with the seeds 0 … ``seeds`` - 1, which draw the flips too.
        budget: a key of :data:`BUDGETS`.
        rates: shares of labels to flip, in [0, 1); by default the suite's.
        num_images: training images that are drawn (seed 0); 0 for all; by default the budget's.
        weights: checkpoints to start from, each perhaps with its backbone, as ``ir50=FILE``.
        settings: fields of the configuration; one of a single method's own goes to that method's cells.
        jobs: cells at once, in processes of their own that share cores and GPUs.
        retry: run failed cells again.
        keep: ``results``, or ``all``: weights, checkpoints and every epoch's evidence too.
        dry_run: plan and estimate, write nothing.

    Returns:
        Plain JSON: the cells with their states and, with ``dry_run``, the estimate.

    Raises:
        SelfcureError: a mistake in the arguments, or ``out`` holds cells with other settings.
        Interrupted: stopped by a signal; everything is saved.
    """
    check_choice("suite", suite, SUITES)
    check_choice("budget", budget, BUDGETS)
    check_choice("keep", keep, ("results", "all"))
    for name, value, low in (("seeds", seeds, 1), ("jobs", jobs, 1), ("num_images", num_images or 0, 0)):
        if value < low:
            raise SelfcureError(f"{name} must be at least {low}, not {value}")
    if rates is not None and not (rates and all(0 <= rate < 1 for rate in rates)):
        raise SelfcureError(f"rates must be at least 0 and below 1, not {list(rates)}")
    files = _checkpoints(weights)
    sources = _sources(data)
    bench = Bench(Path(out), {s.name: path for s, path in sources}, {mark: file for _, mark, file in files})
    chosen = SUITES[suite]
    request = Request(
        sets=tuple(_drawn(s, path, budget, num_images) for s, path in sources),
        methods=_rows(methods or chosen.methods, recipe),
        seeds=seeds,
        rates=None if rates is None else tuple(rates),
        weights={backbone: mark for backbone, mark, _ in files},
        settings=_Settings(budget, settings or {}, [*dict(_rows(methods or chosen.methods, recipe))]),
    )
    chosen.check(suite, request)
    cells = chosen.cells(request)
    _check(cells)
    listener = listener or Listener()
    if dry_run:
        return {**_report(bench, suite, cells), **_estimated(bench, cells, jobs)}
    for cell in cells:
        register(bench, cell)
        if retry:
            (bench.folder(cell) / FAILED).unlink(missing_ok=True)
    _run(bench, cells, jobs, "all" if keep == "all" else "results", settings or {}, listener)
    return _report(bench, suite, cells)


def _run(
    bench: Bench, cells: list[Cell], jobs: int, keep: Keep, settings: Mapping[str, Any], listener: Listener
) -> None:
    states = {cell.name: state(bench, cell) for cell in cells}
    listener.planned(cells=cells, states=states, bench=bench)
    left = [cell for cell in cells if states[cell.name] in ("left", "running")]
    started, num_before = time.monotonic(), len(left)
    write_tables(bench.path)

    def tell(name: str, result: Mapping[str, Any]) -> None:
        num_left = sum(state(bench, cell) in ("left", "running") for cell in left)
        pace = (time.monotonic() - started) / max(1, num_before - num_left)
        listener.settled(name, result, num_left=num_left, seconds_left=pace * num_left)
        write_tables(bench.path)

    fields = {} if "max_cache_gb" in settings else {"max_cache_gb": available_memory() / 2e9 / jobs}
    try:
        if not left:
            return
        if jobs == 1:
            with StopRequest(listener.stopping) as stop:
                work(bench, cells, keep=keep, fields=fields, tell=tell, check=stopper(stop))
            return
        run_pool(
            bench,
            cells,
            jobs=min(jobs, len(left)),
            keep=keep,
            fields=fields,
            tell=tell,
            gpus=visible_gpus(),
            threads=max(1, num_cores() // jobs),
            stopping=listener.stopping,
            died=listener.died,
        )
    finally:
        write_tables(bench.path)


def write_tables(out: Path) -> None:
    """Write ``table.md`` and ``table.csv`` of all cells in a benchmark's folder."""
    tables = gather(load(out))
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "table.md", markdown(tables))
    write_text(out / "table.csv", as_csv(tables))


def _report(bench: Bench, suite: str, cells: Sequence[Cell]) -> dict[str, Any]:
    described = []
    for cell in cells:
        now = state(bench, cell)
        facts: dict[str, Any] = {"name": cell.name, "state": now}
        if now == "done":
            result = read_json(bench.folder(cell) / "result.json")
            facts |= {"accuracy": headline(result), "seconds": result["seconds"]}
        elif now == "failed":
            facts["reason"] = read_json(bench.folder(cell) / FAILED)["failed"]
        elif now == "not run":
            facts["reason"] = cell.not_run
        described.append(facts)
    return {"suite": suite, "out": str(bench.path), "cells": described}


def _estimated(bench: Bench, cells: Sequence[Cell], jobs: int) -> dict[str, Any]:
    from selfcure.benchmark.estimate import estimate

    left = [cell for cell in cells if state(bench, cell) in ("left", "running")]
    return {"estimate": estimate(bench, left, jobs=jobs)}


class _Settings:
    """The fields that a cell of a method and recipe is trained with."""

    def __init__(self, budget: str, given: Mapping[str, Any], methods: Sequence[str]):
        self._budget, self._given = BUDGETS[budget], dict(given)
        if "seed" in given:
            raise SelfcureError("seed is the benchmark's: --seeds says how many")
        own = {name for method in methods for name in _fields(method)}
        for name in given:
            check_choice("field", name, sorted(own))

    def __call__(self, method: str, recipe: str) -> dict[str, Any]:
        fields = {**self._budget["fields"], **self._budget["recipes"].get(recipe, {})}
        known = _fields(method)
        fields |= {name: value for name, value in self._given.items() if name in known}
        resolved = resolve(method, recipe, **fields).as_dict()
        return {name: resolved[name] for name in fields}


def _fields(method: str) -> set[str]:
    return set(resolve(method, "paper").as_dict()) - {"method", "recipe"}


def _rows(methods: Sequence[str], recipe: str | None) -> tuple[tuple[str, str], ...]:
    rows = []
    for text in methods:
        method, _, own = text.strip().partition(":")
        check_choice("method", method, METHODS)
        check_choice("recipe", own or recipe or "paper", RECIPES)
        rows.append((method, own or recipe or "paper"))
    if len(set(rows)) < len(rows):
        raise SelfcureError(f"methods names one twice: {', '.join(methods)}")
    return tuple(rows)


def _sources(folders: Sequence[str | Path]) -> list[tuple[Data, Path]]:
    found = []
    for folder in folders:
        path = Path(folder)
        dataset = Dataset(path)
        split = dataset.split("train")
        name = path.resolve().name
        options = {
            "fingerprint": split.fingerprint(),
            "layout": _layout(dataset.manifest),
            "differs": noise_rate(split.labels, split.true_labels),
        }
        found.append((Data(name=name, kind="source", options=options), path))
    names = [data.name for data, _ in found]
    if not names:
        raise SelfcureError("--data needs at least one dataset folder")
    if len(set(names)) < len(names):
        raise SelfcureError(f"the dataset folders need different names, not {', '.join(names)}")
    return found


def _layout(manifest: Mapping[str, Any]) -> str:
    """The published layout that a folder comes from, however often it was changed since."""
    while isinstance(manifest.get("parent"), Mapping):
        manifest = manifest["parent"]
    return str(manifest.get("layout", ""))


def _drawn(data: Data, path: Path, budget: str, num_images: int | None) -> Data:
    num = BUDGETS[budget]["num_images"] if num_images is None else num_images
    return sampled(data, num) if 0 < num < Dataset(path).splits["train"] else data


def _checkpoints(weights: Sequence[str]) -> list[tuple[str, str, Path]]:
    """Backbone, what a cell calls the file, and the file."""
    found = []
    for text in weights:
        backbone, equals, name = text.rpartition("=")
        file = Path(name)
        if not file.exists():
            raise SelfcureError(f"weights {name} do not exist")
        if file.is_dir():
            file = file / "model.safetensors"
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        found.append((backbone if equals else "resnet18", f"file:{digest} {file.name}", Path(name)))
    return found


def _check(cells: Sequence[Cell]) -> None:
    names = [cell.name for cell in cells]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert not twice, twice
    if not cells:
        raise SelfcureError("nothing to run")
    for cell in cells:
        if not cell.not_run:
            resolve(cell.method, cell.recipe, **cell.settings)
