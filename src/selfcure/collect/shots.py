"""Where one shot ends and the next begins, by PySceneDetect, frame by frame."""

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from selfcure.collect.plan import INSTALL
from selfcure.errors import SelfcureError

if TYPE_CHECKING:
    from scenedetect import FrameTimecode

SIDE = (160, 90)
"""Width and height of the pictures that are compared: enough for a cut, and cheap."""
_SHORTEST_SEC = 0.6
_TICKS = 1000
"""PySceneDetect counts some times in frames: with a thousand a second these are exact whatever the rate of the video."""


class Shots:
    """Finds cuts and fades to black while frames come by.

    Cuts are those of ``AdaptiveDetector``, which compares a frame's change with that of its neighbours and so does not
    take a moving camera for a cut; fades those of ``ThresholdDetector``.

    Args:
        cut_ratio: how many times as much as its neighbours a cut changes the picture.

    Raises:
        SelfcureError: PySceneDetect is not installed.
    """

    def __init__(self, cut_ratio: float = 3.0):
        try:
            from scenedetect.detectors import AdaptiveDetector, ThresholdDetector
        except ImportError as error:
            raise SelfcureError(f"finding shots needs PySceneDetect and OpenCV: {INSTALL}") from error
        self._detectors = (
            AdaptiveDetector(adaptive_threshold=cut_ratio, min_scene_len=_SHORTEST_SEC),
            ThresholdDetector(min_scene_len=_SHORTEST_SEC),
        )

    def add(self, picture: np.ndarray, time_sec: float) -> list[float]:
        """The next frame: seconds of the cuts that are certain now; they may lie some frames back.

        Args:
            picture: [90, 160, 3] uint8 BGR.
            time_sec: later than that of the frame before.
        """
        timecode = _timecode(time_sec)
        return sorted(
            cut.seconds for detector in self._detectors for cut in detector.process_frame(timecode, picture)
        )


def _timecode(time_sec: float) -> "FrameTimecode":
    from scenedetect import FrameTimecode
    from scenedetect.common import Timecode

    ticks = Timecode(pts=round(time_sec * 1e6), time_base=Fraction(1, 1_000_000))
    return FrameTimecode(ticks, fps=Fraction(_TICKS))
