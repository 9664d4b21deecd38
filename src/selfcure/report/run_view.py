"""One run as what a page shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from selfcure.report.charts import Panel, Series, bars, histogram, share_axis, together
from selfcure.report.confusion import Confusion, add_up
from selfcure.report.ending import GRID, Ending, detection_curves, reliability
from selfcure.report.faces import Picture, least_trusted
from selfcure.report.galleries import Galleries, galleries
from selfcure.report.trainings import SCORE_NAMES, Training, series_of

TOO_MANY = "Doubtful labels are shown on a page of six runs or fewer; make one of this run alone."
MOST_WITH_GALLERIES = 6
"""More runs on a page have no galleries: each is half a megabyte of pictures."""

_NO_TERM = {
    "epoch",
    "learning_rate",
    "seconds",
    "images_per_second",
    "loss",
    "rank_margin",
}


@dataclass(frozen=True)
class RunView:
    """One run on the page."""

    ident: str
    name: str
    state: str
    """Why it is not whole, or empty."""
    facts: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    curves: tuple[Panel, ...]
    importance: tuple[Panel, ...]
    detection: tuple[Panel, ...]
    reliability: Panel | None
    confusion: Confusion | None
    noise: Confusion | None
    """Given labels and what they are expected to be, where the method tells."""
    accuracy_note: str
    least: tuple[Picture, ...]
    least_by: str
    galleries: Galleries | None
    notes: tuple[str, ...]


def view(training: Training, ident: str, *, with_galleries: bool = True) -> RunView:
    """One run's part of the page."""
    config, records = training.config, training.records
    state = ""
    if not training.finished:
        state = f"unfinished: {len(records)} of {config['num_epochs']} epochs"
    found, note = galleries(training) if with_galleries else (None, TOO_MANY)
    by, least = least_trusted(training)
    if (
        by == "p" and found
    ):  # the same again: without importance the least probable labels are the most suspicious
        by, least = "", ()
    return RunView(
        ident=ident,
        name=training.name,
        state=state,
        facts=_facts(training),
        settings=tuple((name, _text(value)) for name, value in sorted(config.items())),
        curves=_curves(records),
        importance=_importance(training.ending),
        detection=_detection(training.ending),
        reliability=_reliability(training.ending),
        confusion=_confusion(training),
        noise=_noise(training),
        accuracy_note="validation split against its given labels",
        least=least,
        least_by=by,
        galleries=found,
        notes=(*training.notes, note) if note else training.notes,
    )


def _facts(training: Training) -> tuple[tuple[str, str], ...]:
    config, document = training.config, training.run.document
    dataset, environment = document["dataset"], document["environment"]
    facts = {
        "Method": f"{config['method']}, recipe {config['recipe']}",
        "Data": f"{Path(dataset['path']).name}, {dataset['num_samples']:,} training images",
        "Fingerprint": dataset["fingerprint"],
        "Network": f"{config['backbone']}, {config['image_size_px']} px",
        "Started from": Path(config["weights"]).name if config.get("weights") else "scratch",
        "Epochs": f"{len(training.records)} of {config['num_epochs']}",
        "Seed": str(config["seed"]),
        "Computed on": f"{environment.get('device', '–')}, {environment.get('machine', '–')}",
        "Versions": ", ".join(
            f"{name} {environment[name]}"
            for name in ("selfcure", "python", "torch", "numpy")
            if name in environment
        ),
    }
    return tuple(facts.items())


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _curves(records: Sequence[Mapping[str, Any]]) -> tuple[Panel, ...]:
    accuracies = [
        series_of("validation", records, "validation", "accuracy", scale=100),
        series_of("training, given labels", records, "accuracy_original", scale=100),
        series_of("training, true labels", records, "accuracy_true", scale=100),
    ]
    terms = [
        series_of(name.replace("_", " "), records, name)
        for name, value in (records[-1] if records else {}).items()
        if isinstance(value, float)
        and name not in _NO_TERM
        and not name.startswith(("accuracy", "importance"))
    ]
    importance = [
        series_of("mean", records, "importance", "mean"),
        series_of("5 % are below", records, "importance", "q05"),
        series_of("5 % are above", records, "importance", "q95"),
        series_of("mean of the high group", records, "importance_high"),
        series_of("mean of the low group", records, "importance_low"),
    ]
    changes = series_of("labels changed", records, "num_label_changes")
    noise = series_of("wrong", records, "cure", "noise_after", scale=100)
    panels = [
        together("Accuracy, %", accuracies, unit=" %"),
        together("Loss and its terms", [series_of("loss", records, "loss"), *terms]),
        bars("Labels changed in the epoch", changes) if any(changes.ys) else None,
        together("Training labels that are wrong, %", [noise], unit=" %") if any(changes.ys) else None,
        together("Importance α", importance),
        together("δ1, learned", [series_of("δ1", records, "rank_margin")]),
    ]
    return tuple(panel for panel in panels if panel)


def _importance(ending: Ending | None) -> tuple[Panel, ...]:
    if ending is None or ending.importance is None:
        return ()
    drawn = ~np.isnan(ending.importance)
    groups = {"all samples": drawn}
    if ending.truth is not None and ending.wrong is not None:
        groups = {
            "given label right": drawn & (ending.truth == ending.original),
            "given label wrong": drawn & ending.wrong,
        }
    values = {name: ending.importance[rows] for name, rows in groups.items()}
    return tuple(histogram("Samples, %", values, x_title="importance α"))


def _detection(ending: Ending | None) -> tuple[Panel, ...]:
    if ending is None or ending.truth is None or ending.wrong is None:
        return ()
    known = ending.truth >= 0
    curves = {
        SCORE_NAMES[name]: pair
        for name, score in ending.suspicions().items()
        if (pair := detection_curves(ending.wrong[known], score[known]))
    }
    panels = (
        together(
            "ROC: wrong labels found by share of right ones suspected",
            [Series(name, GRID.tolist(), pair[0].tolist()) for name, pair in curves.items()],
            x=share_axis("false positive rate"),
            y=share_axis(""),
            x_title="false positive rate",
            diagonal=True,
        ),
        together(
            "Precision by recall",
            [Series(name, GRID.tolist(), pair[1].tolist()) for name, pair in curves.items()],
            x=share_axis("recall"),
            y=share_axis(""),
            x_title="recall",
        ),
    )
    return tuple(panel for panel in (*panels, _foretold(ending.wrong, ending.wrong_prob, known)) if panel)


def _foretold(wrong: np.ndarray, wrong_prob: np.ndarray | None, known: np.ndarray) -> Panel | None:
    """How often labels of each P(label wrong) are wrong."""
    if wrong_prob is None:
        return None
    rows = known & ~np.isnan(wrong_prob)
    found = reliability(wrong_prob[rows], wrong[rows])
    return together(
        "Labels found wrong by P(label wrong)",
        [Series("found", [told for told, _, _ in found], [share for _, share, _ in found])],
        x=share_axis("mean P(label wrong)"),
        y=share_axis(""),
        x_title="P(label wrong)",
        diagonal=True,
    )


def _reliability(ending: Ending | None) -> Panel | None:
    """Of training samples: what the evidence of the last epoch says."""
    if ending is None:
        return None
    drawn = ending.prediction >= 0
    targets = {"given labels": (drawn, ending.original)}
    if ending.truth is not None:
        targets["true labels"] = (drawn & (ending.truth >= 0), ending.truth)
    series = []
    for name, (rows, labels) in targets.items():
        found = reliability(ending.confidence[rows], (ending.prediction == labels)[rows])
        series.append(
            Series(name, [confidence for confidence, _, _ in found], [right for _, right, _ in found])
        )
    return together(
        "Accuracy by confidence",
        series,
        x=share_axis("mean confidence"),
        y=share_axis(""),
        x_title="confidence",
        diagonal=True,
    )


def _confusion(training: Training) -> Confusion | None:
    measured = training.last.get("validation")
    if not measured:
        return None
    return add_up(training.name, training.run.class_names, [measured])


def _noise(training: Training) -> Confusion | None:
    told = training.last.get("label_noise") or {}
    if not told.keys() & {"confusion", "most_confused"}:
        return None
    return replace(
        add_up("Given labels, and what they are expected to be", training.run.class_names, [told]),
        columns="true",
    )
