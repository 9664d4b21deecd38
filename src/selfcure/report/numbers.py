"""Numbers of a benchmark as text. Every mean is :mod:`selfcure.benchmark.results`'s own."""

from collections.abc import Sequence
from typing import Any

from selfcure.benchmark.results import MEASURES, Entry, Measure, Table, mean_and_spread
from selfcure.report.names import Row

ACCURACY = next(measure for measure in MEASURES if measure.name == "accuracy")


SHORT_TITLES = {
    "accuracy": "Accuracy, %",
    "mean_class_accuracy": "Mean class accuracy, %",
    "noise_after": "Labels wrong at the end, %",
    "repaired": "Wrong labels repaired, %",
    "broken": "Right labels broken, %",
    "auroc_mean_given_prob": "AUROC, mean probability",
    "ap_mean_given_prob": "AP, mean probability",
    "auroc_last_given_prob": "AUROC, last probability",
    "ap_last_given_prob": "AP, last probability",
    "auroc_importance": "AUROC, importance α",
    "ap_importance": "AP, importance α",
    "auroc_wrong_prob": "AUROC, P(label wrong)",
    "ap_wrong_prob": "AP, P(label wrong)",
    "noise_estimated": "Labels wrong, as estimated, %",
    "noise_estimated_after": "Labels wrong at the end, as estimated, %",
    "wrong_prob_error": "Calibration error, P(label wrong)",
    "rank_margin": "δ1, learned",
}
"""Name of a measure → heading of its column, in the order of the columns."""


def _average_precision(score: str) -> Measure:
    def of(result: Any) -> float | None:
        found = (result["last"].get("detection") or {}).get(score)
        return None if found is None else found["average_precision"]

    return Measure(f"ap_{score}", SHORT_TITLES[f"ap_{score}"], of, percent=False)


_PRECISIONS = tuple(
    _average_precision(score) for score in ("mean_given_prob", "last_given_prob", "importance", "wrong_prob")
)
OTHER_MEASURES = (*MEASURES[1:], *_PRECISIONS)


def number(value: float, measure: Measure, sign: str = "") -> str:
    """A number with the digits that its measure has in every table.

    >>> number(0.61234, ACCURACY), number(0.02, ACCURACY, "+"), number(0.5, OTHER_MEASURES[-1])
    ('61.23', '+2.00', '0.500')
    """
    text = f"{100 * value:{sign}.2f}" if measure.percent else f"{value:{sign}.3f}"
    return text.replace("-", "−")


def mean_text(values: Sequence[float], measure: Measure, num_expected: int) -> str:
    """Mean ± standard deviation, and how many there are where those are fewer than expected; or a dash."""
    if not values:
        return "–"
    mean, spread = mean_and_spread(values)
    middle = "" if spread is None else f" ± {number(spread, measure)}"
    end = f" ({len(values)})" if len(values) < num_expected else ""
    return f"{number(mean, measure)}{middle}{end}"


def difference_text(differences: Sequence[float]) -> str:
    """Mean ± standard deviation of differences of accuracy, in points; empty where there are none."""
    if not differences:
        return ""
    mean, spread = mean_and_spread(differences)
    text = number(mean, ACCURACY, "+")
    return text if spread is None else f"{text} ± {number(spread, ACCURACY)}"


def means(table: Table, column: str) -> dict[Row, float]:
    """Row → mean accuracy, of the rows that have one."""
    found = {row: list(table.spot(row, column).values(ACCURACY).values()) for row in table.rows}
    return {row: mean_and_spread(values)[0] for row, values in found.items() if values}


def state_of(entry: Entry) -> str:
    """done, failed, not run or not finished."""
    if entry.result is not None:
        return "done"
    return entry.failed.partition(":")[0] or "not finished"


def counts(entries: Sequence[Entry]) -> dict[str, int]:
    """State → number of cells, those that occur alone; the worst first.

    >>> counts([])
    {}
    """
    states = [state_of(entry) for entry in entries]
    return {
        name: states.count(name) for name in ("failed", "not finished", "not run", "done") if name in states
    }
