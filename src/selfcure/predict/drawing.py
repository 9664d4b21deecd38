"""Readings drawn into their images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from selfcure.data.vocabulary import canonical
from selfcure.predict.results import FaceReading, ImageReading

Box = tuple[float, float, float, float]

_BY_NAME = {
    "neutral": "#b4bcc8",
    "happiness": "#f6bd3a",
    "surprise": "#3fc1c9",
    "sadness": "#5b8def",
    "anger": "#ef5b4c",
    "disgust": "#7cbf5a",
    "fear": "#ab7de0",
    "contempt": "#ee86b7",
}
_OTHERS = (
    "#5b8def",
    "#f6bd3a",
    "#ef5b4c",
    "#7cbf5a",
    "#ab7de0",
    "#3fc1c9",
    "#ee86b7",
    "#b4bcc8",
    "#c9a27a",
    "#8ad1a5",
)
_INK, _PLAIN = "#10151c", "#ffffff"
_MIN_SIDE_PX = 480
"""Of a drawing: smaller images are enlarged, for their pixels would not hold a letter."""
_MIN_FONT_PX = 9


def class_color(name: str, index: int) -> str:
    """A colour that stays with a class: that of the expression, or of its number."""
    return _BY_NAME.get(canonical(name) or "", _OTHERS[index % len(_OTHERS)])


def annotate(image: np.ndarray, reading: ImageReading, *, labels: bool = True) -> np.ndarray:
    """Draw boxes and labels.

    Text is as large as the face and the image allow; labels stay inside the image and, where there is room, clear of
    other faces and labels. A reading of the whole image is written below it. Images under 480 px are enlarged.

    Args:
        image: [H, W, 3] uint8 RGB, the one that was read.
        labels: False: draw the boxes alone, without a word or colour on what was read.

    Returns:
        [H', W', 3] uint8 RGB; the size depends on that of the image and on whether it was read whole, not on its faces.
    """
    height, width = image.shape[:2]
    scale = -(-_MIN_SIDE_PX // max(height, width)) if max(height, width) < _MIN_SIDE_PX else 1
    canvas = Image.fromarray(image)
    if scale > 1:
        canvas = canvas.resize((width * scale, height * scale), Image.Resampling.BICUBIC)
    whole = [face for face in reading.faces if face.landmarks is None]
    if whole:
        return _captioned(canvas, whole[0]) if labels else np.asarray(canvas)
    draw = ImageDraw.Draw(canvas)
    faces = sorted(reading.faces, key=lambda face: face.box[3] - face.box[1])  # large ones above small ones
    boxes: list[Box] = [tuple(side * scale for side in face.box) for face in faces]  # type: ignore[misc]
    short = min(canvas.size)
    texts = []
    for face, box in zip(faces, boxes, strict=True):
        font_px = _between(0.15 * (box[3] - box[1]), max(12, 0.02 * short), max(14, 0.05 * short))
        texts.append(_Label.of(face, font_px, canvas.width))
        _outline(draw, box, _color(face) if labels else _PLAIN, max(2, round(font_px / 7)))
    placed: list[Box] = []
    for face, box, text in zip(faces, boxes, texts if labels else [], strict=labels):
        place = _place(text, box, [other for other in boxes if other is not box], placed, canvas.size)
        placed.append(place)
        text.draw(draw, place, _color(face))
    return np.asarray(canvas)


@dataclass(frozen=True)
class _Label:
    """One or two lines of text that fit into the image's width."""

    lines: tuple[str, ...]
    font_px: float
    width: float
    height: float

    @property
    def pad(self) -> float:
        return 0.35 * self.font_px

    @classmethod
    def of(cls, face: FaceReading, font_px: float, most_px: int) -> "_Label":
        head = f"{' '.join(face.expression.split())} {face.probability:.0%}"
        lines = [head if face.track is None else f"#{face.track}  {head}"]
        if face.importance is not None:
            lines.append(f"readability {face.importance:.2f}")
        while True:
            label = cls._measured(lines, font_px)
            if label.width <= most_px:
                return label
            if font_px > _MIN_FONT_PX:
                font_px = max(_MIN_FONT_PX, font_px * 0.9)
            elif max(map(len, lines)) > 2:
                lines = [line[:-2] + "…" if len(line) > 2 else line for line in lines]
            else:
                return label

    @classmethod
    def _measured(cls, lines: Sequence[str], font_px: float) -> "_Label":
        fonts = [_font(font_px, index == 0) for index in range(len(lines))]
        text = max(font.getlength(line) for font, line in zip(fonts, lines, strict=True))
        pad = 0.35 * font_px
        return cls(tuple(lines), font_px, text + 2 * pad, _baselines(font_px, len(lines))[-1] + 2 * pad)

    def draw(self, draw: ImageDraw.ImageDraw, place: Box, color: str) -> None:
        """Dark letters on the class's colour."""
        draw.rounded_rectangle(place, radius=0.3 * self.font_px, fill=color)
        for index, (line, base) in enumerate(
            zip(self.lines, _baselines(self.font_px, len(self.lines)), strict=True)
        ):
            at = (place[0] + self.pad, place[1] + self.pad + base)
            draw.text(at, line, fill=_INK, font=_font(self.font_px, index == 0), anchor="ls")


