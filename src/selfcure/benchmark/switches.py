"""Suite of one change at a time: SCN's paper against its public code, and cure without each of its parts."""

from typing import Any

from selfcure.benchmark.cells import Cell, Place, flipped, percentage
from selfcure.benchmark.requests import Request, cell_of, each, group_of, method_order, rates_of
from selfcure.training.config import resolve

SWITCHES: dict[str, dict[str, dict[str, Any]]] = {
    "scn": {
        "all samples relabelled": {"relabel_scope": "all"},
        "against the current label": {"relabel_given": "current"},
        "by weighted logits": {"relabel_probs": "weighted"},
        "WCE + RR": {"rank_weight": None},
        "δ1 learned": {"learn_rank_margin": True},
        "δ2 0.5": {"relabel_margin": 0.5},
        "after 70 %": {"relabel_epoch": 0.7},
        "no relabelling": {"relabel": False},
    },
    "cure": {
        "labels not weighed": {"max_trust_power": 0.0},
        "labels weighed by q": {"max_trust_power": 1.0},
        "no look": {"look": False},
        "last epoch alone": {"momentum": 0.0},
        "weighed from epoch 2 on": {"start_share": 0.0},
        "weighed after 60 %": {"start_error_ratio": 0.0},
        "noise of all images": {"top_share": 1.0},
        "noise never kept": {"settle_error_ratio": 0.0},
    },
}
"""Method → change → its settings. Of SCN the first four are the public code's. ``relabel_epoch`` is a share of the epochs."""


def switches(request: Request) -> list[Cell]:
    """Each method as it is, and with one setting changed."""
    cells = []
    for seed, data in each(request):
        for rate in rates_of(request, (0.3,)):
            noisy = flipped(data, rate, seed=seed)
            for method, recipe in request.methods:
                num_epochs = resolve(method, recipe, **request.settings(method, recipe)).train.num_epochs
                changes: dict[str, dict[str, Any]] = {"–": {}, **SWITCHES[method]}
                for index, (change, settings) in enumerate(changes.items()):
                    if "relabel_epoch" in settings:
                        settings = {"relabel_epoch": 1 + round(settings["relabel_epoch"] * num_epochs)}
                    place = Place(
                        group=group_of(data),
                        row=(method, recipe, change),
                        column=f"{percentage(rate)} %",
                        order=((*method_order(method, recipe), float(index)), rate),
                        baseline=(method, recipe, "–") if settings else (),
                    )
                    label = "-".join(f"{name}-{value}" for name, value in settings.items())
                    cells.append(
                        cell_of(
                            request,
                            "switches",
                            noisy,
                            method,
                            recipe,
                            seed,
                            [place],
                            label=label,
                            settings=settings,
                        )
                    )
    return cells
