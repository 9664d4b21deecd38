"""A training on the screen: one row for each epoch done, and a bar for the one at hand."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from selfcure.cli.output import errors, percent
from selfcure.training.reporter import Reporter

_BAR_WIDTH = 10


class TrainingProgress(Reporter):
    """Draws on stderr; where that is no terminal only the rows and notes are written. All fits in 80 columns.

    Args:
        title: begins the notes, where several trainings follow each other.
        doing: what the bar says while there is nothing to count.
    """

    def __init__(self, title: str = "", *, doing: str = "training") -> None:
        self._prefix = f"{title} · " if title else ""
        self._doing = f"{self._prefix}{doing}"
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=_BAR_WIDTH),
            TextColumn("{task.fields[note]}", markup=False),
            console=errors,
            transient=True,
            disable=not errors.is_terminal,
        )
        self._num_epochs = self._per_epoch = 0
        self._rate = _Rate()
        self._columns: list[_Column] | None = None

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        self._wait()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def loading(self, split: str, done: int, total: int) -> None:
        self._show(f"{self._prefix}decoding {split}", done, total, f"{done:,} of {total:,} images")
        if done == total:
            self._wait()

    def started(self, *, first_epoch: int, num_epochs: int, samples_per_epoch: int, notes: list[str]) -> None:
        self._num_epochs, self._per_epoch = num_epochs, samples_per_epoch
        for note in notes:
            errors.print(f"{self._prefix}{note}", style="dim", soft_wrap=True)
        if first_epoch > 1:
            errors.print(f"{self._prefix}goes on with epoch {first_epoch} of {num_epochs}", soft_wrap=True)

    def step(self, epoch: int, samples_done: int, means: dict[str, float]) -> None:
        done = (epoch - 1) * self._per_epoch + samples_done
        rate = self._rate.update(done)
        text = f"{self._prefix}epoch {epoch}/{self._num_epochs}"
        parts = [f"{100 * samples_done / self._per_epoch:3.0f} %"]
        if rate:
            left = (self._num_epochs * self._per_epoch - done) / rate
            parts += [f"{duration(left)} left", f"{rate:,.0f} images/s"]
        parts += [f"loss {means['loss']:.3f}", f"fits {percent(means['accuracy_given'])}"]
        room = errors.width - len(text) - _BAR_WIDTH - 3
        while len(parts) > 1 and len(" · ".join(parts)) > room:
            parts.pop()
        self._show(text, samples_done, self._per_epoch, " · ".join(parts))

    def epoch(self, record: dict[str, Any]) -> None:
        if self._columns is None:
            self._columns = [column for column in _columns(self._num_epochs) if column.known(record)]
            header = "  ".join(column.name.rjust(column.width) for column in self._columns)
            errors.print(header, style="bold", soft_wrap=True)
        errors.print(
            "  ".join(column.cell(record).rjust(column.width) for column in self._columns), soft_wrap=True
        )
        self._wait()

    def stopping(self) -> None:
        with suppress(RuntimeError):  # the signal came amid another write; that one goes first
            errors.print("stopping after this batch, to save it; Ctrl-C again stops at once", soft_wrap=True)

    def _wait(self) -> None:
        self._show(self._doing, 0, None, "")

    def _show(self, text: str, done: int, total: int | None, note: str) -> None:
        if self._task is None or self._bar.tasks[0].total != total:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(text, total=total, note=note)
        self._bar.update(self._task, description=text, completed=done, note=note)


class _Rate:
    """Images per second since the end of the first batch, which warms up."""

    def __init__(self) -> None:
        self._start: tuple[float, int] | None = None

    def update(self, done: int) -> float:
        if self._start is None:
            self._start = (time.monotonic(), done)
            return 0.0
        start, before = self._start
        return (done - before) / max(time.monotonic() - start, 1e-9)


class _Column:
    """A column of the rows of epochs."""

    def __init__(self, name: str, width: int, text: Callable[[dict[str, Any]], str]) -> None:
        self.name, self.width, self._text = name, max(width, len(name)), text

    def known(self, record: dict[str, Any]) -> bool:
        return self.cell(record) != "–"

    def cell(self, record: dict[str, Any]) -> str:
        try:
            return self._text(record)
        except KeyError:
            return "–"


def _columns(num_epochs: int) -> list[_Column]:
    return [
        _Column("epoch", 2 * len(str(num_epochs)) + 1, lambda r: f"{r['epoch']}/{num_epochs}"),
        _Column("loss", 5, lambda r: f"{r['loss']:.{3 if r['loss'] < 10 else 2}f}"),
        _Column("given", 7, lambda r: percent(r["accuracy_given"])),
        _Column("true", 7, lambda r: percent(r["accuracy_true"])),
        _Column("α", 9, lambda r: f"{r['importance']['mean']:.2f}±{r['importance']['std']:.2f}"),
        _Column("changed", 7, lambda r: f"{r['num_label_changes']:,}"),
        _Column("wrong", 7, lambda r: percent(r["cure"]["noise_after"])),
        _Column("valid", 7, lambda r: percent(r["validation"]["accuracy"])),
        _Column("images/s", 8, lambda r: f"{r['images_per_second']:,.0f}"),
    ]


def duration(seconds: float) -> str:
    """Seconds for a person.

    >>> duration(75), duration(7300)
    ('1:15', '2:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
