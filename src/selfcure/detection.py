"""Which labels are wrong, from anybody's saved predictions: no training, no network, NumPy alone.

Pooling over epochs follows SELF (Nguyen et al. 2020, exponential means of predictions); thresholds and joint are those of
confident learning (Northcutt et al. 2021). We differ in P(label wrong), which cleanlab does not give.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from selfcure import metrics
from selfcure.errors import SelfcureError

if TYPE_CHECKING:
    import pyarrow as pa

_SUM_TOLERANCE = 0.01
"""How far from 1 the probabilities of a sample may sum: those of float16 and many classes do not sum to it."""
_MIN = 1e-6
_CHUNK = 1 << 24
"""Similarities held in memory at a time."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """How well each score finds wrong labels; printed, a table."""

    scores: dict[str, dict[str, float]]
    """Name → ``auroc`` and ``average_precision``, the best first."""
    num_wrong: int
    num_samples: int

    def __str__(self) -> str:
        width = max(map(len, self.scores), default=0)
        lines = [f"{'':{width}}  AUROC     AP"]
        lines += [
            f"{name:{width}}  {found['auroc']:.3f}  {found['average_precision']:.3f}"
            for name, found in self.scores.items()
        ]
        return "\n".join([*lines, f"{self.num_wrong:,} of {self.num_samples:,} labels are wrong"])


@dataclass(frozen=True, eq=False)
class Detection:
    """What predictions say of N given labels; scores that were not asked for are None."""

    labels: np.ndarray
    """[N] int64, as given."""
    suggested_label: np.ndarray
    """[N] int64, the class with the largest pooled probability; where it is the given one, nothing is suggested."""
    wrong_prob: np.ndarray
    """[N] in (0, 1), P(label wrong): 1 − ``given_prob`` with its log-odds shifted for each given class so that the mean is
    the class's share of wrong labels by confident learning. It keeps the order within a class, and its sum is an estimate
    of how many labels are wrong. **Not calibrated against any truth**: how steep it is, is the model's own confidence, and
    the shares are wrong where the model is biased or has learned the wrong labels by heart. Check it on labels you know."""
    given_prob: np.ndarray
    """[N] in [0, 1], probability of the given label: over time an exponential mean. Lower is more suspicious."""
    mean_given_prob: np.ndarray | None
    """[N] in [0, 1], over time its plain mean; None without."""
    margin: np.ndarray
    """[N] in [−1, 1], ``given_prob`` minus the largest pooled probability of another class; below 0 the given label is not
    predicted. cleanlab's normalized margin is (margin + 1) / 2. Lower is more suspicious."""
    entropy: np.ndarray
    """[N] in [0, 1], of the pooled probabilities over log K: how ambiguous the image is, whatever its label."""
    knn_agreement: np.ndarray | None
    """[N] in [0, 1], share of the nearest neighbours in feature space (cosine) with the same given label. Lower is more
    suspicious. None without features."""
    cleanlab_self_confidence: np.ndarray | None
    """[N] in [0, 1], cleanlab's label quality from the last probabilities; None where cleanlab is not installed. Lower is
    more suspicious."""
    cleanlab_normalized_margin: np.ndarray | None
    """[N] in [0, 1], as above by its other method."""
    confident_joint: np.ndarray
    """[K, K] int64, samples of given class (row) that are confidently of a class (column)."""
    class_names: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.labels)

    def suspicions(self) -> dict[str, np.ndarray]:
        """Name → [N] of every score there is, turned so that higher is more suspicious."""
        higher = {"wrong_prob", "entropy"}
        return {
            name: score if name in higher else -score
            for name in _SCORES
            if (score := getattr(self, name)) is not None
        }

    def compare(self, wrong: npt.ArrayLike) -> Comparison:
        """AUROC and average precision of each score, where it is known which labels are wrong.

        Args:
            wrong: [N] bool.

        Raises:
            SelfcureError: ``wrong`` has another size, or all labels are wrong or all right.
        """
        known = np.asarray(wrong)
        if known.shape != self.labels.shape or known.dtype != bool:
            raise SelfcureError(
                f"wrong must be {len(self)} booleans, not {known.dtype} of shape {known.shape}; "
                "for instance labels != true_labels"
            )
        found = metrics.detection(known, self.suspicions())
        if not found:
            raise SelfcureError("wrong must hold both right and wrong labels; there is nothing to find here")
        order = sorted(found, key=lambda name: -found[name]["auroc"])
        return Comparison({name: found[name] for name in order}, int(known.sum()), len(self))

    def table(self) -> "pa.Table":
        """One row a sample: ``row``, ``label``, ``suggested_label`` (names where they are known) and every score."""
        import pyarrow as pa

        def named(labels: np.ndarray) -> Any:
            if self.class_names is None:
                return labels
            return pa.DictionaryArray.from_arrays(labels.astype(np.int32), pa.array(self.class_names))

        columns = {
            "row": np.arange(len(self)),
            "label": named(self.labels),
            "suggested_label": named(self.suggested_label),
            **{name: score for name in _SCORES if (score := getattr(self, name)) is not None},
        }
        return pa.table(columns)


