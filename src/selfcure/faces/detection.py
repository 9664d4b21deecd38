"""What a face detector is, and which there are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from selfcure.errors import SelfcureError, check_choice


@dataclass(frozen=True, eq=False)
class Face:
    """One face in an image.

    Coordinates are pixels of the upright image, x to the right and y down; a box may reach beyond the image. "Left" is
    left in the image.
    """

    box: np.ndarray
    """[4] float32: left, top, right, bottom."""
    landmarks: np.ndarray
    """[5, 2] float32, x and y of left eye, right eye, nose, left and right corner of the mouth."""
    score: float
    """How sure the detector is, 0–1."""

    @property
    def area_px(self) -> float:
        """Of the box, in square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


class Detector(Protocol):
    """Finds faces."""

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """The faces of each image, the surest first.

        Args:
            images: [H, W, 3] uint8 RGB, upright, of any sizes. Those of one size are worked on together, which is
                faster; what is found does not depend on it (but for rounding).
        """


def build_detector(
    name: str = "mtcnn",
    *,
    min_face_px: int = 40,
    min_score: float = 0.95,
    weights: Path | None = None,
    device: str = "cpu",
) -> Detector:
    """A detector by its name.

    Args:
        name: a key of :data:`DETECTORS`.
        min_face_px: side of the smallest face to look for. Half of it takes about four times as long.
        min_score: faces below are left out, 0–1.
        weights: model file, for detectors that bring none.
        device: where it computes, ``cpu`` or ``cuda``.

    Raises:
        SelfcureError: an argument is out of range, a library is not installed, or ``weights`` does not fit.
    """
    check_detector(name, min_face_px=min_face_px, min_score=min_score, weights=weights, device=device)
    return DETECTORS[name](min_face_px=min_face_px, min_score=min_score, weights=weights, device=device)


def check_detector(
    name: str, *, min_face_px: int, min_score: float, weights: Path | None, device: str
) -> None:
    """What :func:`build_detector` refuses without a look at files and devices.

    Raises:
        SelfcureError: an argument is out of range, or does not fit the others.
    """
    check_choice("detector", name, DETECTORS)
    if min_face_px < 12:
        raise SelfcureError(f"min_face_px must be at least 12, not {min_face_px}")
    if not 0 <= min_score <= 1:
        raise SelfcureError(f"min_score must be from 0 to 1, not {min_score}")
    if name == "mtcnn" and weights is not None:
        raise SelfcureError(f"detector 'mtcnn' brings its weights, so not {weights}")
    if name == "yunet" and weights is None:
        raise SelfcureError(
            "detector 'yunet' needs its model file, face_detection_yunet_….onnx of the OpenCV zoo; give it as weights"
        )
    if name == "yunet" and device != "cpu":
        raise SelfcureError(f"detector 'yunet' computes on the cpu, not on {device!r}")


def _mtcnn(*, min_face_px: int, min_score: float, weights: None, device: str) -> Detector:
    from selfcure.faces.mtcnn import Mtcnn

    return Mtcnn(min_face_px=min_face_px, min_score=min_score, device=device)


def _yunet(*, min_face_px: int, min_score: float, weights: Path, device: str) -> Detector:
    from selfcure.faces.yunet import Yunet

    return Yunet(weights, min_face_px=min_face_px, min_score=min_score)


DETECTORS: dict[str, Callable[..., Detector]] = {"mtcnn": _mtcnn, "yunet": _yunet}
"""Name → builder with the keyword arguments of :func:`build_detector`."""
