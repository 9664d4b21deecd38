"""Consoles, tables and progress bars. Results go to stdout, everything else to stderr."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def print_json(document: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    print(json.dumps(document, ensure_ascii=False, default=str))


def table(*columns: str, title: str | None = None) -> Table:
    """A table whose first column is text and whose others are numbers."""
    result = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    for index, column in enumerate(columns):
        result.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return result


def percent(value: float | None) -> str:
    """A share as a percentage with one decimal; a dash where there is none.

    >>> percent(0.3), percent(None)
    ('30.0 %', '–')
    """
    return "–" if value is None else f"{100 * value:.1f} %"


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that is counted: yields a function of (done, total)."""
    with _bar() as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )


class TrainingProgress:
    """A :class:`~selfcure.training.reporter.Reporter` that draws on stderr: a bar for the epoch, a line for each done.

    On something that is no terminal only the lines are written.
    """

    def __init__(self, title: str = "") -> None:
        self._title = f"{title} · " if title else ""
        self._bar: Progress | None = None
        self._tasks: dict[str, Any] = {}
        self._num_epochs = self._per_epoch = 0
        self._start = 0.0
        self._first: int | None = None

    def __enter__(self) -> "TrainingProgress":
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[note]}"),
            console=errors,
            transient=True,
            disable=not errors.is_terminal,
        )
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._bar is not None
        self._bar.stop()

    def loading(self, split: str, done: int, total: int) -> None:
        self._update(
            "loading", f"{self._title}decoding {split}", done, total, f"{done:,} of {total:,} images"
        )
        if done == total:
            self._drop("loading")

    def started(self, *, first_epoch: int, num_epochs: int, samples_per_epoch: int, notes: list[str]) -> None:
        self._num_epochs, self._per_epoch = num_epochs, samples_per_epoch
        for note in notes:
            errors.print(f"{self._title}{note}", style="dim", soft_wrap=True, markup=False)
        if first_epoch > 1:
            errors.print(f"{self._title}goes on with epoch {first_epoch} of {num_epochs}", soft_wrap=True)

    def step(self, epoch: int, samples_done: int, means: dict[str, float]) -> None:
        if self._first is None:  # the first batch warms up; the rate counts from its end
            self._start, self._first = time.monotonic(), (epoch - 1) * self._per_epoch + samples_done
            rate = 0.0
        else:
            now = (epoch - 1) * self._per_epoch + samples_done
            rate = (now - self._first) / max(time.monotonic() - self._start, 1e-9)
        note = f"loss {means['loss']:.3f} · fits {percent(means['accuracy_given'])}"
        if rate:
            left = self._num_epochs * self._per_epoch - (epoch - 1) * self._per_epoch - samples_done
            note = f"{rate:.0f} images/s · {_duration(left / rate)} left · {note}"
        self._update(
            "epoch", f"{self._title}epoch {epoch}/{self._num_epochs}", samples_done, self._per_epoch, note
        )

    def epoch(self, record: dict[str, Any]) -> None:
        self._drop("epoch")
        errors.print(f"{self._title}{epoch_line(record, self._num_epochs)}", soft_wrap=True)

    def _update(self, name: str, text: str, done: int, total: int, note: str) -> None:
        assert self._bar is not None
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(text, note="")
        self._bar.update(self._tasks[name], description=text, completed=done, total=total, note=note)

    def _drop(self, name: str) -> None:
        assert self._bar is not None
        if name in self._tasks:
            self._bar.remove_task(self._tasks.pop(name))


def epoch_line(record: dict[str, Any], num_epochs: int) -> str:
    """One finished epoch in one line."""
    parts = [
        f"epoch {record['epoch']:>{len(str(num_epochs))}}/{num_epochs}",
        f"loss {record['loss']:.3f}",
        f"fits given {percent(record['accuracy_given'])}",
    ]
    if "accuracy_true" in record:
        parts.append(f"true {percent(record['accuracy_true'])}")
    if "importance" in record:
        parts.append(f"α {record['importance']['mean']:.2f} ± {record['importance']['std']:.2f}")
    if record["num_label_changes"] or record["num_labels_changed"]:
        parts.append(f"{record['num_label_changes']:,} relabelled")
    if record.get("cure", {}).get("num_changed"):
        parts.append(
            f"noise {percent(record['cure']['noise_before'])} → {percent(record['cure']['noise_after'])}"
        )
    if "validation" in record:
        parts.append(f"validation {percent(record['validation']['accuracy'])}")
    parts.append(f"{record['images_per_second']:.0f} images/s")
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    """Seconds for a person.

    >>> _duration(75), _duration(7300)
    ('1:15', '2:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
