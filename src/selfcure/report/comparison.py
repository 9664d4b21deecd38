"""Several runs side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfcure.report.charts import Panel, highlighted, together
from selfcure.report.faces import Picture, same_images
from selfcure.report.trainings import Training, series_of

_MOST_TOGETHER = 6
"""Of more runs each has a panel of its own."""


@dataclass(frozen=True)
class Comparison:
    """What all runs came to, and what can be said of them together."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    best: str
    panels: tuple[Panel, ...]
    same: tuple[Picture, ...]
    same_note: str


def compare(trainings: Sequence[Training]) -> Comparison:
    """All runs in one table and one chart, and Fig. 3: the same images in each."""
    measured = {name: [of(training) for training in trainings] for name, of in RESULTS.items()}
    known = {name: cells for name, cells in measured.items() if any(cell != "–" for cell in cells)}
    rows = tuple(
        (training.name, tuple(cells[index] for cells in known.values()))
        for index, training in enumerate(trainings)
    )
    lines = [series_of(t.name, t.records, "validation", "accuracy", scale=100) for t in trainings]
    panels: list[Panel] = []
    if len(trainings) > _MOST_TOGETHER:
        panels = highlighted(lines, x_title="epoch", unit=" %", ident="runs")
    elif len(trainings) > 1 and (panel := together("Validation accuracy, %", lines, unit=" %")):
        panels = [panel]
    same, note = same_images(trainings)
    return Comparison(tuple(known), rows, _best(trainings), tuple(panels), same, note)


def _best(trainings: Sequence[Training]) -> str:
    accuracy = {t.name: t.last["validation"]["accuracy"] for t in trainings if "validation" in t.last}
    if len(accuracy) < 2:
        return ""
    name = max(accuracy, key=lambda name: accuracy[name])
    return f"{name} has the highest validation accuracy, {100 * accuracy[name]:.2f} %"


def _percent(*path: str) -> Callable[[Training], str]:
    def of(training: Training) -> str:
        found = series_of("", training.records[-1:], *path, scale=100).ys
        return f"{found[0]:.2f}" if found else "–"

    return of


def _plain(*path: str) -> Callable[[Training], str]:
    def of(training: Training) -> str:
        found = series_of("", training.records[-1:], *path).ys
        return f"{found[0]:.3f}" if found else "–"

    return of


RESULTS: dict[str, Callable[[Training], str]] = {
    "Method": lambda t: f"{t.config['method']} {t.config['recipe']}",
    "Seed": lambda t: str(t.config["seed"]),
    "Epochs": lambda t: f"{len(t.records)} of {t.config['num_epochs']}",
    "Validation accuracy, %": _percent("validation", "accuracy"),
    "Mean class accuracy, %": _percent("validation", "mean_class_accuracy"),
    "Calibration error, %": _percent("validation", "expected_calibration_error"),
    "Labels wrong before, %": _percent("cure", "noise_before"),
    "Labels wrong after, %": _percent("cure", "noise_after"),
    "Wrong repaired, %": _percent("cure", "repaired"),
    "Right broken, %": _percent("cure", "broken"),
    "AUROC, mean probability": _plain("detection", "mean_given_prob", "auroc"),
    "AUROC, last probability": _plain("detection", "last_given_prob", "auroc"),
    "AUROC, importance α": _plain("detection", "importance", "auroc"),
    "AUROC, P(label wrong)": _plain("detection", "wrong_prob", "auroc"),
    "Labels wrong before, as estimated, %": _percent("label_noise", "estimated"),
    "Labels wrong after, as estimated, %": _percent("label_noise", "estimated_after"),
    "Calibration error, P(label wrong)": _plain("label_noise", "calibration_error"),
}
"""Heading → what stands there of a training."""
