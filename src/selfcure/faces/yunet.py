"""YuNet (Wu et al. 2023), through OpenCV and with a model file of the user's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from selfcure.errors import SelfcureError
from selfcure.faces.detection import Face

_SAME_FACE = 0.3
"""Boxes that overlap by more are one face; OpenCV's own default."""


class Yunet:
    """The detector ``yunet``; see :func:`~selfcure.faces.detection.build_detector`.

    One image at a time: OpenCV's class takes no more. It is made anew where it cannot be copied to another process.
    """

    def __init__(self, weights: Path, *, min_face_px: int = 40, min_score: float = 0.95):
        try:
            import cv2
        except ImportError as error:
            raise SelfcureError("detector 'yunet' needs OpenCV: pip install 'selfcure[opencv]'") from error
        if not weights.is_file():
            raise SelfcureError(f"model file {weights} of detector 'yunet' does not exist")
        self.min_face_px = min_face_px
        try:
            self._net: Any = cv2.FaceDetectorYN.create(str(weights), "", (320, 320), min_score, _SAME_FACE)
        except cv2.error as error:
            raise SelfcureError(f"{weights} is no model that OpenCV reads: {_why(error)}") from error
        self._weights, self._error = weights, cv2.error

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """See :meth:`~selfcure.faces.detection.Detector.detect`."""
        return [self._detect(image) for image in images]

    def _detect(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        self._net.setInputSize((width, height))
        try:
            _, found = self._net.detect(np.ascontiguousarray(image[..., ::-1]))  # it wants BGR
        except self._error as error:
            raise SelfcureError(f"{self._weights} is not a YuNet model: {_why(error)}") from error
        faces = []
        for row in [] if found is None else found:
            # [15]: left, top, width, height, five landmarks, score. Its "right eye" is the person's: left in the image.
            if max(row[2:4]) >= self.min_face_px:
                box = np.array([row[0], row[1], row[0] + row[2], row[1] + row[3]], np.float32)
                faces.append(Face(box, row[4:14].reshape(5, 2).astype(np.float32), float(row[14])))
        return sorted(faces, key=lambda face: -face.score)


def _why(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
