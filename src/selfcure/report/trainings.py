"""Run folders as what a page shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfcure.benchmark.running import CELL
from selfcure.errors import SelfcureError
from selfcure.report.charts import Series
from selfcure.report.ending import Ending, read_ending
from selfcure.runs import RunFolder

SCORE_NAMES = {
    "mean_given_prob": "mean probability of the given label",
    "last_given_prob": "last probability of the given label",
    "importance": "importance α",
    "wrong_prob": "P(label wrong)",
}


@dataclass(frozen=True)
class Training:
    """A run folder, read."""

    name: str
    run: RunFolder
    records: list[dict[str, Any]]
    ending: Ending | None
    notes: tuple[str, ...]
    """What is not shown, and why."""

    @property
    def config(self) -> dict[str, Any]:
        return self.run.document["config"]

    @property
    def last(self) -> dict[str, Any]:
        return self.records[-1] if self.records else {}

    @property
    def finished(self) -> bool:
        return len(self.records) >= self.config["num_epochs"]


def names_of(paths: Sequence[Path]) -> list[str]:
    """Short names of run folders that tell them apart; of a cell of a benchmark the cell's.

    >>> names_of([Path("/a/scn"), Path("/b/scn"), Path("/b/plain")])
    ['a/scn', 'b/scn', 'plain']
    """
    whole = [path.resolve() for path in paths]
    parts = [(path.parent if (path.parent / CELL).is_file() else path).parts for path in whole]
    lengths = [1] * len(parts)
    for _ in range(max(map(len, parts))):
        names = ["/".join(part[-length:]) for part, length in zip(parts, lengths, strict=True)]
        lengths = [
            min(length + (names.count(name) > 1), len(part))
            for name, length, part in zip(names, lengths, parts, strict=True)
        ]
    return names


def read_training(name: str, run: RunFolder, data: Sequence[Path]) -> Training:
    """A run folder with all that a page needs of it, and what it lacks.

    Args:
        data: where its dataset may be.
    """
    records, notes = run.metrics(), []
    ending = None
    try:
        ending = read_ending(run, data, all_epochs=True)
    except SelfcureError as error:
        notes.append(
            f"No importance, detection curves, reliability and pictures of training samples: {error}."
        )
    else:
        if ending.dataset is None:
            notes.append(
                f"No pictures, and the truth is unknown: {ending.missing}. --data says where the dataset is."
            )
        elif ending.truth is None:
            notes.append("The dataset knows no true labels, so there are no detection curves.")
        elif ending.wrong is not None and not ending.wrong.any():
            notes.append("No given label is known to be wrong, so there are no detection curves.")
        if ending.mean_given_prob is None:
            notes.append(
                "Only the last epoch's evidence is kept, so there is no curve of the mean probability."
            )
        if ending.importance is None:
            notes.append(f"The method {run.document['config']['method']} has no importance.")
    return Training(name, run, records, ending, tuple(notes))


def series_of(name: str, records: Sequence[Mapping[str, Any]], *path: str, scale: float = 1.0) -> Series:
    """A number of each epoch's record that has it."""
    xs, ys = [], []
    for record in records:
        value: Any = record
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None
        if value is not None:
            xs.append(record["epoch"])
            ys.append(scale * value)
    return Series(name, xs, ys)
