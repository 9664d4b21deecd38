"""What was asked of a suite, and how a cell comes of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from selfcure.benchmark.cells import Cell, Data, Place
from selfcure.methods import METHODS
from selfcure.training.config import RECIPES


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for, settled: the same for every cell."""

    sets: tuple[Data, ...]
    """The datasets, sampled to the budget."""
    methods: tuple[tuple[str, str], ...]
    """Method and recipe of each row."""
    seeds: int
    rates: Sequence[float] | None
    """Shares of flipped labels; None: the suite's own."""
    weights: Mapping[str, str]
    """Backbone → the checkpoint that it starts from, as in :attr:`Cell.weights`."""
    settings: Callable[[str, str], dict[str, Any]]
    """Method and recipe → the budget's fields and those that were set."""


def cell_of(
    request: Request,
    suite: str,
    data: Data,
    method: str,
    recipe: str,
    seed: int,
    places: Iterable[Place],
    *,
    label: str = "",
    pretrained: bool | None = None,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> Cell:
    """A cell with the request's settings below its own ``settings``.

    Args:
        label: what tells it from others of the same data, method, recipe and seed.
        pretrained: from the request's weights or from scratch; None: from the weights where there are some.
    """
    chosen = {**request.settings(method, recipe), **(settings or {})}
    backbone = chosen.get("backbone", "resnet18")
    weights = request.weights.get(backbone, "") if pretrained is not False else ""
    if weights:
        label = f"{label}-pretrained".strip("-")
    more.setdefault("weights", weights)
    if pretrained and not weights:
        more["not_run"] = f"needs face weights (--weights {backbone}=FILE)"
        label = f"{label}-pretrained".strip("-")
    parts = [data.name, method, recipe, *([label] if label else []), f"seed{seed}"]
    return Cell(
        name=f"{suite}/{'-'.join(parts)}",
        data=data,
        method=method,
        recipe=recipe,
        seed=seed,
        settings=chosen,
        places=tuple(places),
        **more,
    )


def each(request: Request) -> Iterator[tuple[int, Data]]:
    """Seeds first, so that an early end leaves whole tables of fewer seeds."""
    return product(range(request.seeds), request.sets)


def start_name(pretrained: bool) -> str:
    return "pretrained" if pretrained else "scratch"


def rates_of(request: Request, default: Sequence[float]) -> Sequence[float]:
    return default if request.rates is None else request.rates


def group_of(data: Data) -> str:
    """The sources' names."""
    return " + ".join(step.name for step in data.steps() if step.kind == "source")


def plain_row(method: str, recipe: str) -> tuple[str, ...]:
    return () if method == "plain" else ("plain", recipe)


def method_order(method: str, recipe: str) -> tuple[float, ...]:
    return (float(list(METHODS).index(method)), float(list(RECIPES).index(recipe)))


def recipe_order(recipe: str) -> float:
    return float(list(RECIPES).index(recipe))
