"""How many wrong labels are still there, told from the decisions so far where suspicion is no probability."""

from dataclasses import dataclass
from functools import cache

import numpy as np

ENOUGH = 30
"""Decisions from which on the number of wrong labels is told of a score that is no probability."""

_STRATA = 100
"""The queue is looked at in so many equal parts."""
_MOST_OF_ONE = 5
"""Decisions that a part counts for at most. No curve fits exactly: were each of a thousand decisions at the top of the queue
to count, the curve would be bent to fit the top, sure of itself, and wrong on all the rest."""
_HEIGHTS = np.linspace(0.025, 1, 40)
_FALL, _PLATEAU = (2.5, 0.5), (1.2, 0.4)
"""Median of b and c of the curve, and the standard deviation of their logarithms, before any decision."""
_STEPS = np.linspace(-2.5, 2.5, 11)


def ranks(suspicion: np.ndarray) -> np.ndarray:
    """[N] the share of samples that are more suspicious, in (0, 1), the same for equal ones; NaN where suspicion is.

    >>> ranks(np.array([0.9, 0.1, 0.5, 0.5])).tolist()
    [0.125, 0.875, 0.5, 0.5]
    """
    known = ~np.isnan(suspicion)
    ordered = np.sort(-suspicion[known])
    found = np.full(len(suspicion), np.nan)
    if len(ordered):
        left, right = (ordered.searchsorted(-suspicion[known], side) for side in ("left", "right"))
        found[known] = (left + right) / (2 * len(ordered))
    return found


@dataclass(frozen=True)
class Decay:
    """P(label wrong) along the queue: a (1 − rank ** c) ** b, every curve with the weight that the decisions leave it."""

    weights: np.ndarray
    """[C] of all curves, sum 1."""

    def probability(self, rank: np.ndarray) -> np.ndarray:
        """[n] P(label wrong) of samples at ``rank`` [n], NaN where that is."""
        mean = self.weights @ _curves()  # [S]
        return np.where(np.isnan(rank), np.nan, mean[_stratum(rank)])

    def expected(self, rank: np.ndarray) -> tuple[float, float, float]:
        """How many of the samples at ``rank`` [n] are wrong: the mean, and a 90 % interval around it."""
        totals = _curves() @ np.bincount(_stratum(rank[~np.isnan(rank)]), minlength=_STRATA)  # [C]
        guess, order = float(self.weights @ totals), totals.argsort()
        places = self.weights[order].cumsum().searchsorted([0.05, 0.95]).clip(max=len(order) - 1)
        low, high = totals[order[places]].tolist()
        return guess, min(low, guess), max(high, guess)


def fit_decay(rank: np.ndarray, was_wrong: np.ndarray) -> Decay:
    """What the decided samples say of all others, by Bayes' rule over a grid of curves.

    Labels at the head of the queue are wrong with probability a, hardly any at its end; c is how long the head stays
    level, b how fast it falls after that. The constants above were chosen on six trainings with known errors (flips and
    real annotators on FERPlus, synthetic faces); ``benchmarks/review.md`` has what it tells of two of them.

    Args:
        rank: [M] of the samples that were decided, as :func:`ranks` gives it; NaN is passed over.
        was_wrong: [M] bool, the label that they got is another than the given one.

    >>> half = fit_decay(np.full(40, 0.1), np.arange(40) % 2 == 0)
    >>> half.probability(np.array([0.1, 0.5, 0.9])).round(2).tolist()
    [0.47, 0.15, 0.01]
    """
    known = ~np.isnan(rank)
    strata = _stratum(rank[known])
    seen = np.bincount(strata, minlength=_STRATA).astype(float)
    wrong = np.bincount(strata[was_wrong[known]], minlength=_STRATA).astype(float)
    share = np.minimum(1, _MOST_OF_ONE / np.maximum(seen, 1))
    curves = _curves()
    logs = np.log(curves) @ (share * wrong) + np.log1p(-curves) @ (share * (seen - wrong)) + _log_prior()
    weights = np.exp(logs - logs.max())
    return Decay(weights / weights.sum())


def _stratum(rank: np.ndarray) -> np.ndarray:
    return np.minimum(np.nan_to_num(rank) * _STRATA, _STRATA - 1).astype(int)


@cache
def _curves() -> np.ndarray:
    """[C, S] P(label wrong) of each curve in each part of the queue."""
    middles = (np.arange(_STRATA) + 0.5) / _STRATA
    fall, plateau = (np.exp(np.log(median) + width * _STEPS) for median, width in (_FALL, _PLATEAU))
    shapes = (1 - middles ** plateau[:, None, None]) ** fall[:, None]  # [c, b, S]
    return np.clip(_HEIGHTS[:, None] * shapes.reshape(1, -1, _STRATA).swapaxes(0, 1), 1e-6, 1 - 1e-6).reshape(
        -1, _STRATA
    )


@cache
def _log_prior() -> np.ndarray:
    """[C]; heights are equally likely."""
    one = -0.5 * _STEPS**2
    return np.repeat((one[:, None] + one).ravel(), len(_HEIGHTS))
