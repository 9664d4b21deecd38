"""What can be said of the training samples after an epoch. Here, and only here, training's truth is read."""

from typing import Any

import numpy as np
from torch import Tensor

from selfcure import metrics
from selfcure.core import LabelBook, LabelChanges


def measure_training(
    columns: dict[str, np.ndarray],
    mean_given_prob: np.ndarray,
    *,
    original: np.ndarray,
    current: np.ndarray,
    truth: np.ndarray,
    confusion: Tensor | None = None,
) -> dict[str, Any]:
    """Accuracy against original and true labels, importance, cure, how well scores find the wrong labels, and what a
    method that gives P(label wrong) says of the noise.

    Args:
        columns: the epoch's evidence, each [N]; samples that the epoch did not draw are left out.
        mean_given_prob: [N], NaN where never drawn.
        original, current, truth: [N] int64; truth −1 where unknown.
        confusion: [K, K] expected samples by given label and class, of a method that gives P(label wrong).
    """
    drawn, known = columns["prediction"] >= 0, truth >= 0
    right = columns["prediction"] == original
    result: dict[str, Any] = {"accuracy_original": float(right[drawn].mean())}
    if not drawn.all():
        result["num_drawn"] = int(drawn.sum())
    suspicion = {"mean_given_prob": -mean_given_prob, "last_given_prob": -columns["original_prob"]}
    if "importance" in columns:
        result["importance"] = importance_statistics(columns["importance"][drawn])
        suspicion["importance"] = -columns["importance"]
    if "wrong_prob" in columns:
        suspicion["wrong_prob"] = columns["wrong_prob"]
        result["label_noise"] = {"estimated": float(columns["wrong_prob"][drawn].mean())}
        if "wrong_prob_after" in columns:
            result["label_noise"]["estimated_after"] = float(columns["wrong_prob_after"][drawn].mean())
        if confusion is not None:
            result["label_noise"] |= metrics.expected_confusion(confusion.double().cpu().numpy())
    if known.any():
        if (known & drawn).any():
            result["accuracy_true"] = float((columns["prediction"] == truth)[known & drawn].mean())
        result["cure"] = metrics.cure(original, current, truth)
        result["detection"] = {}
        for name, score in suspicion.items():
            rows = known & ~np.isnan(score)
            result["detection"] |= metrics.detection((original != truth)[rows], {name: score[rows]})
        if "wrong_prob" in columns and (known & drawn).any():
            rows = known & drawn
            result["label_noise"]["calibration_error"] = metrics.expected_calibration_error(
                columns["wrong_prob"][rows], (original != truth)[rows]
            )
    return result


def count_clips(clips: Tensor, changes: LabelChanges, book: LabelBook) -> dict[str, int]:
    """In clips what an epoch's decisions came to: decided on, changed by it, and other than at first when it ended.

    Args:
        clips: [N] int64, the clip of each sample.
        changes: the epoch's, after which ``book`` stands.
    """
    changed = book.current() != book.original()
    return {
        "num_decided": changes.num_decided,
        "num_label_changes": len(clips[changes.ids].unique()),
        "num_labels_changed": len(clips[changed].unique()),
    }


def importance_statistics(importance: np.ndarray) -> dict[str, float]:
    """Mean, spread and quantiles of the importance of samples [M], and the share that is saturated (> 0.99)."""
    low, median, high = np.quantile(importance, [0.05, 0.5, 0.95])
    return {
        "mean": float(importance.mean()),
        "std": float(importance.std()),
        "q05": float(low),
        "median": float(median),
        "q95": float(high),
        "saturated": float((importance > 0.99).mean()),
    }
