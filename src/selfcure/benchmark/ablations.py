"""Suites on SCN itself: its parts (Table 5), γ (Table 6), δ1, δ2 and β (Fig. 5)."""

from itertools import product
from typing import Any

from selfcure.benchmark.cells import Cell, Data, Place, flipped, percentage
from selfcure.benchmark.requests import (
    Request,
    cell_of,
    each,
    group_of,
    rates_of,
    recipe_order,
    start_name,
)


def ablation(request: Request) -> list[Cell]:
    """SCN's three parts on and off, from scratch and from weights."""
    cells = []
    for seed, data in each(request):
        for rate, pretrained in product(rates_of(request, (0.0,)), (False, True)):
            noisy = flipped(data, rate, seed=seed)
            for recipe in (recipe for _, recipe in request.methods):
                for parts in product((False, True), repeat=3):
                    place = Place(
                        group=group_of(data),
                        row=(recipe, *("✓" if part else "–" for part in parts)),
                        column=f"{start_name(pretrained)}, {percentage(rate)} %",
                        order=((recipe_order(recipe), sum(parts), *map(float, parts)), pretrained + rate),
                        baseline=(recipe, "–", "–", "–") if any(parts) else (),
                    )
                    cells.append(_ablated(request, noisy, recipe, seed, place, *parts, pretrained=pretrained))
    return cells


def _ablated(
    request: Request,
    data: Data,
    recipe: str,
    seed: int,
    place: Place,
    weighted: bool,
    ranked: bool,
    relabelled: bool,
    *,
    pretrained: bool,
) -> Cell:
    """SCN with some of its parts; with none it is plain training."""
    parts = {"wce": weighted, "rr": ranked, "relabel": relabelled}
    label = "+".join(name for name, on in parts.items() if on)
    if not label:
        return cell_of(
            request, "ablation", data, "plain", recipe, seed, [place], label="none", pretrained=pretrained
        )
    settings: dict[str, Any] = {"relabel": relabelled}
    if not ranked:
        settings["rank_weight"] = 0.0
    if not weighted and not ranked:
        # Nothing teaches importance, so there is no low group: the paper's naive relabelling.
        settings["relabel_scope"] = "all"
    if not weighted:
        settings["weight_logits"] = False
    return cell_of(
        request,
        "ablation",
        data,
        "scn",
        recipe,
        seed,
        [place],
        label=label,
        pretrained=pretrained,
        settings=settings,
    )


def gamma(request: Request) -> list[Cell]:
    """SCN by the share γ of the rank loss in the total."""
    cells = []
    for seed, data in each(request):
        for rate in rates_of(request, (0.0,)):
            noisy = flipped(data, rate, seed=seed)
            for recipe in (recipe for _, recipe in request.methods):
                for value in (0.2, 0.3, 0.5, 0.6, 0.8):
                    place = Place(
                        group=group_of(data),
                        row=(recipe, str(value)),
                        column=f"{percentage(rate)} %",
                        order=((recipe_order(recipe), value), rate),
                        baseline=() if value == 0.5 else (recipe, "0.5"),
                    )
                    cells.append(
                        cell_of(
                            request,
                            "gamma",
                            noisy,
                            "scn",
                            recipe,
                            seed,
                            [place],
                            label=f"gamma{value}",
                            settings={"rank_weight": value},
                        )
                    )
    return cells


_SWEEPS: dict[str, tuple[str, float, tuple[float, ...]]] = {
    "δ1": ("rank_margin", 0.15, (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)),
    "δ2": ("relabel_margin", 0.2, (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)),
    "β": ("high_ratio", 0.7, (0.9, 0.8, 0.7, 0.6, 0.5)),
}
"""Symbol → setting, its default, and the values of Fig. 5."""


def margins(request: Request) -> list[Cell]:
    """SCN by δ1, fixed and learned, δ2 and β; the defaults are one cell for the three sweeps."""
    cells = []
    for seed, data in each(request):
        for rate in rates_of(request, (0.0, 0.1)):
            noisy = flipped(data, rate, seed=seed)
            for recipe in (recipe for _, recipe in request.methods):

                def place(
                    sweep: int, value: str, order: float, rate: float = rate, recipe: str = recipe
                ) -> Place:
                    symbol = list(_SWEEPS)[sweep]
                    default = str(_SWEEPS[symbol][1])
                    return Place(
                        group=group_of(data),  # noqa: B023 - called within this round
                        row=(recipe, symbol, value),
                        column=f"{percentage(rate)} %",
                        order=((recipe_order(recipe), float(sweep), order), rate),
                        baseline=() if value == default else (recipe, symbol, default),
                    )

                defaults = {name: default for name, default, _ in _SWEEPS.values()}
                points: list[tuple[str, dict[str, Any], list[Place]]] = [
                    ("default", {}, [place(k, str(d), d) for k, (_, d, _) in enumerate(_SWEEPS.values())]),
                    ("delta1-learned", {"learn_rank_margin": True}, [place(0, "learned", 1.0)]),
                ]
                for k, (name, default, values) in enumerate(_SWEEPS.values()):
                    points += [
                        (
                            f"{('delta1', 'delta2', 'beta')[k]}-{value}",
                            {name: value},
                            [place(k, str(value), value)],
                        )
                        for value in values
                        if value != default
                    ]
                cells += [
                    cell_of(
                        request,
                        "margins",
                        noisy,
                        "scn",
                        recipe,
                        seed,
                        places,
                        label=label,
                        settings=defaults | settings,
                    )
                    for label, settings, places in points
                ]
    return cells
