"""What the engine tells the outside while it works."""

from typing import Any


class Reporter:
    """Hears of a training's progress. This one says nothing; the command line has one that draws."""

    def loading(self, split: str, done: int, total: int) -> None:
        """Images of ``split`` are being decoded."""

    def started(self, *, first_epoch: int, num_epochs: int, samples_per_epoch: int, notes: list[str]) -> None:
        """Training starts or goes on; ``notes`` are worth a line each."""

    def step(self, epoch: int, samples_done: int, means: dict[str, float]) -> None:
        """A batch is done: samples so far in this epoch and the epoch's running means."""

    def epoch(self, record: dict[str, Any]) -> None:
        """An epoch is done and saved; ``record`` is its line of metrics.jsonl."""

    def stopping(self) -> None:
        """Asked to stop: it will, after the batch at hand."""
