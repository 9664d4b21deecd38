"""How many wrong labels are still there, reckoned from suspicion and corrected by what reviewers found."""

from dataclasses import dataclass

import numpy as np

ENOUGH = 30
"""Decisions from which on the number of wrong labels can be told of a score that is no probability."""

_TRUSTED, _LOOSE = (6.25, 6.25), (2.0, 0.05)
"""Precision of the prior of slope and shift. A decision of P = 0.5 is worth 1/4: the first is 25 of them, while how many
labels are wrong a score that is no probability does not know."""
_MIN = 1e-4
_DRAWS = 400


@dataclass(frozen=True)
class Curve:
    """P(label wrong) as a logistic curve over the log-odds of suspicion (Platt scaling), and how sure that is."""

    slope: float
    shift: float
    covariance: np.ndarray
    """[2, 2] of slope and shift."""

    def probability(self, suspicion: np.ndarray) -> np.ndarray:
        """[N] P(label wrong), NaN where suspicion is."""
        return _sigmoid(self.slope * _log_odds(suspicion) + self.shift)

    def expected(self, suspicion: np.ndarray) -> tuple[float, float, float]:
        """How many of the samples with ``suspicion`` [N] are wrong: the best guess, and a 90 % interval around it."""
        x = _log_odds(suspicion[~np.isnan(suspicion)])
        if not len(x):
            return 0.0, 0.0, 0.0
        heights, edges = np.histogram(x, 200)
        draws = np.random.default_rng(0).multivariate_normal(
            [self.slope, self.shift], self.covariance, _DRAWS
        )  # [D, 2]
        middles = (edges[1:] + edges[:-1]) / 2
        curves = _sigmoid(np.maximum(draws[:, :1], 0) * middles + draws[:, 1:])  # [D, 200]
        low, high = np.quantile(curves @ heights, [0.05, 0.95])
        guess = float(_sigmoid(self.slope * x + self.shift).sum())
        return guess, min(float(low), guess), max(float(high), guess)


def fit_curve(suspicion: np.ndarray, was_wrong: np.ndarray, *, trusted: bool = True) -> Curve:
    """The curve of the decided samples, by maximum a posteriori; it begins as suspicion itself.

    Args:
        suspicion: [M] of the samples that were decided.
        was_wrong: [M] bool, the label that they got is another than the given one.
        trusted: suspicion is a probability, so it takes many decisions to say otherwise.

    >>> curve = fit_curve(np.array([]), np.array([], bool))
    >>> curve.probability(np.array([0.2, 0.9])).round(3).tolist()
    [0.2, 0.9]
    """
    known = ~np.isnan(suspicion)
    x, y = _log_odds(suspicion[known]), was_wrong[known].astype(float)
    design = np.stack([x, np.ones_like(x)], axis=1)  # [M, 2]
    prior = np.array(_TRUSTED if trusted else _LOOSE)
    weights, hessian = _newton(design, y, prior, np.array([1.0, 0.0]), free=[0, 1])
    if weights[0] < 0:  # more suspicion never means less: then it says nothing
        weights, hessian = _newton(design, y, prior, np.array([0.0, 0.0]), free=[1])
    return Curve(float(weights[0]), float(weights[1]), np.linalg.inv(hessian))


def _newton(
    design: np.ndarray, y: np.ndarray, prior: np.ndarray, weights: np.ndarray, *, free: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [2] with the ``free`` ones fitted, and the Hessian there."""
    for _ in range(200):
        p = _sigmoid(design @ weights)
        gradient = design.T @ (p - y) + prior * (weights - [1.0, 0.0])
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(prior)
        step = np.zeros(2)
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        # A full step may jump to where the curve is flat, and never come back.
        weights = weights - np.clip(step, -0.5, 0.5)
        if np.abs(step).max() < 1e-7:
            break
    return weights, hessian


def _log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p.astype(np.float64), _MIN, 1 - _MIN)
    return np.log(p / (1 - p))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
