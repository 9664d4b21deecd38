"""Measures of classifiers, of label-error detection, and of the cure. Arrays in, plain numbers out."""

from collections.abc import Mapping

import numpy as np

MOST_CLASSES = 100
"""Of more classes than these no square table is made."""

NUM_MOST_CONFUSED = 50


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """[K, K] int64 counts, row = label, column = prediction.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    flat = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes)


def class_accuracy(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """[K] share of each class's samples predicted right, NaN for a class without any.

    >>> class_accuracy(np.array([0, 0, 1]), np.array([0, 1, 1]), 3).tolist()
    [0.5, 1.0, nan]
    """
    sizes = np.bincount(labels, minlength=num_classes)
    right = np.bincount(labels[labels == predictions], minlength=num_classes)
    return np.divide(right, sizes, out=np.full(num_classes, np.nan), where=sizes > 0)


def most_confused(
    labels: np.ndarray, predictions: np.ndarray, num: int = NUM_MOST_CONFUSED
) -> list[dict[str, int]]:
    """The pairs of classes that are confused most often, the most frequent first; the lower classes of equals.

    >>> most_confused(np.array([5, 5, 0, 1]), np.array([7, 7, 1, 1]))
    [{'label': 5, 'prediction': 7, 'num_samples': 2}, {'label': 0, 'prediction': 1, 'num_samples': 1}]
    """
    wrong, base = labels != predictions, int(predictions.max(initial=0)) + 1
    pairs, counts = np.unique(labels[wrong] * base + predictions[wrong], return_counts=True)
    return [
        {"label": int(pairs[k] // base), "prediction": int(pairs[k] % base), "num_samples": int(counts[k])}
        for k in (-counts).argsort(kind="stable")[:num]
    ]


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, num_bins: int = 15) -> float:
    """Mean distance of confidence from accuracy over equal-width bins, weighted by size (Guo et al. 2017); 0 is best.

    Args:
        confidence: [N] in [0, 1], probability of the predicted class.
        correct: [N] bool.

    Two samples at 0.9, one of them right: |0.9 − 0.5|:

    >>> round(expected_calibration_error(np.array([0.9, 0.9]), np.array([True, False])), 4)
    0.4
    """
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    gaps = np.bincount(bins, weights=confidence - correct.astype(float), minlength=num_bins)
    return float(np.abs(gaps).sum() / len(confidence))


def classification(labels: np.ndarray, probs: np.ndarray) -> dict[str, object]:
    """Accuracy, mean class accuracy (over the classes that occur), calibration, mean loss and confusion of predictions.

    Up to :data:`MOST_CLASSES` classes ``class_accuracy`` is a list and ``confusion`` a matrix, row = label; of more
    classes there are only the ``most_confused`` pairs, since this is written after every epoch.

    Args:
        labels: [N] int64.
        probs: [N, K] probabilities.
    """
    num_classes = probs.shape[1]
    predictions = probs.argmax(axis=1)
    correct = predictions == labels
    by_class = class_accuracy(labels, predictions, num_classes)
    of_label = probs[np.arange(len(labels)), labels]
    result: dict[str, object] = {
        "num_samples": len(labels),
        "accuracy": float(correct.mean()),
        "mean_class_accuracy": float(by_class[~np.isnan(by_class)].mean()),
        "expected_calibration_error": expected_calibration_error(probs.max(axis=1), correct),
        "negative_log_likelihood": float(-np.log(np.maximum(of_label, 1e-12)).mean()),
    }
    if num_classes > MOST_CLASSES:
        return result | {"most_confused": most_confused(labels, predictions)}
    return result | {
        "class_accuracy": [None if np.isnan(share) else float(share) for share in by_class],
        "confusion": confusion_matrix(labels, predictions, num_classes).tolist(),
    }


def expected_confusion(counts: np.ndarray) -> dict[str, object]:
    """Expected counts [K, K] as :func:`classification` tells of counted ones: ``confusion``, or the ``most_confused`` pairs.

    >>> expected_confusion(np.array([[8.0, 2.04], [0.0, 10.0]]))
    {'confusion': [[8.0, 2.0], [0.0, 10.0]]}
    """
    if len(counts) <= MOST_CLASSES:
        return {"confusion": counts.round(1).tolist()}
    wrong = counts - np.diag(counts.diagonal())
    pairs = (-wrong.ravel()).argsort(kind="stable")[:NUM_MOST_CONFUSED]
    return {
        "most_confused": [
            {"label": label, "prediction": other, "num_samples": round(float(wrong[label, other]), 1)}
            for label, other in (divmod(int(pair), len(counts)) for pair in pairs)
        ]
    }


def detection(wrong: np.ndarray, scores: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """How well each score finds wrong labels: area under the ROC curve and average precision, 1 is best.

    Args:
        wrong: [N] bool, the given label differs from the truth.
        scores: name → [N], higher means more suspicious. A score with NaN is left out.

    Returns:
        Name → ``auroc`` and ``average_precision``; empty where all labels are right or all wrong.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    if wrong.all() or not wrong.any():
        return {}
    return {
        name: {
            "auroc": float(roc_auc_score(wrong, score)),
            "average_precision": float(average_precision_score(wrong, score)),
        }
        for name, score in scores.items()
        if not np.isnan(score).any()
    }


def cure(original: np.ndarray, current: np.ndarray, truth: np.ndarray) -> dict[str, float | int | None]:
    """What relabelling did to the labels, where the truth is known.

    Args:
        original, current, truth: [N] int64, truth −1 where unknown (left out).

    Returns:
        Counts, ``repaired`` = wrong labels made right ÷ wrong labels, ``broken`` = right labels made wrong ÷ right
        labels (``None`` where there are none), and the share of labels that are wrong before and after.

    >>> result = cure(np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]))
    >>> result["repaired"], round(result["broken"], 3), result["noise_before"], result["noise_after"]
    (1.0, 0.333, 0.25, 0.25)
    """
    known = truth >= 0
    original, current, truth = original[known], current[known], truth[known]
    was_wrong, is_wrong = original != truth, current != truth
    num_wrong, num_right = int(was_wrong.sum()), int((~was_wrong).sum())
    num_repaired, num_broken = int((was_wrong & ~is_wrong).sum()), int((~was_wrong & is_wrong).sum())
    return {
        "num_known": int(known.sum()),
        "num_wrong_before": num_wrong,
        "num_wrong_after": int(is_wrong.sum()),
        "num_changed": int((original != current).sum()),
        "num_repaired": num_repaired,
        "num_broken": num_broken,
        "repaired": num_repaired / num_wrong if num_wrong else None,
        "broken": num_broken / num_right if num_right else None,
        "noise_before": num_wrong / len(truth) if len(truth) else None,
        "noise_after": int(is_wrong.sum()) / len(truth) if len(truth) else None,
    }