_SCORES = tuple(
    field.name
    for field in fields(Detection)
    if field.name not in ("labels", "suggested_label", "confident_joint", "class_names")
)


def detect(
    labels: npt.ArrayLike,
    probs: npt.ArrayLike,
    features: npt.ArrayLike | None = None,
    *,
    class_names: Sequence[str] | None = None,
    beta: float = 0.8,
    num_neighbours: int = 10,
) -> Detection:
    """Score given labels by a model's predictions.

    Best are predictions on samples that the model was not trained on (cross-validation), or those of every epoch of a
    training, as early ones have not learned the wrong labels by heart yet.

    Args:
        labels: [N] integers from 0 to K − 1, as given.
        probs: [N, K] probabilities, or over time [E, N, K], oldest first; may be a memory map.
        features: [N, D] of any network.
        class_names: K names for the table.
        beta: of two epochs the older counts for so many times the later one.
        num_neighbours: neighbours asked, at most N − 1 of them.

    Raises:
        SelfcureError: shapes that do not fit, labels outside the classes, probabilities that are none.

    Two labels of class 0, of which one looks like class 1 with the same confidence: half of that class is wrong.

    >>> found = detect([0, 0, 1, 1], [[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.3, 0.7]])
    >>> found.wrong_prob[:2].round(3).tolist(), found.margin.round(1).tolist()
    ([0.1, 0.9], [0.8, -0.8, 0.8, 0.4])
    >>> found.confident_joint.tolist(), found.suggested_label.tolist()
    ([[1, 1], [0, 1]], [0, 1, 1, 1])
    """
    given = _check_labels(labels)
    over_time = _check_probs(probs, len(given))
    num_classes = over_time.shape[2]
    if given.max() >= num_classes:
        row = int(given.argmax())
        raise SelfcureError(
            f"labels[{row}] is {given[row]}, outside the {num_classes} classes of probs (0 to {num_classes - 1})"
        )
    names = None if class_names is None else tuple(class_names)
    if names is not None and len(names) != num_classes:
        raise SelfcureError(f"class_names has {len(names)} names for the {num_classes} classes of probs")
    if not 0 < beta <= 1:
        raise SelfcureError(f"beta must be above 0 and at most 1, not {beta}")
    pooled, mean, last = _pool(over_time, beta)
    at = np.arange(len(given))
    given_prob = pooled[at, given]
    others = pooled.copy()
    others[at, given] = -1
    joint = confident_joint(given, pooled)
    cleanlab = _cleanlab_scores(given, last)
    return Detection(
        labels=given,
        suggested_label=pooled.argmax(axis=1),
        wrong_prob=_wrong_prob(given, given_prob, joint),
        given_prob=given_prob,
        mean_given_prob=mean[at, given] if len(over_time) > 1 else None,
        margin=given_prob - others.max(axis=1),
        entropy=-(pooled * np.log(np.maximum(pooled, 1e-300))).sum(axis=1).clip(max=0) / np.log(num_classes),
        knn_agreement=None if features is None else _knn_agreement(features, given, num_neighbours),
        cleanlab_self_confidence=cleanlab.get("self_confidence"),
        cleanlab_normalized_margin=cleanlab.get("normalized_margin"),
        confident_joint=joint,
        class_names=names,
    )


