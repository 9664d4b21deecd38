"""Kinds of label noise, as functions of the labels alone."""

from collections.abc import Sequence

import numpy as np

from selfcure.data.folder import UNKNOWN
from selfcure.errors import SelfcureError


def rows_by_class(labels: np.ndarray, num_classes: int) -> list[np.ndarray]:
    """For each class the rows that have it, in order.

    >>> [rows.tolist() for rows in rows_by_class(np.array([2, 0, 2]), 3)]
    [[1], [], [0, 2]]
    """
    sizes = np.bincount(labels, minlength=num_classes)
    return np.split(labels.argsort(kind="stable"), sizes.cumsum()[:-1])


def symmetric(
    labels: np.ndarray, num_classes: int, rate: float, generator: np.random.Generator
) -> np.ndarray:
    """Change a fixed share of each class to another class, uniformly: the paper's protocol.

    Args:
        labels: [N] int in 0 … ``num_classes`` - 1.
        rate: share of each class; of its n samples exactly ``round(rate · n)`` change.

    Returns:
        [N] int64.

    Raises:
        SelfcureError: ``rate`` is not in [0, 1), or there is no other class to change to.
    """
    if not 0 <= rate < 1:
        raise SelfcureError(f"rate must be at least 0 and below 1, not {rate}")
    if num_classes < 2:
        raise SelfcureError("symmetric noise needs at least 2 classes")
    noisy = np.array(labels, dtype=np.int64)
    for label, members in enumerate(rows_by_class(labels, num_classes)):
        chosen = generator.choice(members, round(rate * len(members)), replace=False)
        noisy[chosen] = (label + generator.integers(1, num_classes, len(chosen))) % num_classes
    return noisy


def confusion(given: np.ndarray, true: np.ndarray, num_classes: int) -> np.ndarray:
    """[K, K] how many samples have given label (row) and true label (column); unknown truth is left out.

    >>> confusion(np.array([0, 1, 1]), np.array([0, 0, -1]), 2).tolist()
    [[1, 0], [1, 0]]
    """
    known = true != UNKNOWN
    counts = np.bincount(given[known] * num_classes + true[known], minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def noise_rate(given: np.ndarray, true: np.ndarray) -> float | None:
    """Share of the samples of known truth whose given label is not the true one; None where no truth is known."""
    known = true != UNKNOWN
    return float((given != true)[known].mean()) if known.any() else None


def pairwise(
    labels: np.ndarray, partners: Sequence[int], rate: float, generator: np.random.Generator
) -> np.ndarray:
    """Change a fixed share of each class to the one class that it is confused with.

    Args:
        labels: [N] int in 0 … K - 1.
        partners: [K] the class that each goes to; its own number keeps it clean.
        rate: share of each class; of its n samples exactly ``round(rate · n)`` change.

    Returns:
        [N] int64.

    Raises:
        SelfcureError: ``rate`` is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise SelfcureError(f"rate must be at least 0 and below 1, not {rate}")
    noisy = np.array(labels, dtype=np.int64)
    for partner, members in zip(partners, rows_by_class(labels, len(partners)), strict=True):
        noisy[generator.choice(members, round(rate * len(members)), replace=False)] = partner
    return noisy


def by_matrix(labels: np.ndarray, matrix: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Give the samples of each class the labels of its row, in exact numbers.

    Of n samples of class k, n · ``matrix[k, j]`` get label j, rounded by largest remainder; which ones is random.

    Args:
        labels: [N] int in 0 … K - 1, the true class.
        matrix: [K, K] rows that sum to 1; row = true class, column = given class.

    Returns:
        [N] int64.
    """
    noisy = np.array(labels, dtype=np.int64)
    for row, rows in zip(matrix, rows_by_class(labels, len(matrix)), strict=True):
        members = generator.permutation(rows)
        noisy[members] = np.repeat(np.arange(len(row)), _largest_remainder(row, len(members)))
    return noisy


def _largest_remainder(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers with sum ``total``, as near to the shares as they can be.

    >>> _largest_remainder(np.array([0.5, 0.3, 0.2]), 7).tolist()
    [4, 2, 1]
    """
    exact = shares * total
    counts = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts
