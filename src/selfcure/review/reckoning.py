"""P(label wrong) of every sample: the run's own where it reckons one, else a rough guess from the decisions."""

from typing import Any

import numpy as np

from selfcure.review.book import OPEN, SKIPPED, Book
from selfcure.review.expected import ENOUGH, Decay, fit_decay, ranks
from selfcure.review.samples import Samples


class Reckoning:
    """What samples and decisions say together; told anew where there are new decisions.

    Each split is reckoned alone: training's suspicion is a mean over epochs or the run's own P(label wrong), that of
    others the last word of a network that has not seen them.
    """

    def __init__(self, samples: Samples, book: Book):
        self._samples, self._book = samples, book
        self._ranks: dict[str, np.ndarray] = {}
        self._fitted: tuple[int, dict[str, Decay]] = (-1, {})

    def probability(self, row: int) -> float | None:
        """P(label wrong) of a sample, None where it cannot be told (yet)."""
        split, position = self._samples.split_of(row)
        if self._is_calibrated(split):
            value = float(self._samples.suspicion[row])
        elif (decay := self._decays().get(split)) is not None:
            value = float(decay.probability(self._rank(split)[[position]])[0])
        else:
            return None
        return None if np.isnan(value) else value

    def expected_wrong(self) -> dict[str, Any] | None:
        """How many labels of samples that nobody has decided are wrong, where it can be told.

        ``guess``, ``low`` and ``high`` (90 %) of ``num_samples``. ``calibrated`` where all of it is the sum of the run's
        own P(label wrong); else it is a rough guess. ``decided``: of the decided samples that the run has a P(label
        wrong) of, how many there are (``num_samples``), and how many of them are wrong by that (``foretold``) and were
        (``found``); None where there are none.
        """
        total, told = np.zeros(4), []
        for split, size in self._samples.splits:
            first = self._samples.first_row(split)
            state = self._book.state[first : first + size]
            waiting = (state == OPEN) | (state == SKIPPED)
            if self._is_calibrated(split):
                probability = self._samples.suspicion[first : first + size][waiting].astype(np.float64)
                total += [*_sum(probability), (~np.isnan(probability)).sum()]
            elif (decay := self._decays().get(split)) is not None:
                rank = self._rank(split)[waiting]
                total += [*decay.expected(rank), (~np.isnan(rank)).sum()]
            else:
                continue
            told.append(split)
        if not told:
            return None
        return {
            **dict(zip(("guess", "low", "high", "num_samples"), total.tolist(), strict=True)),
            "calibrated": all(map(self._is_calibrated, told)),
            "decided": self._foretold(),
        }

    def _foretold(self) -> dict[str, float] | None:
        rows, wrong = self._found()
        own = np.array([self._is_calibrated(self._samples.split_of(row)[0]) for row in rows.tolist()], bool)
        if not own.any():
            return None
        foretold = float(np.nansum(self._samples.suspicion[rows[own]]))
        return {"num_samples": int(own.sum()), "foretold": foretold, "found": int(wrong[own].sum())}

    def _is_calibrated(self, split: str) -> bool:
        return self._samples.calibrated and split == "train"

    def _rank(self, split: str) -> np.ndarray:
        """[n] of the split's samples."""
        if split not in self._ranks:
            first, size = self._samples.first_row(split), dict(self._samples.splits)[split]
            self._ranks[split] = ranks(self._samples.suspicion[first : first + size])
        return self._ranks[split]

    def _decays(self) -> dict[str, Decay]:
        """Of the splits without a probability of their own, where enough is decided."""
        if self._fitted[0] != self._book.last_seq:
            rows, wrong = self._found()
            decays = {}
            for split, size in self._samples.splits:
                first = self._samples.first_row(split)
                own = (rows >= first) & (rows < first + size)
                if not self._is_calibrated(split) and own.sum() >= ENOUGH:
                    decays[split] = fit_decay(self._rank(split)[rows[own] - first], wrong[own])
            self._fitted = (self._book.last_seq, decays)
        return self._fitted[1]

    def _found(self) -> tuple[np.ndarray, np.ndarray]:
        """[M] decided rows, and [M] whether their labels were found to be wrong."""
        rows, wrong = [], []
        for row in self._book.touched():
            verdict = self._book.verdict(row)
            # A rejected image says nothing of its label; an ambiguous one counts by what it is mostly.
            if verdict is not None and not verdict.rejected:
                rows.append(row)
                wrong.append(verdict.label != self._samples.given[row])
        return np.array(rows, np.int64), np.array(wrong, bool)


def _sum(probability: np.ndarray) -> tuple[float, float, float]:
    """Expected number of wrong labels by P(label wrong) [n], and a 90 % interval: chance alone, were each P right."""
    known = probability[~np.isnan(probability)]
    guess, spread = float(known.sum()), 1.645 * float(np.sqrt((known * (1 - known)).sum()))
    return guess, max(guess - spread, 0.0), min(guess + spread, float(len(known)))
