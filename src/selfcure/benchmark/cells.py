"""What a cell is: one training of a benchmark, what it needs, and where it stands in a table."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from selfcure.errors import SelfcureError


@dataclass(frozen=True, kw_only=True)
class Data:
    """How a dataset folder is made; ``source`` is a folder that the user brings."""

    name: str
    """Of the folder under ``BENCH/data``; of a source, what the user calls it."""
    kind: str
    """source, sample, noise or join."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the call; of a source, the fingerprint of its samples and labels."""
    parents: tuple["Data", ...] = ()

    def steps(self) -> Iterator["Data"]:
        """All that must be there, parents first."""
        for parent in self.parents:
            yield from parent.steps()
        yield self

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Data":
        return cls(**{**saved, "parents": tuple(cls.from_dict(parent) for parent in saved["parents"])})


def sampled(data: Data, num: int, *, seed: int = 0) -> Data:
    """A random part of the training split."""
    return Data(name=f"{data.name}-{num}", kind="sample", options={"num": num, "seed": seed}, parents=(data,))


def flipped(data: Data, rate: float, *, seed: int) -> Data:
    """Symmetric flips of training labels; without any the labels stay, but are known to be the truth."""
    name = f"{data.name}-sym{percentage(rate)}" + (f"-draw{seed}" if rate else "")
    options = {"kind": "symmetric", "rate": rate, "seed": seed if rate else 0}
    return Data(name=name, kind="noise", options=options, parents=(data,))


def joined(sets: Sequence[Data], names: Sequence[str]) -> Data:
    """Several sets as one."""
    return Data(
        name="+".join(data.name for data in sets),
        kind="join",
        options={"names": list(names)},
        parents=tuple(sets),
    )


def percentage(rate: float) -> str:
    """A share as a number of per cent.

    >>> percentage(0.3), percentage(0.125)
    ('30', '12.5')
    """
    return f"{100 * rate:.6g}"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a cell's numbers go. Cells that differ in their seed alone share a place."""

    group: str
    """Heading of the table: the dataset."""
    row: tuple[str, ...]
    column: str
    order: tuple[tuple[float, ...], float]
    """Sorts rows and columns, the same whichever cells there are."""
    baseline: tuple[str, ...] = ()
    """Row that this one is compared with, on the same seeds; none: it is a baseline itself."""

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Place":
        row_order, column_order = saved["order"]
        return cls(
            group=saved["group"],
            row=tuple(saved["row"]),
            column=saved["column"],
            order=(tuple(row_order), column_order),
            baseline=tuple(saved["baseline"]),
        )


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training."""

    name: str
    """``suite/…-seed0``; its folder in the benchmark."""
    data: Data
    method: str
    recipe: str
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the configuration beyond method and recipe, the seed left out."""
    weights: str = ""
    """``cell:NAME`` of the cell whose weights it starts from, or ``file:HASH NAME`` of a checkpoint."""
    keeps_weights: bool = False
    """Another cell starts from this one's weights."""
    not_run: str = ""
    """Why it cannot be run as things are; it is listed all the same."""
    places: tuple[Place, ...]
    """Where in the suite's tables it stands; more than one where sweeps cross."""

    @property
    def suite(self) -> str:
        return self.name.partition("/")[0]

    @property
    def after(self) -> str:
        """Name of the cell that must be finished first, or empty."""
        return self.weights.removeprefix("cell:") if self.weights.startswith("cell:") else ""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Cell":
        return cls(
            **{
                **saved,
                "data": Data.from_dict(saved["data"]),
                "places": tuple(Place.from_dict(place) for place in saved["places"]),
            }
        )


@dataclass(frozen=True)
class Bench:
    """A benchmark's folder on this machine, and what the user brings to it."""

    path: Path
    sources: Mapping[str, Path] = field(default_factory=dict)
    """Name of a source → its dataset folder."""
    weights: Mapping[str, Path] = field(default_factory=dict)
    """``file:HASH NAME`` → the checkpoint."""

    def folder(self, cell: Cell | str) -> Path:
        return self.path / (cell if isinstance(cell, str) else cell.name)

    def data(self, data: Data) -> Path:
        if data.kind != "source":
            return self.path / "data" / data.name
        if data.name not in self.sources:
            raise SelfcureError(f"dataset {data.name!r} is not among --data")
        return self.sources[data.name]

    def weights_of(self, cell: Cell) -> Path | None:
        """What the cell's network starts from.

        Raises:
            SelfcureError: it is not on this machine.
        """
        if not cell.weights:
            return None
        if cell.after:
            run = self.folder(cell.after) / "run"
            if not (run / "model.safetensors").is_file():
                raise SelfcureError(
                    f"the weights of {cell.after} are not here; delete its folder to train it again"
                )
            return run
        return self.weights[cell.weights]

    def commands(self, cell: Cell) -> list[str]:
        """What to type to do by hand what the cell does, in the folder where the benchmark was called."""
        lines = [self._command(data) for data in cell.data.steps() if data.kind != "source"]
        run, data = str(self.folder(cell) / "run"), str(self.data(cell.data))
        line = ["selfcure", "train", data, "--out", run, "--method", cell.method, "--recipe", cell.recipe]
        line += ["--seed", str(cell.seed)]
        if cell.after:
            line += ["--weights", str(self.folder(cell.after) / "run")]
        elif cell.weights:
            line += ["--weights", str(self.weights.get(cell.weights, "WEIGHTS"))]
        for name, value in cell.settings.items():
            text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            option = {"num_epochs": "--epochs", "image_size_px": "--size", "backbone": "--backbone"}.get(name)
            line += [option, text] if option else ["--set", f"{name}={text}"]
        return [*lines, shlex.join(line), shlex.join(["selfcure", "evaluate", run, data])]

    def _command(self, data: Data) -> str:
        line = ["selfcure", "data", data.kind, *(str(self.data(parent)) for parent in data.parents)]
        for name, value in data.options.items():
            line += [f"--{name}", ",".join(value) if isinstance(value, list | tuple) else str(value)]
        return shlex.join([*line, "--out", str(self.data(data))])
