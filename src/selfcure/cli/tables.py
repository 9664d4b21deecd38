"""The tables of results."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from selfcure.cli.output import one_line, percent, table

_MAX_NAME = 24
_MOST_PAIRS = 20


def results(columns: Mapping[str, Mapping[str, Any]]) -> Table:
    """What trainings came to, one column each: accuracy, cure, detection; rows that nobody knows are left out.

    Args:
        columns: name → ``validation``, ``cure`` and ``detection``, as in metrics.jsonl.
    """
    result = table("", *columns)
    for label, cell in _RESULTS.items():
        cells = [cell(record) for record in columns.values()]
        if any(text != "–" for text in cells):
            result.add_row(label, *cells)
    return result


def scores(measured: Mapping[str, Any], heading: str) -> Table:
    """Accuracy and calibration of one evaluation, against the given and the true labels."""
    targets = [name for name in ("given", "true") if name in measured]
    result = table(heading, *(f"{name} labels" for name in targets))
    for name, label in (
        ("accuracy", "accuracy"),
        ("mean_class_accuracy", "mean class accuracy"),
        ("expected_calibration_error", "calibration error"),
    ):
        result.add_row(label, *(percent(measured[target][name]) for target in targets))
    result.add_row(
        "negative log-likelihood",
        *(f"{measured[target]['negative_log_likelihood']:.3f}" for target in targets),
    )
    return result


def classes(class_names: Sequence[str], measured: Mapping[str, Any], *, label: str, width: int) -> Table:
    """Which classes are taken for which: :func:`confusion`, or the pairs confused most often of very many classes."""
    if "confusion" in measured:
        return confusion(
            class_names, measured["confusion"], measured["class_accuracy"], label=label, width=width
        )
    result = table(f"{label} label", "predicted", "images")
    for pair in measured["most_confused"][:_MOST_PAIRS]:
        names = (_cut(one_line(class_names[pair[role]])) for role in ("label", "prediction"))
        result.add_row(*names, f"{pair['num_samples']:,}")
    return result


def confusion(
    class_names: Sequence[str],
    counts: Sequence[Sequence[int]],
    accuracy: Sequence[float | None],
    *,
    label: str,
    width: int,
) -> Table:
    """Rows are labels, columns predictions. What does not fit in ``width`` is said shorter: names of columns become
    numbers, and a matrix that is too wide still becomes its largest entries.
    """
    names = [_cut(one_line(name)) for name in class_names]
    numbered = [f"{k} {name}" for k, name in enumerate(names)]
    cell = max(len(str(count)) for row in counts for count in row)
    for heading, rows, columns in (
        (f"{label} ↓  predicted →", names, names),
        (f"{label} ↓  predicted →", numbered, [str(k) for k in range(len(names))]),
    ):
        widths = [
            max(map(len, [heading, *rows])),
            *(max(cell, len(name)) for name in columns),
            len("accuracy"),
        ]
        if sum(widths) + 2 * (len(widths) - 1) <= width:
            result = table(heading, *columns, "accuracy")
            for name, row, share in zip(rows, counts, accuracy, strict=True):
                result.add_row(name, *map(str, row), percent(share))
            return result
    result = table(f"{label} label", "images", "accuracy", "most often mistaken for")
    for k, (row, share) in enumerate(zip(counts, accuracy, strict=True)):
        wrong = [0 if j == k else count for j, count in enumerate(row)]
        worst = max(range(len(wrong)), key=wrong.__getitem__)
        mistaken = f"{names[worst]}  {wrong[worst]}" if wrong[worst] else "–"
        result.add_row(names[k], str(sum(row)), percent(share), mistaken)
    return result


def _cut(name: str) -> str:
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"


def _get(record: Any, *path: str) -> Any:
    for name in path:
        record = (record or {}).get(name)
    return record


def _count(record: Mapping[str, Any], *path: str) -> str:
    value = _get(record, *path)
    return "–" if value is None else f"{value:,}"


def _auroc(record: Mapping[str, Any], score: str) -> str:
    value = _get(record, "detection", score, "auroc")
    return "–" if value is None else f"{value:.3f}"


_RESULTS = {
    "validation accuracy": lambda r: percent(_get(r, "validation", "accuracy")),
    "mean class accuracy": lambda r: percent(_get(r, "validation", "mean_class_accuracy")),
    "training labels wrong, before": lambda r: percent(_get(r, "cure", "noise_before")),
    "training labels wrong, after": lambda r: percent(_get(r, "cure", "noise_after")),
    "wrong labels repaired": lambda r: percent(_get(r, "cure", "repaired")),
    "right labels broken": lambda r: percent(_get(r, "cure", "broken")),
    "clips decided on in the epoch": lambda r: _count(r, "clips", "num_decided"),
    "clips with another label than at first": lambda r: _count(r, "clips", "num_labels_changed"),
    "finds wrong labels, AUROC by mean probability": lambda r: _auroc(r, "mean_given_prob"),
    "finds wrong labels, AUROC by importance": lambda r: _auroc(r, "importance"),
    "finds wrong labels, AUROC by P(label wrong)": lambda r: _auroc(r, "wrong_prob"),
    "training labels wrong before, as estimated": lambda r: percent(_get(r, "label_noise", "estimated")),
    "training labels wrong after, as estimated": lambda r: percent(_get(r, "label_noise", "estimated_after")),
    "calibration error of P(label wrong)": lambda r: percent(_get(r, "label_noise", "calibration_error")),
}
