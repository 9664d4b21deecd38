"""A report as one call."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from selfcure.benchmark.cells import Cell
from selfcure.benchmark.results import gather, load
from selfcure.benchmark.running import CELL, RESULT, read_json
from selfcure.benchmark.suites import SUITES
from selfcure.benchmark.tables import as_csv, markdown
from selfcure.errors import SelfcureError
from selfcure.report import pages, texts
from selfcure.report.numbers import counts
from selfcure.report.trainings import Training, names_of, read_training
from selfcure.runs import CONFIG, RunFolder, write_text

SUFFIXES = (".html", ".md", ".csv")


def write_report(
    paths: Sequence[str | Path], out: Sequence[str | Path], *, data: str | Path | None = None
) -> dict[str, Any]:
    """Write what a benchmark or runs came to. The same folders give the same bytes, whenever it is called.

    Args:
        paths: a benchmark's folder, or one or more run folders (a cell's folder stands for its run).
        out: files to write; the suffix of each says what: ``.html`` (a page that needs no network), ``.md``, ``.csv``.
        data: the dataset folder of the runs, where it was moved.

    Returns:
        Plain JSON: the files written and what they are of.

    Raises:
        SelfcureError: a folder is neither, or damaged, or a file cannot be written.
    """
    files = _files(out)
    folders = [_folder(Path(path)) for path in paths]
    if not folders:
        raise SelfcureError("a report needs a benchmark's folder or a run folder")
    benches = [path for path in folders if not (path / CONFIG).is_file()]
    if benches and len(folders) > 1:
        raise SelfcureError(f"a report is of one benchmark or of runs; give {benches[0]} alone")
    if benches and data is not None:
        raise SelfcureError("--data is for reports of runs; a benchmark knows its data")
    found, writers = _of_bench(benches[0]) if benches else _of_runs(folders, data)
    written = {file: writers[file.suffix.lower()]() for file in files}
    for file, text in written.items():
        _write(file, text)
    return {"files": [str(file) for file in files], **found}


Writers = dict[str, Callable[[], str]]


def _of_bench(path: Path) -> tuple[dict[str, Any], Writers]:
    commands = _check_cells(path)
    entries = load(path)
    tables = gather(entries)
    writers: Writers = {
        ".html": lambda: pages.of_bench(path, entries, tables, commands),
        ".md": lambda: markdown(tables),
        ".csv": lambda: as_csv(tables),
    }
    return {"kind": "benchmark", "cells": len(entries), "states": counts(entries)}, writers


def _of_runs(folders: Sequence[Path], data: str | Path | None) -> tuple[dict[str, Any], Writers]:
    if len({path.resolve() for path in folders}) < len(folders):
        raise SelfcureError("a run folder is given twice")
    trainings = [_training(name, path, data) for name, path in zip(names_of(folders), folders, strict=True)]
    notes = [f"{training.name}: {note}" for training in trainings for note in training.notes]
    writers: Writers = {
        ".html": lambda: pages.of_runs(trainings),
        ".md": lambda: texts.markdown(trainings),
        ".csv": lambda: texts.as_csv(trainings),
    }
    return {
        "kind": "runs",
        "runs": len(trainings),
        "unfinished": sum(not training.finished for training in trainings),
        "notes": notes,
    }, writers


def _training(name: str, path: Path, data: str | Path | None) -> Training:
    run = RunFolder(path)
    document = run.document
    for part, needed in (
        ("config", ("method", "recipe", "seed", "num_epochs", "backbone", "image_size_px")),
        ("dataset", ("path", "num_samples", "fingerprint")),
        ("environment", ()),
    ):
        if not isinstance(document.get(part), dict) or any(key not in document[part] for key in needed):
            raise SelfcureError(f"{path / CONFIG} is damaged ({part} is not whole); train again")
    try:
        run.metrics()
    except ValueError as error:
        raise SelfcureError(f"{path / 'metrics.jsonl'} is damaged ({error}); train again") from error
    places = [Path(data)] if data is not None else [Path(document["dataset"]["path"])]
    if data is None and (path.parent / CELL).is_file():
        # In a benchmark's folder, which may have been moved as a whole.
        places.append(path.resolve().parents[2] / "data" / places[0].name)
    return read_training(name, run, places)


def _folder(path: Path) -> Path:
    """A benchmark's folder or a run folder, told apart by their files."""
    if (path / CONFIG).is_file():
        return path
    if (path / CELL).is_file():
        if (path / "run" / CONFIG).is_file():
            return path / "run"
        raise SelfcureError(
            f"{path} is a cell without its run folder; its numbers are in the report of its benchmark, "
            f"{path.resolve().parents[1]}"
        )
    if not path.exists():
        raise SelfcureError(f"{path} does not exist")
    if not path.is_dir():
        raise SelfcureError(f"{path} is a file; a report is of a benchmark's folder or of run folders")
    if _cell_files(path):
        return path
    if any(path.glob(f"*/{CELL}")):
        raise SelfcureError(
            f"{path} is one suite of a benchmark; give the benchmark, {path.resolve().parent}"
        )
    empty = "is empty" if not any(path.iterdir()) else f"has neither SUITE/CELL/{CELL} nor {CONFIG}"
    raise SelfcureError(f"{path} is no benchmark's folder and no run folder: it {empty}")


def _cell_files(path: Path) -> list[Path]:
    return sorted(file for file in path.glob(f"*/*/{CELL}") if file.parent.parent.name != "data")


_RESULT_PARTS: dict[str, type] = {
    "evaluation": dict,
    "last": dict,
    "epochs": list,
    "class_names": list,
    "config": dict,
    "environment": dict,
    "num_samples": int,
    "weights": str,
}


def _check_cells(path: Path) -> dict[str, list[str]]:
    """The commands of each cell by its name, after a look at whether its files are whole.

    Raises:
        SelfcureError: which file is damaged.
    """
    commands = {}
    for file in _cell_files(path):
        document = read_json(file)
        try:
            cell = Cell.from_dict(document["cell"])
            commands[cell.name] = [str(line) for line in document["commands"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SelfcureError(f"{file} is damaged ({error!r}); delete it to compute it again") from error
        if cell.suite not in SUITES:
            raise SelfcureError(f"{file} is of an unknown suite {cell.suite!r} (known: {', '.join(SUITES)})")
        result = file.with_name(RESULT)
        if result.is_file():
            _check_result(result)
    return commands


def _check_result(file: Path) -> None:
    document = read_json(file)
    for name, kind in _RESULT_PARTS.items():
        if not isinstance(document.get(name), kind):
            raise SelfcureError(f"{file} is damaged ({name} is not whole); delete it to compute it again")


def _files(out: Sequence[str | Path]) -> list[Path]:
    files = [Path(file) for file in out]
    for file in files:
        if file.suffix.lower() not in SUFFIXES:
            raise SelfcureError(
                f"--out must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, not {file.name!r}"
            )
        if file.is_dir():
            raise SelfcureError(f"--out {file} is a folder")
    if not files:
        raise SelfcureError("--out names the file to write, such as report.html")
    return files


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)
    except OSError as error:
        raise SelfcureError(f"cannot write {file}: {error.strerror or error}") from error