def confident_joint(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """[K, K] int64 counts of samples by given class (row) and the class that they confidently are of (column).

    A sample is confidently of a class whose probability is at least the mean over the samples with that label; of
    several such the most probable, of none it is not counted (Northcutt et al. 2021, eq. 1).

    Args:
        labels: [N] int64.
        probs: [N, K].
    """
    num_classes = probs.shape[1]
    sizes = np.bincount(labels, minlength=num_classes)
    sums = np.bincount(labels, probs[np.arange(len(labels)), labels], minlength=num_classes)
    # A class that nobody was given has no threshold to pass. Less a rounding error: equal ones all pass.
    thresholds = np.divide(sums, sizes, out=np.full(num_classes, np.inf), where=sizes > 0) - 1e-9
    confident = np.where(probs >= thresholds, probs, -1)
    counted = confident.max(axis=1) >= 0
    return metrics.confusion_matrix(labels[counted], confident.argmax(axis=1)[counted], num_classes)


def _wrong_prob(labels: np.ndarray, given_prob: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """[N], see :attr:`Detection.wrong_prob`."""
    doubt = np.clip(1 - given_prob, _MIN, 1 - _MIN)
    log_odds = np.log(doubt / (1 - doubt))
    counted = joint.sum(axis=1)
    # Half a sample of each kind: no class is known to be all right or all wrong.
    shares = (counted - joint.diagonal() + 0.5) / (counted + 1)  # [K]
    result = np.empty(len(labels))
    for label in np.unique(labels):
        rows = labels == label
        result[rows] = _shifted(log_odds[rows], float(shares[label]))
    return result


def _shifted(log_odds: np.ndarray, mean: float) -> np.ndarray:
    """Probabilities [n] whose log-odds differ from the given ones by one number, so that their mean is ``mean``."""
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _sigmoid(log_odds + middle).mean() > mean else (middle, high)
    return _sigmoid(log_odds + middle)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _pool(probs: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exponential mean, plain mean and last of [E, N, K], each [N, K] float64 with sums of 1."""
    pooled = mean = np.zeros(probs.shape[1:])
    weight = 0.0
    for epoch, one in enumerate(probs):
        last = _checked_epoch(np.asarray(one), epoch if len(probs) > 1 else None)
        pooled, mean = beta * pooled + last, mean + last
        weight = beta * weight + 1
    return pooled / weight, mean / len(probs), last


def _checked_epoch(probs: np.ndarray, epoch: int | None) -> np.ndarray:
    """[N, K] float64 that sum to 1."""
    where = "probs" if epoch is None else f"probs[{epoch}]"
    probs = probs.astype(np.float64)
    sums = probs.sum(axis=1)
    checks: list[tuple[np.ndarray, str]] = [
        (~np.isfinite(probs).all(axis=1), "holds NaN or infinity"),
        (np.asarray((probs < -_MIN).any(axis=1)), "holds a negative number; give probabilities, not logits"),
        (np.abs(sums - 1) > _SUM_TOLERANCE, "does not sum to 1; give probabilities, such as softmax(logits)"),
    ]
    for bad, what in checks:
        if bad.any():
            row = int(bad.argmax())
            raise SelfcureError(f"{where}[{row}] {what} ({int(bad.sum()):,} of {len(bad):,} rows)")
    return np.maximum(probs, 0) / np.maximum(probs, 0).sum(axis=1, keepdims=True)


def _check_labels(labels: npt.ArrayLike) -> np.ndarray:
    given = np.asarray(labels)
    if given.ndim != 1 or not len(given):
        raise SelfcureError(f"labels must be [N] with N at least 1, not of shape {given.shape}")
    if given.dtype.kind not in "iu":
        raise SelfcureError(f"labels must be integers from 0 to K − 1, not {given.dtype}")
    if given.min() < 0:
        row = int(given.argmin())
        raise SelfcureError(f"labels[{row}] is {given[row]}; leave samples without a label out")
    return given.astype(np.int64)


def _check_probs(probs: npt.ArrayLike, num_samples: int) -> np.ndarray:
    """[E, N, K]."""
    found = np.asanyarray(probs)
    if found.dtype.kind not in "fiu" or found.ndim not in (2, 3):
        raise SelfcureError(
            f"probs must be numbers of shape [N, K], or [E, N, K] over time, not {found.dtype} of shape {found.shape}"
        )
    over_time = found if found.ndim == 3 else found[None]
    if over_time.shape[1] != num_samples or not len(over_time) or over_time.shape[2] < 2:
        raise SelfcureError(
            f"probs has shape {found.shape}, which does not fit {num_samples:,} labels: [N, K], or [E, N, K] over time, with "
            "two classes or more"
        )
    return over_time


def _knn_agreement(features: npt.ArrayLike, labels: np.ndarray, num: int) -> np.ndarray:
    """[N] share of the ``num`` nearest other samples by cosine with the same label."""
    found = np.asanyarray(features)
    if found.ndim != 2 or len(found) != len(labels) or found.dtype.kind not in "fiu" or not found.shape[1]:
        raise SelfcureError(
            f"features must be numbers of shape [N, D] for {len(labels):,} labels, not {found.dtype} of shape {found.shape}"
        )
    if num < 1:
        raise SelfcureError(f"num_neighbours must be at least 1, not {num}")
    if len(labels) < 2:
        raise SelfcureError("features of a single sample have no neighbours; leave them out")
    directions = found.astype(np.float32)
    if not np.isfinite(directions).all():
        row = int((~np.isfinite(directions).all(axis=1)).argmax())
        raise SelfcureError(f"features[{row}] holds NaN or infinity")
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    num = min(num, len(labels) - 1)
    agreement = np.empty(len(labels))
    step = max(1, _CHUNK // len(labels))
    for start in range(0, len(labels), step):
        rows = np.arange(start, min(start + step, len(labels)))
        cosines = directions[rows] @ directions.T  # [n, N]
        cosines[rows - start, rows] = -np.inf  # not itself
        nearest = np.argpartition(-cosines, num - 1, axis=1)[:, :num]
        agreement[rows] = (labels[nearest] == labels[rows, None]).mean(axis=1)
    return agreement


def _cleanlab_scores(labels: np.ndarray, probs: np.ndarray) -> dict[str, np.ndarray]:
    """cleanlab's label quality by method; empty where it is not installed."""
    try:
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        return {}
    return {
        method: get_label_quality_scores(labels, probs, method=method)
        for method in ("self_confidence", "normalized_margin")
    }
