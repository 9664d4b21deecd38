"""Suites that put methods beside each other: Tables 2, 3, 4 and 7, datasets joined, and people's labels."""

from dataclasses import replace
from itertools import product

from selfcure.benchmark.cells import Cell, Data, Place, flipped, joined, percentage
from selfcure.benchmark.requests import (
    Request,
    cell_of,
    each,
    group_of,
    method_order,
    plain_row,
    rates_of,
    start_name,
)
from selfcure.errors import SelfcureError


def by_rates(request: Request, suite: str) -> list[Cell]:
    """Methods by rate of symmetric flips."""
    cells = []
    for seed, data in each(request):
        for rate in rates_of(request, (0.0, 0.1, 0.2, 0.3)):
            noisy = flipped(data, rate, seed=seed)
            for method, recipe in request.methods:
                place = Place(
                    group=group_of(data),
                    row=(method, recipe),
                    column=f"{percentage(rate)} %",
                    order=(method_order(method, recipe), rate),
                    baseline=plain_row(method, recipe),
                )
                cells.append(cell_of(request, suite, noisy, method, recipe, seed, [place]))
    return cells


def original(request: Request) -> list[Cell]:
    """Methods on labels as they are, from scratch and from weights."""
    cells = []
    for seed, data in each(request):
        for method, recipe in request.methods:
            for pretrained in (False, True):
                place = Place(
                    group=group_of(data),
                    row=(method, recipe),
                    column=start_name(pretrained),
                    order=(method_order(method, recipe), pretrained),
                    baseline=plain_row(method, recipe),
                )
                cells.append(
                    cell_of(request, "original", data, method, recipe, seed, [place], pretrained=pretrained)
                )
    return cells


def joint(request: Request) -> list[Cell]:
    """All sets as one, with flips."""
    sources = [group_of(data) for data in request.sets]
    together = replace(
        request, sets=(joined(request.sets, sources),), rates=rates_of(request, (0.1, 0.2, 0.3))
    )
    return by_rates(together, "joint")


def pretrain(request: Request) -> list[Cell]:
    """Train on the first set with each method or not at all, then on each of the others with each method."""
    cells = []
    first, targets = request.sets[0], request.sets[1:]
    # Without rates the source keeps the noise that it has.
    columns: dict[str, float | None] = {"source as it is": None}
    if request.rates:
        columns = {f"source, {percentage(rate)} % flips": rate for rate in request.rates}
    for seed in range(request.seeds):
        for target, (method, recipe) in product(targets, request.methods):
            # From scratch the source does not matter: one cell stands in every column.
            places = [
                _after("–", 0, target, method, recipe, column, rate) for column, rate in columns.items()
            ]
            cells.append(cell_of(request, "pretrain", target, method, recipe, seed, places, pretrained=False))
        for column, rate in columns.items():
            source = first if rate is None else flipped(first, rate, seed=seed)
            for index, (before, its_recipe) in enumerate(request.methods):
                name = f"{before} {its_recipe}"
                place = Place(
                    group=f"{group_of(first)}, the source itself",
                    row=(name, "–"),
                    column=column,
                    order=((float(index),), rate or 0.0),
                )
                start = cell_of(
                    request, "pretrain", source, before, its_recipe, seed, [place], keeps_weights=True
                )
                cells.append(start)
                for target, (method, recipe) in product(targets, request.methods):
                    place = _after(name, index + 1, target, method, recipe, column, rate)
                    cells.append(
                        cell_of(
                            request,
                            "pretrain",
                            target,
                            method,
                            recipe,
                            seed,
                            [place],
                            label=f"after-{source.name}-{before}-{its_recipe}",
                            pretrained=False,
                            weights=f"cell:{start.name}",
                        )
                    )
    return cells


def _after(
    before: str, index: int, target: Data, method: str, recipe: str, column: str, rate: float | None
) -> Place:
    """Where training on the target stands that was preceded by ``before``, the ``index``-th row."""
    return Place(
        group=group_of(target),
        row=(before, f"{method} {recipe}"),
        column=column,
        order=((float(index), *method_order(method, recipe)), rate or 0.0),
        baseline=() if before == "–" and method == "plain" else ("–", f"plain {recipe}"),
    )


_FACE_ROWS = (("plain", "resnet18"), ("scn", "resnet18"), ("scn", "ir50"))
"""Rows of Table 7 that start from face recognition's weights."""


def sota(request: Request) -> list[Cell]:
    """Every method from scratch, and the paper's own rows from face weights; the datasets are the columns."""
    cells = []
    for seed, data in each(request):
        own = request.settings("plain", "paper").get("backbone", "resnet18")
        rows = [(method, recipe, own, False) for method, recipe in request.methods]
        recipes = dict.fromkeys(recipe for method, recipe in request.methods if method == "scn") or {
            "paper": None
        }
        rows += [(m, recipe, backbone, True) for recipe in recipes for m, backbone in _FACE_ROWS]
        for method, recipe, backbone, pretrained in rows:
            place = Place(
                group="labels as they are",
                row=(method, recipe, backbone, start_name(pretrained)),
                column=group_of(data),
                order=((float(pretrained), *method_order(method, recipe), float(backbone == "ir50")), 0.0),
                baseline=()
                if method == "plain" and not pretrained
                else ("plain", recipe, own, start_name(False)),
            )
            settings = {"backbone": backbone} if pretrained else {}
            cells.append(
                cell_of(
                    request,
                    "sota",
                    data,
                    method,
                    recipe,
                    seed,
                    [place],
                    label=backbone if pretrained else "",
                    pretrained=pretrained,
                    settings=settings,
                )
            )
    return cells


def human(request: Request) -> list[Cell]:
    """Methods on labels that people gave wrongly, where the truth is known."""
    cells = []
    for seed, data in each(request):
        differs = next(step.options["differs"] for step in data.steps() if step.kind == "source")
        if not differs:
            raise SelfcureError(
                f"suite human needs training labels that differ from known true ones, which {group_of(data)} has not: "
                "import it with --given-labels, or use 'selfcure data noise --kind annotator'"
            )
        for method, recipe in request.methods:
            place = Place(
                group=group_of(data),
                row=(method, recipe),
                column=f"{percentage(round(differs, 3))} % differ",
                order=(method_order(method, recipe), differs),
                baseline=plain_row(method, recipe),
            )
            cells.append(cell_of(request, "human", data, method, recipe, seed, [place]))
    return cells
