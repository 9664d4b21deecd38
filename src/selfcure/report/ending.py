"""What a run folder knows of each training sample at its end, and the curves that are drawn from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from selfcure.data.folder import Dataset
from selfcure.errors import SelfcureError
from selfcure.runs import RunFolder

if TYPE_CHECKING:
    import pyarrow as pa

GRID = np.linspace(0, 1, 101)
"""False positive rates and recalls at which curves are read, so that those of several seeds have a mean."""


@dataclass(frozen=True)
class Ending:
    """N training samples after the last epoch of a run; what the folders do not say is None."""

    ids: np.ndarray
    """[N] str."""
    original: np.ndarray
    """[N] int64, the given label."""
    current: np.ndarray
    """[N] int64, after all label changes."""
    prediction: np.ndarray
    """[N] int64, −1 where the last epoch did not draw the sample."""
    confidence: np.ndarray
    """[N] in [0, 1], probability of the prediction."""
    given_prob: np.ndarray
    """[N] in [0, 1], probability of the given label in the last epoch, NaN where not drawn."""
    mean_given_prob: np.ndarray | None
    """[N], its mean over the epochs that drew the sample, where the evidence of all is kept."""
    importance: np.ndarray | None
    """[N] in (0, 1), where the method has one."""
    wrong_prob: np.ndarray | None
    """[N] in [0, 1], P(label wrong), where the method works one out."""
    dataset: Dataset | None
    truth: np.ndarray | None
    """[N] int64, −1 where unknown; None where nothing is known."""
    missing: str
    """Why there is no dataset, or empty."""

    @cached_property
    def wrong(self) -> np.ndarray | None:
        """[N] bool, the given label differs from a known truth."""
        return None if self.truth is None else (self.truth >= 0) & (self.truth != self.original)

    def suspicions(self) -> dict[str, np.ndarray]:
        """Name → [N], higher is more suspicious; the names are those of ``detection`` in metrics.jsonl."""
        scores = {
            "mean_given_prob": self.mean_given_prob,
            "last_given_prob": self.given_prob,
            "importance": self.importance,
        }
        found = {name: -score for name, score in scores.items() if score is not None}
        return found if self.wrong_prob is None else {**found, "wrong_prob": self.wrong_prob}


def read_ending(run: RunFolder, places: Sequence[Path], *, all_epochs: bool) -> Ending:
    """The end of a run.

    Args:
        places: where its dataset may be; the first that has its samples and labels is taken.
        all_epochs: read the evidence of all epochs, for the mean probability of the given label.

    Raises:
        SelfcureError: no epoch is finished, or the last one's evidence is gone or damaged.
    """
    epochs = [record["epoch"] for record in run.metrics()]
    if not epochs:
        raise SelfcureError("no epoch is finished")
    last = run.evidence(epochs[-1])
    samples = run.samples()
    original = samples["original"].to_numpy().astype(np.int64)
    current = original.copy()
    changes = run.changes(["row", "to"])
    current[changes["row"].to_numpy()] = changes["to"].to_numpy()  # in order of epochs: the last one stays
    dataset, missing = _find(run, places)
    truth = dataset.split("train").true_labels if dataset else None
    return Ending(
        ids=samples["id"].to_numpy(),
        original=original,
        current=current,
        prediction=last["prediction"].to_numpy().astype(np.int64),
        confidence=last["confidence"].to_numpy().astype(np.float64),
        given_prob=last["original_prob"].to_numpy().astype(np.float64),
        mean_given_prob=_mean_given_prob(run, epochs) if all_epochs else None,
        importance=_column(last, "importance"),
        wrong_prob=_column(last, "wrong_prob"),
        dataset=dataset,
        truth=None if truth is None or not (truth >= 0).any() else truth,
        missing=missing,
    )


def _column(evidence: "pa.Table", name: str) -> np.ndarray | None:
    return evidence[name].to_numpy().astype(np.float64) if name in evidence.column_names else None


def _find(run: RunFolder, places: Sequence[Path]) -> tuple[Dataset | None, str]:
    """The dataset that the run was trained on, or why there is none."""
    why = []
    for place in dict.fromkeys(places):
        try:
            dataset = Dataset(place)
            if (
                dataset.class_names == run.class_names
                and dataset.split("train").fingerprint() == run.document["dataset"]["fingerprint"]
            ):
                return dataset, ""
            why.append(f"{place} has other samples or labels")
        except SelfcureError as error:
            why.append(str(error))
    return None, "; ".join(why)


def _mean_given_prob(run: RunFolder, epochs: Sequence[int]) -> np.ndarray | None:
    """[N]; None where not every epoch's evidence is kept."""
    try:
        seen = np.stack([run.evidence(epoch, ["original_prob"])[0].to_numpy() for epoch in epochs])
    except SelfcureError:  # of a finished cell of a benchmark only the last epoch's is; the page says so
        return None
    drawn = ~np.isnan(seen)
    sums = np.where(drawn, seen, 0).sum(axis=0, dtype=np.float64)
    return np.divide(sums, drawn.sum(axis=0), out=np.full(seen.shape[1], np.nan), where=drawn.any(axis=0))


def detection_curves(wrong: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """True positive rate at false positive rates, and precision at recalls, all of :data:`GRID`.

    Precision is that of the shortest list of most suspicious samples that reaches the recall.

    Args:
        wrong: [n] bool.
        score: [n], higher is more suspicious; samples with NaN are left out.

    Returns:
        [101] and [101]; None where all labels are right or all wrong.

    >>> rates, precisions = detection_curves(np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1]))
    >>> rates[[0, 50, 100]].tolist(), precisions[[0, 50, 51]].round(3).tolist()
    ([0.5, 1.0, 1.0], [1.0, 1.0, 0.667])
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    known = ~np.isnan(score)
    wrong, score = wrong[known], score[known]
    if wrong.all() or not wrong.any():
        return None
    false, true, _ = roc_curve(wrong, score)
    places, first = np.unique(false[::-1], return_index=True)  # of equal rates the highest
    rates = np.interp(GRID, places, true[::-1][first])
    precision, recall, _ = precision_recall_curve(wrong, score)
    precision, recall = precision[-2::-1], recall[-2::-1]  # rising recall, without its end at no sample
    return rates, precision[recall.searchsorted(np.maximum(GRID, 1e-9) - 1e-12).clip(max=len(recall) - 1)]


def reliability(
    confidence: np.ndarray, correct: np.ndarray, num_bins: int = 10
) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and size of each bin of equal width that has samples.

    Args:
        confidence: [n] in [0, 1], probability of the predicted class.
        correct: [n] bool.

    >>> reliability(np.array([0.92, 0.98, 0.3]), np.array([True, False, False]))
    [(0.3, 0.0, 1), (0.95, 0.5, 2)]
    """
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    found = []
    for index in range(num_bins):
        inside = bins == index
        if inside.any():
            found.append((float(confidence[inside].mean()), float(correct[inside].mean()), int(inside.sum())))
    return found
