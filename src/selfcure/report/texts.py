"""Reports of runs as Markdown and CSV; those of benchmarks are the benchmark's own."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from selfcure.report.comparison import compare
from selfcure.report.trainings import Training

_OF_THE_CLOCK = ("seconds", "images_per_second")


def markdown(trainings: Sequence[Training]) -> str:
    """What the runs came to, and what is known of each."""
    found = compare(trainings)
    head = ["run", *found.heads]
    lines = [head, ["---", *["--:"] * len(found.heads)], *([name, *cells] for name, cells in found.rows)]
    parts = ["# Runs", "\n".join(f"| {' | '.join(map(_escape, line))} |" for line in lines)]
    if found.best:
        parts.append(f"{_escape(found.best)}.")
    for training in trainings:
        parts.append(f"## {_escape(training.name)}")
        if not training.finished:
            parts.append(f"Unfinished: {len(training.records)} of {training.config['num_epochs']} epochs.")
        if training.notes:
            parts.append("\n".join(f"- {_escape(note)}" for note in training.notes))
        settings = (f"{name} = {value}" for name, value in sorted(training.config.items()))
        parts.append("```\n" + "\n".join(line.replace("`", "'") for line in settings) + "\n```")
    return "\n\n".join(parts) + "\n"


def as_csv(trainings: Sequence[Training]) -> str:
    """A line for each run, epoch and number of metrics.jsonl, but for times."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["run", "method", "recipe", "seed", "epoch", "measure", "value"])
    for training in trainings:
        config = training.config
        for record in training.records:
            for name, value in _numbers(record):
                of = [training.name, config["method"], config["recipe"], config["seed"], record["epoch"]]
                writer.writerow([*of, name, value])
    return buffer.getvalue()


def _numbers(record: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{before}{name}.")
        elif isinstance(value, int | float) and name != "epoch" and name not in _OF_THE_CLOCK:
            yield f"{before}{name}", value


def _escape(text: str) -> str:
    """Text of a table's cell in which nothing is markup."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("`", "\\`")
    return " ".join(text.split())
