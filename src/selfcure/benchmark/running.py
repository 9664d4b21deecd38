"""One cell from its dataset to its result, wherever it stands."""

import json
import os
import platform
import re
import shutil
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch

from selfcure.benchmark.cells import Bench, Cell
from selfcure.benchmark.claims import Claim, held
from selfcure.benchmark.datasets import prepare
from selfcure.data.folder import Dataset
from selfcure.errors import SelfcureError
from selfcure.runs import CONFIG, RunFolder, write_text
from selfcure.training.api import evaluate, train
from selfcure.training.interrupt import Interrupted
from selfcure.training.reporter import Reporter

CELL, RESULT, FAILED, LOCK = "cell.json", "result.json", "failed.json", "lock"

Keep = Literal["results", "all"]
State = Literal["done", "failed", "not run", "running", "left"]

_LOCAL = ("max_cache_gb",)  # settings of this machine, which no result depends on


def state(bench: Bench, cell: Cell) -> State:
    """How far a cell is."""
    folder = bench.folder(cell)
    if (folder / RESULT).is_file():
        return "done"
    if cell.not_run:
        return "not run"
    if (folder / FAILED).is_file():
        return "failed"
    return "running" if held(folder / LOCK) else "left"


def register(bench: Bench, cell: Cell) -> None:
    """Write ``cell.json``: what the cell is, and the commands that do the same by hand.

    Raises:
        SelfcureError: the folder holds a cell of this name with other settings or data.
    """
    folder = bench.folder(cell)
    file = folder / CELL
    wanted = cell.as_dict()
    if file.is_file():
        there = read_json(file)["cell"]
        if _identity(there) == _identity(wanted):
            if there == wanted:
                return
        elif any((folder / name).exists() for name in (RESULT, "run")):
            raise SelfcureError(
                f"{folder} was begun with {_difference(there, wanted)}; choose another --out, or delete that folder"
            )
    folder.mkdir(parents=True, exist_ok=True)
    document = {"format": 1, "cell": wanted, "commands": bench.commands(cell)}
    write_text(file, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def run_cell(
    bench: Bench, cell: Cell, *, keep: Keep = "results", check: Callable[[], None], fields: dict[str, Any]
) -> dict[str, Any] | None:
    """Do what is left of a cell, if no other process has it.

    Args:
        keep: ``results`` drops weights, checkpoint, and the evidence of all epochs but the last.
        check: called often; raises :class:`~selfcure.training.interrupt.Interrupted` to stop here, saved.
        fields: settings of this machine that no result depends on.

    Returns:
        The result, or ``failed`` with the reason; None where another process has the cell or had it in the meantime.

    Raises:
        Interrupted: stopped; the next call goes on.
        OSError: of a file of the benchmark, such as a full disk: the next cell would fare no better.
    """
    folder = bench.folder(cell)
    claim = Claim.take(folder / LOCK, lost=lambda: signal.raise_signal(signal.SIGTERM))
    if claim is None:
        return None
    with claim:
        if (folder / RESULT).is_file() or (folder / FAILED).is_file():
            return None
        try:
            result = _finish(bench, cell, check, fields)
        except (Interrupted, OSError):
            raise
        except Exception as error:
            return _failed(folder, error)
        write_text(folder / RESULT, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        if keep == "results":
            _drop(RunFolder(folder / "run"), weights=not cell.keeps_weights)
        return result


def _finish(bench: Bench, cell: Cell, check: Callable[[], None], fields: dict[str, Any]) -> dict[str, Any]:
    started = time.monotonic()
    data = prepare(bench, cell.data, check=check)
    reporter = _Checking(check)
    out = bench.folder(cell) / "run"
    resumed = (out / CONFIG).is_file()
    if resumed:
        # Settings come from there; what they are was settled when the cell was registered.
        run = train(data, out=out, resume=True, reporter=reporter)
    else:
        weights = bench.weights_of(cell)
        more = fields | ({"weights": str(weights)} if weights else {})
        settings = {**cell.settings, **more, "seed": cell.seed}
        run = train(data, out=out, method=cell.method, recipe=cell.recipe, reporter=reporter, **settings)
    check()
    device = run.document["config"]["device"]
    # The test split is measured too, but nothing is chosen by either.
    splits: list[str] = [name for name in ("validation", "test") if name in Dataset(data).splits]
    evaluations = {name: evaluate(run, data, split=name, device=device) for name in splits}
    return summary(run, evaluations, wall=time.monotonic() - started, resumed=resumed)


def summary(
    run: RunFolder, evaluations: dict[str, dict[str, Any]], *, wall: float, resumed: bool
) -> dict[str, Any]:
    """All that tables and reports need of a finished run, as plain JSON without this machine's paths."""
    records = run.metrics()
    document = run.document
    config = {name: value for name, value in document["config"].items() if name not in (*_LOCAL, "weights")}
    return {
        "format": 1,
        "evaluation": {
            split: {name: result[name] for name in ("given", "true") if name in result}
            for split, result in evaluations.items()
        },
        "weights": f"epoch {config['num_epochs']} (last)"
        if config["select"] == "last"
        else "best validation epoch",
        "last": records[-1],
        "epochs": [_epoch(record) for record in records],
        "seconds": round(sum(record["seconds"] for record in records), 1),
        "wall_seconds": round(wall, 1),
        "resumed": resumed,
        "class_names": list(run.class_names),
        "num_samples": document["dataset"]["num_samples"],
        "fingerprint": document["dataset"]["fingerprint"],
        "config": config,
        **({"loaded": _no_folder(document["weights"])} if "weights" in document else {}),
        "environment": {**document["environment"], **machine()},
    }


def machine() -> dict[str, Any]:
    """What computes here."""
    cpu = platform.processor() or platform.machine()
    with suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        cpu = found[1] if found else cpu
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cpu": cpu, "num_cores": os.cpu_count(), "gpu": gpu}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of the benchmark.

    Raises:
        SelfcureError: it is damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SelfcureError(f"{path} is damaged ({error}); delete it to compute it again") from error
    if not isinstance(document, dict):
        raise SelfcureError(f"{path} is damaged (no JSON object); delete it to compute it again")
    return document


class _Checking(Reporter):
    """Asks between two batches of work whether to stop."""

    def __init__(self, check: Callable[[], None]):
        self._check = check

    def loading(self, split: str, done: int, total: int) -> None:
        self._check()

    def started(self, *, first_epoch: int, num_epochs: int, samples_per_epoch: int, notes: list[str]) -> None:
        self._check()

    def step(self, epoch: int, samples_done: int, means: dict[str, float]) -> None:
        self._check()


_KEPT = ("epoch", "loss", "accuracy_given", "accuracy_true", "accuracy_original", "num_labels_changed")


def _epoch(record: dict[str, Any]) -> dict[str, Any]:
    """The part of an epoch's record that curves are drawn from."""
    short = {name: record[name] for name in _KEPT if name in record}
    if "validation" in record:
        short["validation"] = {
            name: record["validation"][name] for name in ("accuracy", "mean_class_accuracy")
        }
    if "importance" in record:
        short["importance"] = record["importance"]
    if "cure" in record:
        short["cure"] = {name: record["cure"][name] for name in ("repaired", "broken", "noise_after")}
    if "detection" in record:
        short["auroc"] = {name: found["auroc"] for name, found in record["detection"].items()}
    if "rank_margin" in record:
        short["rank_margin"] = record["rank_margin"]
    return short


def _failed(folder: Path, error: Exception) -> dict[str, Any]:
    reason = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, SelfcureError):
        reason = f"{type(error).__name__}: {reason}"
    document = {"failed": reason[:500]}
    if not isinstance(error, SelfcureError):
        lines = "".join(traceback.format_exception(error)).strip().splitlines()
        document["traceback"] = "\n".join(line for line in lines[-12:])
    write_text(folder / FAILED, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return document


def _drop(run: RunFolder, *, weights: bool) -> None:
    last = f"epoch-{len(run.metrics()):04d}.parquet"
    for file in [run.checkpoint, run.best, *([run.model] if weights else [])]:
        file.unlink(missing_ok=True)
    for file in (run.path / "evidence").glob("epoch-*.parquet"):
        if file.name != last:
            file.unlink()
    shutil.rmtree(run.path / "tensorboard", ignore_errors=True)


def _identity(cell: dict[str, Any]) -> dict[str, Any]:
    """What decides a cell's numbers; where they are shown does not."""
    return {name: cell[name] for name in ("name", "data", "method", "recipe", "seed", "settings", "weights")}


def _difference(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    old, new = there["settings"], wanted["settings"]
    if old != new:
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        return "other settings: " + "; ".join(
            f"{name} {old.get(name, 'as in the recipe')} there, {new.get(name, 'as in the recipe')} here"
            for name in names
        )
    for name in ("weights", "data"):
        if there[name] != wanted[name]:
            return f"other {name}"
    return "another cell"


def _no_folder(text: str) -> str:
    """Without the paths of this machine."""
    return re.sub(r"\S*/(?=\S)", "", text)
