"""Whether an exported file says what the run says, on real images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from selfcure.errors import SelfcureError
from selfcure.export.samples import Samples
from selfcure.predict.engines import EngineOutputs
from selfcure.predict.preprocess import softmax

MAX_DIFFERENCE = 1e-4
"""Of a probability or an importance between a float32 file and torch: rounding in another order, no more."""
MIN_AGREEMENT = {"float16": 0.99, "int8": 0.95}
"""Share of the images that a quantised file must give the same class as the run."""

_BATCH = 32

Run = Callable[[np.ndarray], EngineOutputs]
"""Normalised images [B, 3, S, S] → outputs."""


@dataclass(frozen=True)
class Parity:
    """What the check found."""

    origin: str
    """Which images."""
    num_images: int
    max_difference: float
    """Of any probability or importance, 0–1."""
    mean_difference: float
    """Of the probabilities, on average."""
    agreement: float
    """Share of the images with the same class; ties within the tolerance count as the same."""
    accuracy_run: float | None
    """On the images' labels; None where they have none."""
    accuracy_file: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return vars(self).copy()


def compare(reference: Run, exported: Run, inputs: np.ndarray, samples: Samples) -> Parity:
    """Run both on the same inputs [N, 3, S, S]: the run in batches, the file in batches and also one by one.

    Raises:
        SelfcureError: the file gives numbers that are not finite, or another result for a batch than for its images.
    """
    expected, found = _all(reference, inputs, _BATCH), _all(exported, inputs, _BATCH)
    few = inputs[:3]
    alone = _all(exported, few, 1)
    if not np.isfinite(found.logits).all():
        raise SelfcureError("the exported file gives numbers that are not finite; it was not kept")
    if (worst := _difference(_all(exported, few, len(few)), alone)) > MAX_DIFFERENCE:
        raise SelfcureError(
            f"the exported file gives other results for a batch than for its images one by one (by {worst:.2g}); it "
            "was not kept"
        )
    probs, ours = softmax(expected.logits), softmax(found.logits)
    rows = np.arange(len(probs))
    same = probs.max(1) - probs[rows, ours.argmax(1)] <= 2 * MAX_DIFFERENCE
    labels = samples.labels
    return Parity(
        origin=samples.origin,
        num_images=len(probs),
        max_difference=_difference(expected, found),
        mean_difference=float(np.abs(probs - ours).mean()),
        agreement=float(same.mean()),
        accuracy_run=None if labels is None else float((probs.argmax(1) == labels).mean()),
        accuracy_file=None if labels is None else float((ours.argmax(1) == labels).mean()),
    )


def require(parity: Parity, quantization: str | None) -> None:
    """Refuse a file that differs too much.

    Raises:
        SelfcureError: beyond :data:`MAX_DIFFERENCE`, or of a quantised file below :data:`MIN_AGREEMENT`.
    """
    if quantization and parity.agreement < (lowest := MIN_AGREEMENT[quantization]):
        raise SelfcureError(
            f"{quantization} changes the class of {1 - parity.agreement:.1%} of {parity.origin}, more than "
            f"{1 - lowest:.0%}; the file was not kept; export without --quantize"
        )
    if not quantization and (parity.max_difference > MAX_DIFFERENCE or parity.agreement < 1):
        raise SelfcureError(
            f"the exported file differs from the run on {parity.origin}: a probability by {parity.max_difference:.2g}, "
            f"{1 - parity.agreement:.1%} of the classes; the file was not kept; please report it"
        )


def _all(run: Run, inputs: np.ndarray, batch: int) -> EngineOutputs:
    pieces = [run(inputs[start : start + batch]) for start in range(0, len(inputs), batch)]
    importance = [piece.importance for piece in pieces if piece.importance is not None]
    return EngineOutputs(
        np.concatenate([piece.logits for piece in pieces]), np.concatenate(importance) if importance else None
    )


def _difference(one: EngineOutputs, other: EngineOutputs) -> float:
    """The largest, of probabilities and of the importance where both have it."""
    worst = float(np.abs(softmax(one.logits) - softmax(other.logits)).max())
    if one.importance is not None and other.importance is not None:
        worst = max(worst, float(np.abs(one.importance - other.importance).max()))
    return worst
