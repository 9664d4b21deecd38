"""The scalars of metrics.jsonl for TensorBoard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any


class ScalarWriter:
    """Writes every number of an epoch's record; a resumed run overwrites what came after its checkpoint."""

    def __init__(self, folder: Path, *, first_epoch: int):
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_epoch)

    def __enter__(self) -> "ScalarWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.close()

    def write(self, record: dict[str, Any]) -> None:
        """Write one record of metrics.jsonl."""
        for name, value in _numbers(record, ""):
            self._writer.add_scalar(name, value, record["epoch"])
        self._writer.flush()


def _numbers(record: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "epoch":
            yield prefix + name, value
