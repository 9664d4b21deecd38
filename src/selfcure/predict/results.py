"""What a prediction says, as plain data."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfcure.errors import SelfcureError

if TYPE_CHECKING:
    import pandas as pd

LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""What the five landmarks are; "left" is left in the image."""


@dataclass(frozen=True)
class FaceReading:
    """One face, or a whole image that was taken for one."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels of the upright image; of a whole image its edges."""
    landmarks: tuple[tuple[float, float], ...] | None
    """x and y of each of :data:`LANDMARKS`; None for a whole image."""
    score: float | None
    """How sure the detector is that it is a face, 0–1; None for a whole image."""
    expression: str
    """The class of the highest probability."""
    probabilities: Mapping[str, float]
    """Class → probability, in the network's order."""
    importance: float | None
    """How readable the image is to the network, 0–1; None where the network does not say."""
    track: int | None = None
    """In a video: the same number is the same face in other frames."""

    @property
    def probability(self) -> float:
        """Of ``expression``."""
        return self.probabilities[self.expression]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        marks = self.landmarks
        return {
            **({} if self.track is None else {"track": self.track}),
            "box": [round(side, 2) for side in self.box],
            "landmarks": marks
            and {name: [round(c, 2) for c in mark] for name, mark in zip(LANDMARKS, marks, strict=True)},
            "score": self.score,
            "expression": self.expression,
            "probability": self.probability,
            "importance": self.importance,
            "probabilities": dict(self.probabilities),
        }


@dataclass(frozen=True)
class ImageReading:
    """One image, or a frame of a video."""

    source: str | None
    """The file, or the camera; None for pixels from memory."""
    width: int
    height: int
    faces: tuple[FaceReading, ...]
    """The surest first; empty if there is no face."""
    frame: int | None = None
    """Number of the frame in its video, from 0."""
    time_sec: float | None = None
    """When it is shown."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        when = {} if self.frame is None else {"frame": self.frame, "time_sec": self.time_sec}
        return {
            "source": self.source,
            **when,
            "width": self.width,
            "height": self.height,
            "faces": [face.to_dict() for face in self.faces],
        }

    def rows(self) -> list[dict[str, Any]]:
        """One flat row for each face, with the columns of :func:`columns`."""
        return [
            {
                "source": self.source,
                "frame": self.frame,
                "time_sec": self.time_sec,
                "face": number,
                "track": face.track,
                **dict(zip(("left", "top", "right", "bottom"), (round(s, 2) for s in face.box), strict=True)),
                "score": face.score,
                "expression": face.expression,
                "probability": face.probability,
                "importance": face.importance,
                **{f"p_{name}": value for name, value in face.probabilities.items()},
            }
            for number, face in enumerate(self.faces)
        ]

    def to_dataframe(self) -> "pd.DataFrame":
        """:meth:`rows` as a pandas DataFrame.

        Raises:
            SelfcureError: pandas is not installed.
        """
        return to_dataframe([self])


def columns(class_names: Sequence[str]) -> list[str]:
    """Of the flat rows: ``face`` counts the faces of an image, ``p_NAME`` is the probability of a class."""
    fixed = "source frame time_sec face track left top right bottom score expression probability importance"
    return [*fixed.split(), *(f"p_{name}" for name in class_names)]


def to_dataframe(readings: Iterable[ImageReading]) -> "pd.DataFrame":
    """One row for each face of several images.

    Raises:
        SelfcureError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise SelfcureError("a DataFrame needs pandas; pip install pandas, or use rows()") from error
    return pd.DataFrame([row for reading in readings for row in reading.rows()])