def _baselines(font_px: float, num_lines: int) -> list[float]:
    """Of each line below the upper edge of the text; the second line is smaller."""
    return [0.85 * font_px, 1.85 * font_px][:num_lines]


def _place(
    label: _Label, box: Box, others: Sequence[Box], placed: Sequence[Box], size: tuple[int, int]
) -> Box:
    """Where the label covers least: above the box if nothing speaks against it."""
    left, top, right, bottom = box
    wide, tall = label.width, label.height
    spots = [
        (left, top - tall),
        (left, bottom),
        (right - wide, top - tall),
        (right - wide, bottom),
        (right, top),
        (left - wide, top),
        (right, bottom - tall),
        (left - wide, bottom - tall),
        (left, bottom + tall),
        (left, top - 2 * tall),
        (left, top),
        (left, bottom - tall),
    ]
    inside = []
    for x, y in spots:
        x, y = _between(x, 0, size[0] - 1 - wide), _between(y, 0, size[1] - 1 - tall)
        inside.append((x, y, x + wide, y + tall))

    def cost(spot: tuple[int, Box]) -> float:
        order, place = spot
        return (
            5 * sum(_shared(place, other) for other in placed)
            + 2 * sum(_shared(place, other) for other in others)
            + _shared(place, box)
            + 0.002 * order * wide * tall
        )

    return min(enumerate(inside), key=cost)[1]


def _captioned(canvas: Image.Image, face: FaceReading) -> np.ndarray:
    """The image with a strip below it that names what was read."""
    font_px = _between(0.05 * min(canvas.size), 16, 48)
    label = _Label.of(face, font_px, canvas.width)
    # As tall as two lines, so that all frames of a video have one size.
    strip = round(_baselines(font_px, 2)[-1] + 0.7 * font_px)
    drawing = Image.new("RGB", (canvas.width, canvas.height + strip), _color(face))
    drawing.paste(canvas)
    top = canvas.height + (strip - label.height) / 2
    label.draw(ImageDraw.Draw(drawing), (0, top, label.width, top + label.height), _color(face))
    return np.asarray(drawing)


def _outline(draw: ImageDraw.ImageDraw, box: Box, color: str, width: int) -> None:
    left, top, right, bottom = box
    if right - left < 2 or bottom - top < 2:
        return
    # A dark line on both sides keeps the box visible on any ground.
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_INK, width=width + 2)
    draw.rectangle(box, outline=color, width=width)


def _color(face: FaceReading) -> str:
    return class_color(face.expression, list(face.probabilities).index(face.expression))


@lru_cache(maxsize=64)
def _loaded(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    # matplotlib brings the font with the most letters among what is installed anyway; it is not imported for that.
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.submodule_search_locations
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), size)


def _font(font_px: float, first: bool) -> ImageFont.FreeTypeFont:
    return _loaded(max(1, round(font_px if first else 0.8 * font_px)), first)


def _shared(one: Box, other: Box) -> float:
    """Area in both."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


def _between(value: float, low: float, high: float) -> float:
    return max(low, min(value, high))
