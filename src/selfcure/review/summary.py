"""A run's doubts about its labels at a glance: suggested changes and conflicting duplicates. For the desk and the report."""

from dataclasses import dataclass

import numpy as np

from selfcure.review.book import Book
from selfcure.review.duplicates import groups
from selfcure.review.samples import Samples
from selfcure.review.verdict import Verdict


@dataclass(frozen=True)
class Change:
    """Samples of one given class that the run takes for another one."""

    given: int
    suggested: int
    num_samples: int


def suggested_changes(given: np.ndarray, suggested: np.ndarray, num_classes: int) -> list[Change]:
    """How many samples of each given class the run takes for each other one, the most frequent first.

    >>> suggested_changes(np.array([0, 1, 1, 2]), np.array([0, 2, 2, 1]), 3)[0]
    Change(given=1, suggested=2, num_samples=2)
    """
    flat = given.astype(np.int64) * num_classes + suggested
    pairs, counts = np.unique(flat[given != suggested], return_counts=True)
    return [
        Change(int(pairs[k] // num_classes), int(pairs[k] % num_classes), int(counts[k]))
        for k in (-counts).argsort(kind="stable")
    ]


@dataclass(frozen=True)
class Conflicts:
    """Images that are in the dataset twice, and those of them whose labels differ."""

    num_groups: int
    num_images: int
    conflicting: list[list[int]]
    """Rows of each group with different labels."""


def conflicting_duplicates(samples: Samples, book: Book, pairs: np.ndarray) -> Conflicts:
    """Groups of duplicates whose labels differ, as they stand after the decisions so far; rejected images do not count.

    Args:
        pairs: [P, 2] as :func:`~selfcure.review.duplicates.find_duplicates` makes them.
    """
    found = groups(pairs)
    conflicting = []
    for rows in found:
        labels = set()
        for row in rows:
            verdict = book.verdict(row)
            if verdict is None or not verdict.rejected:
                labels.add(verdict.text() if verdict else Verdict.of(samples.given[row]).text())
        if len(labels) > 1:
            conflicting.append(rows)
    return Conflicts(len(found), sum(map(len, found)), conflicting)
