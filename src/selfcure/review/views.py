"""What the page shows of a desk, as plain JSON; NaN becomes null."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from selfcure.review.book import STATES, Book
from selfcure.review.desk import Desk
from selfcure.review.queue import SORTS
from selfcure.review.queue import STATES as FILTER_STATES
from selfcure.review.store import Entry
from selfcure.review.summary import conflicting_duplicates, suggested_changes
from selfcure.review.verdict import Verdict

_BINS = 20
_MOST_GROUPS = 500
_MOST_CELLS = 2500
_TOP_CLASSES = 12


def about(desk: Desk) -> dict[str, Any]:
    """What stays the same while the desk is open."""
    samples = desk.samples
    return {
        "run": str(desk.run.path),
        "version": desk.version,
        "class_names": list(samples.class_names),
        "splits": [{"name": name, "num_samples": size} for name, size in samples.splits],
        "source_column": samples.source_column,
        "source_names": samples.source_names,
        "sorts": list(SORTS),
        "states": list(FILTER_STATES),
        "has_importance": bool((~np.isnan(samples.importance)).any()),
        "prepared": desk.prepared is not None,
        "calibrated": samples.calibrated,
        "num_suggested": int((samples.suggested != samples.given).sum()),
    }


def cards(desk: Desk, rows: Iterable[int], reviewer: str) -> list[dict[str, Any]]:
    """What the grid shows of each row."""
    return [_card(desk, int(row), reviewer) for row in rows]


def detail(desk: Desk, row: int, reviewer: str) -> dict[str, Any]:
    """All that is known of a sample but its history."""
    samples, prepared = desk.samples, desk.prepared
    split, _ = samples.split_of(row)
    shown: dict[str, Any] = {
        **_card(desk, row, reviewer),
        "split": split,
        "source": samples.source_names[samples.sources[row]] if samples.sources[row] >= 0 else None,
        "current": int(samples.current[row]),
        "confidence": _number(samples.confidence[row]),
        "loss": _number(samples.loss[row]),
        "importance": _number(samples.importance[row]),
        "wrong_probability": _number(desk.wrong_probability(row)),
        "decisions": [_decision(entry) for entry in desk.book.entries(row)],
        "probs": None,
        "neighbours": None,
        "duplicates": [],
    }
    if prepared is not None:
        probs = prepared.probs[row].astype(np.float32)
        shown["probs"] = _largest(probs, {int(samples.given[row]), int(samples.suggested[row])})
        shown["neighbours"] = [
            {**_card(desk, int(other), reviewer), "similarity": _number(similarity)}
            for other, similarity in zip(prepared.neighbours[row], prepared.similarity[row], strict=True)
        ]
        pairs = prepared.duplicates
        same = {*pairs[pairs[:, 0] == row][:, 1].tolist(), *pairs[pairs[:, 1] == row][:, 0].tolist()}
        shown["duplicates"] = sorted(same)
    return shown


def history(desk: Desk, row: int) -> dict[str, Any]:
    """A sample epoch by epoch: probability of its given label, importance, prediction, and label changes."""
    split, position = desk.samples.split_of(row)
    epochs = [record["epoch"] for record in desk.run.metrics()] if split == "train" else []
    shown: dict[str, Any] = {"epochs": epochs, "given_prob": [], "importance": [], "prediction": []}
    for epoch in epochs:
        seen = desk.run.evidence(epoch, rows=slice(position, position + 1)).to_pylist()[0]
        shown["given_prob"].append(_number(seen["original_prob"]))
        shown["importance"].append(_number(seen.get("importance")))
        shown["prediction"].append(seen["prediction"] if seen["prediction"] >= 0 else None)
    shown["changes"] = [{"epoch": epoch, "label": label} for epoch, label in desk.label_changes(row)]
    return shown


def dashboard(desk: Desk) -> dict[str, Any]:
    """The whole run at a glance."""
    samples = desk.samples
    with desk.lock:
        desk.refresh()
        return {
            "matrix": _matrix(desk),
            "suspicion": _histogram(samples.suspicion, samples.suggested != samples.given),
            "importance": _histogram(samples.importance, samples.suggested != samples.given),
            "agreement": desk.book.agreement(),
            "reviewers": [_reviewer(desk.book, name) for name in desk.book.reviewers],
            "duplicates": _conflicts(desk),
        }


def _card(desk: Desk, row: int, reviewer: str) -> dict[str, Any]:
    samples, book = desk.samples, desk.book
    verdict = book.verdict(row)
    mine = book.verdict_of(reviewer, row)
    return {
        "row": row,
        "id": samples.id(row),
        "given": int(samples.given[row]),
        "given_soft": _verdict(samples.soft.get(row)),
        "suggested": int(samples.suggested[row]),
        "suspicion": _number(samples.suspicion[row]),
        "state": STATES[book.state[row]],
        "verdict": _verdict(verdict),
        "mine": _verdict(mine),
    }


def _verdict(verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    return {"rejected": verdict.rejected, "weights": [[k, w] for k, w in verdict.weights]}


def _decision(entry: Entry) -> dict[str, Any]:
    return {
        "reviewer": entry.reviewer,
        "time": entry.time,
        "kind": entry.kind,
        "settles": bool(entry.settles),
        "verdict": None if entry.after is None else _verdict(Verdict.parse(entry.after)),
    }


def _largest(probs: np.ndarray, always: set[int]) -> list[dict[str, Any]]:
    """The classes with the largest probabilities, and those that have to be there."""
    order = (-probs).argsort(kind="stable").tolist()
    shown = [k for place, k in enumerate(order) if place < _TOP_CLASSES or k in always]
    return [{"label": k, "prob": _number(probs[k])} for k in shown]


def _matrix(desk: Desk) -> dict[str, Any]:
    """How many samples of each given class the run takes for each other one."""
    samples = desk.samples
    num_classes = len(samples.class_names)
    changes = suggested_changes(samples.given, samples.suggested, num_classes)
    return {
        "num_given": np.bincount(samples.given, minlength=num_classes).tolist(),
        "cells": [asdict(change) for change in changes[:_MOST_CELLS]],
        "num_left_out": max(len(changes) - _MOST_CELLS, 0),
    }


def _histogram(values: np.ndarray, differs: np.ndarray) -> dict[str, Any] | None:
    """Counts over [0, 1] of samples whose suggestion is the given label, and of those where it is another."""
    known = ~np.isnan(values)
    if not known.any():
        return None
    edges = np.linspace(0, 1, _BINS + 1)
    return {
        "edges": edges.tolist(),
        "same": np.histogram(values[known & ~differs], edges)[0].tolist(),
        "differs": np.histogram(values[known & differs], edges)[0].tolist(),
    }


def _reviewer(book: Book, name: str) -> dict[str, Any]:
    return {"name": name, "num_decided": len(book.rows_of(name)), "pace": book.pace(name)}


def _conflicts(desk: Desk) -> dict[str, Any] | None:
    """Groups of duplicates whose labels differ, as they stand after the decisions so far."""
    if desk.prepared is None:
        return None
    found = conflicting_duplicates(desk.samples, desk.book, desk.prepared.duplicates)
    return {
        "num_groups": found.num_groups,
        "num_images": found.num_images,
        "num_conflicts": len(found.conflicting),
        "conflicts": [cards(desk, rows[:12], "") for rows in found.conflicting[:_MOST_GROUPS]],
    }


def _number(value: Any) -> float | None:
    """Four digits are enough for a page.

    >>> _number(0.123456), _number(float("nan")), _number(None)
    (0.1235, None, None)
    """
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), 4)
