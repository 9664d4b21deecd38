"""What a reviewer says a label should be."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from selfcure.errors import SelfcureError

KINDS = ("accept", "keep", "choose", "ambiguous", "reject", "skip")
"""Ways to decide: the suggested label, the given one, another, several, no label at all, and not now."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A label of one class or more, or none for an image that is rejected.

    Attributes:
        weights: (class, weight) by rising class, weights sum to 1; empty for a rejected image.
    """

    weights: tuple[tuple[int, float], ...]

    @classmethod
    def of(cls, label: int) -> "Verdict":
        """One class.

        >>> Verdict.of(3).weights
        ((3, 1.0),)
        """
        return cls(((int(label), 1.0),))

    @classmethod
    def soft(cls, weights: Mapping[int, float], num_classes: int) -> "Verdict":
        """Several classes by weight; weights are scaled to sum to 1.

        >>> Verdict.soft({4: 1, 2: 3}, 7).weights
        ((2, 0.75), (4, 0.25))

        Raises:
            SelfcureError: fewer than two classes, a class that there is not, or a weight that is not positive.
        """
        if len(weights) < 2:
            raise SelfcureError(f"an ambiguous label needs at least two classes, not {len(weights)}")
        if outside := [k for k in weights if not 0 <= k < num_classes]:
            raise SelfcureError(
                f"class {outside[0]} is outside the {num_classes} classes (0–{num_classes - 1})"
            )
        # Not `<= 0`: NaN is neither.
        if bad := [w for w in weights.values() if not 0 < w <= 1e6]:
            raise SelfcureError(f"the weight of a class must be positive and at most 1e6, not {bad[0]}")
        total = sum(weights.values())
        return cls(tuple((k, weights[k] / total) for k in sorted(weights)))

    @classmethod
    def from_array(cls, weights: np.ndarray) -> "Verdict":
        """From weights of all classes [K], which sum to 1."""
        return cls(tuple((int(k), float(weights[k])) for k in np.flatnonzero(weights)))

    def array(self, num_classes: int) -> np.ndarray:
        """[K] float32 weights of all classes; zeros where rejected."""
        weights = np.zeros(num_classes, np.float32)
        for label, weight in self.weights:
            weights[label] = weight
        return weights

    @property
    def rejected(self) -> bool:
        return not self.weights

    @property
    def is_soft(self) -> bool:
        return len(self.weights) > 1

    @property
    def label(self) -> int:
        """The class with most weight, the lower one of equals; −1 where rejected.

        >>> Verdict(((2, 0.5), (4, 0.5))).label, Verdict(()).label
        (2, -1)
        """
        return max(self.weights, key=lambda pair: (pair[1], -pair[0]))[0] if self.weights else -1

    def text(self) -> str:
        """As stored: JSON, the same for equal verdicts."""
        return json.dumps([[k, round(w, 6)] for k, w in self.weights], separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> "Verdict":
        """The inverse of :meth:`text`.

        >>> Verdict.parse(Verdict.of(3).text()) == Verdict.of(3)
        True
        """
        return cls(tuple((int(k), float(w)) for k, w in json.loads(text)))


REJECTED = Verdict(())
