"""Painting: polygons of a batch of faces become pixels.

Two layers are painted four times too large and reduced: what lies behind (hair, neck, clothes, ears, head)
and what is drawn upon the face (lines, nose, eyes, mouth, fringe, glasses). Soft light is laid between them
at the final size. A layer's fourth channel is its coverage and its colours are premultiplied, so painting
over also erases, and a translucent line is just a weaker one.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from selfcure.data.synthetic import occluders, shading
from selfcure.data.synthetic.degrade import OCCLUDERS
from selfcure.data.synthetic.expressions import ACTION_UNITS
from selfcure.data.synthetic.geometry import (
    AU_FIELDS,
    CURVES,
    HALF_VIEW,
    curves,
    inner_parts,
    model,
    project,
    strokes,
)
from selfcure.data.synthetic.outlines import HAIR_SAMPLES, STROKE_SAMPLES

SUPERSAMPLING = 4
COMPOSE_BATCH = 16  # keeps a batch's float images in the cache

SCENE = np.dtype(
    [
        ("action_units", "f8", (len(ACTION_UNITS),)),
        *((angle, "f8") for angle in ("yaw", "pitch", "roll")),
        ("shift", "f8", (2,)),
        ("zoom", "f8"),
        ("gaze", "f8", (2,)),
        *((light, "f4") for light in ("side_light", "relief", "overhead", "exposure")),
        *((colour, "f4", (3,)) for colour in ("warmth", "near", "far", "clothes")),
        ("glow", "f4", (2,)),
        ("occluder", "i8"),
        ("cover", "f8", (3,)),
    ]
)
"""One picture of somebody: expression, pose (radians), light and surroundings (colours in 0…255).

``occluder`` 0 is none, ``k`` is ``OCCLUDERS[k - 1]``; ``cover`` says where it lies and how it turns, in [-1,
1]."""

# How strongly each line shows, by action unit and by age. Both sides where a name has no "_l" or "_r".
LINES: dict[str, dict[str, float]] = {
    "furrow": {"AU4": 0.75, "AU9": 0.35, "age": 0.25},
    "forehead_low": {"AU1": 0.32, "AU2": 0.3, "age": 0.3},
    "forehead_mid": {"AU1": 0.3, "AU2": 0.3, "age": 0.4},
    "forehead_top": {"AU1": 0.1, "AU2": 0.15, "age": 0.3},
    "crow_up": {"AU6": 0.45, "age": 0.4},
    "crow_down": {"AU6": 0.4, "age": 0.4},
    "bag": {"AU6": 0.4, "AU7": 0.25, "AU9": 0.2, "age": 0.5},
    "naso_l": {"AU9": 0.5, "AU10": 0.55, "AU12L": 0.6, "AU15": 0.2, "AU20": 0.25, "age": 0.6},
    "naso_r": {"AU9": 0.5, "AU10": 0.55, "AU12R": 0.6, "AU15": 0.2, "AU20": 0.25, "age": 0.6},
    "nose_wrinkle": {"AU9": 0.75, "AU10": 0.1},
    "nose_wrinkle_low": {"AU9": 0.6},
    "dimple_l": {"AU14L": 0.65, "AU12L": 0.1},
    "dimple_r": {"AU14R": 0.65, "AU12R": 0.1},
    "chin_crease": {"AU17": 0.7, "AU15": 0.25, "AU24": 0.2, "age": 0.2},
}
TAPER = np.sin(np.linspace(0.12, np.pi - 0.12, STROKE_SAMPLES))
BROW_PROFILE = np.array([0.7, 0.95, 1.0, 0.98, 0.93, 0.82, 0.66, 0.46, 0.16])
LASH_PROFILE = np.array([0.35, 0.7, 0.9, 1.0, 1.05, 1.1, 1.15, 1.1, 0.7])
WING_PROFILE = np.array([0.25, 0.6, 0.9, 1.0, 1.0, 1.0, 0.9, 0.7, 0.35])
# Strands of hair: how far from the outer edge to the hairline, from and to which share of the arch, darker or
# lighter.
STRANDS = [
    (0.3, 0.18, 0.46, 1.13),
    (0.5, 0.3, 0.6, 1.18),
    (0.42, 0.52, 0.82, 1.1),
    (0.7, 0.2, 0.4, 0.78),
    (0.78, 0.48, 0.72, 0.8),
    (0.62, 0.7, 0.92, 0.8),
]

Polygon = tuple[np.ndarray, list[int]]


class Stroke(NamedTuple):
    """A brush stroke along a curve of nine samples."""

    curve: str
    half_width: np.ndarray | float  # face units, [B] or for all
    profile: np.ndarray  # relative width along the stroke, [9]
    colour: np.ndarray  # [B, 3]
    cover: np.ndarray | float = 1.0  # [B] or for all


def _ink(rgb: np.ndarray, alpha: np.ndarray | float = 1.0) -> list[int]:
    """Colours ``[B, 3]`` and coverage ``[B]`` as the packed integers Pillow paints with; 0 paints nothing."""
    cover = np.clip(np.broadcast_to(np.asarray(alpha, dtype=np.float32), rgb.shape[:1]), 0, 1)
    channels = np.clip(np.rint(rgb * cover[:, None]), 0, 255).astype(np.int64)
    packed = (
        channels[:, 0]
        | channels[:, 1] << 8
        | channels[:, 2] << 16
        | np.rint(cover * 255).astype(np.int64) << 24
    )
    return packed.tolist()


def _line_strengths(action_units: np.ndarray, age: np.ndarray) -> dict[str, np.ndarray]:
    causes = dict(zip(ACTION_UNITS, action_units.T, strict=True)) | {"age": age}
    return {line: np.clip(sum(w * causes[c] for c, w in by.items()), 0, 0.85) for line, by in LINES.items()}


class Painting:
    """The polygons of a batch of faces in the order of painting, with a colour for each face."""

    def __init__(self, looks: np.ndarray, scene: np.ndarray, size_px: int):
        rows, _, follow = model()
        weights = looks["weights"].copy()
        weights[:, [rows[name] for name in AU_FIELDS]] = scene["action_units"]
        solid = curves(weights)
        parts = inner_parts(
            solid,
            scene["gaze"],
            looks["iris_radius"].astype(np.float64),
            scene["action_units"][:, AU_FIELDS.index("AU26")],
        )
        pose = {name: scene[name] for name in ("yaw", "pitch", "roll", "shift", "zoom")}
        canvas = size_px * SUPERSAMPLING
        together = np.concatenate([solid, *parts.values()], axis=1)
        follows = np.concatenate([follow, np.ones(together.shape[1] - len(follow))])
        flat = project(together, follows, **pose, size_px=canvas)
        self.looks, self.scene = looks, scene
        self.unit = canvas / (2 * HALF_VIEW) * scene["zoom"]  # [B] canvas pixels
        self.curve = {name: flat[:, where] for name, where in CURVES.items()}
        start = solid.shape[1]
        for name, part in parts.items():
            self.curve[name] = flat[:, start : start + part.shape[1]]
            start += part.shape[1]
        self.back = list(self._back())
        self.front = list(self._front())

    def _joined(self, *names: str) -> np.ndarray:
        """One polygon along several curves; a leading "-" walks a curve backwards."""
        walked = [self.curve[n[1:]][:, ::-1] if n[0] == "-" else self.curve[n] for n in names]
        return np.concatenate(walked, axis=1)

    def _back(self) -> Iterator[Polygon]:
        look, scene = self.looks, self.scene
        skin, hair = look["skin"], look["hair"]
        yield self.curve["hair_back"], _ink(hair * 0.68, look["hair_back"])
        neck = skin * [0.9, 0.85, 0.83]
        yield self.curve["neck"], _ink(neck)
        yield self._joined("shoulder_r", "collar", "shoulder"), _ink(scene["clothes"])
        yield self.curve["head_side"], _ink(skin * [0.95, 0.9, 0.88])
        yield self.curve["hair_side"], _ink(hair * 0.74, look["hair_front"])
        for side in "lr":
            yield self.curve[f"ear_{side}"], _ink(skin * [0.95, 0.88, 0.86], look["ears"])
            yield self.curve[f"ear_inner_{side}"], _ink(skin * [0.78, 0.65, 0.62], look["ears"])
        yield self.curve["head"], _ink(skin)
        for side in "lr":
            yield self.curve[f"earring_{side}"], _ink(np.full_like(skin, (222, 188, 104)), look["earrings"])
        # Two tones soften the edge of a beard.
        inner = self.curve["beard_inner"]
        self.curve["beard_core"] = inner + (self.curve["beard_outer"] - inner) * np.float32(0.14)
        for edge, amount in (("beard_inner", 0.55), ("beard_core", 0.88)):
            yield (
                self._joined("beard_outer", "-" + edge),
                _ink(skin + (look["brows"] - skin) * amount, look["beard"]),
            )
        middle = self.curve["goatee"].mean(axis=1, keepdims=True)
        for size, amount in ((1.0, 0.5), (0.84, 0.85)):
            outline = middle + (self.curve["goatee"] - middle) * np.float32(size)
            yield outline, _ink(skin + (look["brows"] - skin) * amount, look["goatee"])

    def _front(self) -> Iterator[Polygon]:
        look = self.looks
        skin, hair = look["skin"], look["hair"]
        fold = skin * [0.6, 0.46, 0.43]
        yield from self._lines(fold)
        for side in "lr":
            yield from self._eye(side, fold)
        yield from self._mouth(fold)
        brows = look["brows"] + (skin - look["brows"]) * 0.08
        width = 0.036 * look["brow_width"]
        yield from self._strokes([Stroke(f"brow_{s}", width, BROW_PROFILE, brows, 0.95) for s in "lr"])
        dark = hair * 0.9
        yield self._joined("hair_outer", "-hairline"), _ink(dark, look["hair_front"])
        yield from self._strands(hair)
        yield from self._glasses()
        yield from self._occluders()

    def _strokes(self, wanted: Sequence[Stroke]) -> Iterator[Polygon]:
        centres = np.stack([self.curve[stroke.curve] for stroke in wanted], axis=1)
        widths = [(stroke.half_width * self.unit)[:, None] * stroke.profile for stroke in wanted]
        polygons = strokes(centres, np.stack(widths, axis=1).astype(np.float32))
        for place, stroke in enumerate(wanted):
            yield polygons[:, place], _ink(stroke.colour, stroke.cover)

    def _lines(self, fold: np.ndarray) -> Iterator[Polygon]:
        wanted: list[Stroke] = []
        for line, strength in _line_strengths(self.scene["action_units"], self.looks["age"]).items():
            alpha = np.where(strength < 0.06, 0, strength * 0.75)
            width = 0.013 + 0.008 * strength
            names = [line] if line in self.curve else [f"{line}_l", f"{line}_r"]
            wanted += [Stroke(name, width, TAPER, fold, alpha) for name in names]
        for side in "lr":
            lit = self.scene["side_light"] * (1 if side == "l" else -1)
            wanted.append(Stroke(f"nose_side_{side}", 0.018, TAPER, fold, np.clip(0.16 - 0.3 * lit, 0, 0.4)))
            wanted.append(Stroke(f"wing_{side}", 0.015, WING_PROFILE, fold, 0.55))
            wanted.append(Stroke(f"crease_{side}", 0.014, TAPER, fold, 0.6))
        wanted.append(Stroke("nose_base", 0.015, TAPER, fold, 0.5))
        yield from self._strokes(wanted)
        for side in "lr":
            yield self.curve[f"nostril_{side}"], _ink(fold * 0.55, 0.85)
        yield self.curve["moustache"], _ink(self.looks["brows"], self.looks["moustache"])

    def _eye(self, side: str, fold: np.ndarray) -> Iterator[Polygon]:
        look = self.looks
        white = np.full_like(look["skin"], 1) * [246, 243, 240]
        yield self.curve[f"eye_{side}"], _ink(white)
        yield self.curve[f"eye_shade_{side}"], _ink(white * [0.8, 0.78, 0.79])
        yield self.curve[f"limbus_{side}"], _ink(look["iris"] * 0.5)
        yield self.curve[f"iris_{side}"], _ink(look["iris"] * 1.12)
        yield self.curve[f"pupil_{side}"], _ink(np.full_like(white, 18))
        opening = self.curve[f"lid_lower_{side}"][:, 4, 1] - self.curve[f"lid_upper_{side}"][:, 4, 1]
        yield self.curve[f"glint_{side}"], _ink(np.full_like(white, 255), opening > 0.07 * self.unit)
        lash = look["skin"] * 0.22 * [1.1, 0.9, 0.9]
        thick = 0.017 + 0.01 * look["lashes"]
        yield from self._strokes(
            [
                Stroke(f"lid_lower_{side}", 0.008, TAPER, fold * 0.8, 0.6),
                Stroke(f"lid_upper_{side}", thick, LASH_PROFILE, lash, 1.0),
            ]
        )

    def _mouth(self, fold: np.ndarray) -> Iterator[Polygon]:
        look = self.looks
        lips = look["lips"]
        ones = np.ones_like(lips)
        yield self.curve["mouth"], _ink(ones * [62, 20, 24])
        yield self.curve["tongue"], _ink(ones * [186, 84, 86])
        yield self.curve["lower_teeth"], _ink(ones * [226, 219, 211])
        yield self.curve["teeth"], _ink(ones * [248, 245, 238])
        yield self.curve["lip_upper"], _ink(lips * [0.86, 0.82, 0.83])
        yield self.curve["lip_lower"], _ink(lips)
        self.curve["mouth_line"] = ((self.curve["lip_upper_inner"] + self.curve["lip_lower_inner"]) / 2)[
            :, ::2
        ]
        gap = (self.curve["lip_lower_inner"] - self.curve["lip_upper_inner"])[:, 8, 1] / self.unit
        closed = np.clip(1 - gap / 0.03, 0, 1)
        yield from self._strokes(
            [
                Stroke("lip_shine", 0.014, TAPER, np.minimum(lips * 1.2 + 18, 255), 0.5 * look["shine"]),
                Stroke("mouth_line", 0.013, TAPER, lips * [0.42, 0.34, 0.36], closed),
            ]
        )

    def _strands(self, hair: np.ndarray) -> Iterator[Polygon]:
        wanted: list[Stroke] = []
        for index, (share, start, stop, tone) in enumerate(STRANDS):
            where = np.linspace(start, stop, STROKE_SAMPLES) * (HAIR_SAMPLES - 1)
            at = np.rint(where).astype(np.int64)
            outer, line = self.curve["hair_outer"][:, at], self.curve["hairline"][:, at]
            self.curve[f"strand_{index}"] = outer + (line - outer) * np.float32(share)
            colour = np.clip(hair * tone + (8 if tone > 1 else 0), 0, 255)
            wanted.append(Stroke(f"strand_{index}", 0.022, TAPER, colour, self.looks["strands"]))
        yield from self._strokes(wanted)

    def _glasses(self) -> Iterator[Polygon]:
        worn, frame = self.looks["glasses"], self.looks["frame"]
        for side in "lr":
            rim = self.curve[f"lens_{side}"]
            middle = rim.mean(axis=1, keepdims=True)
            inner = middle + (rim - middle) * np.float32(0.86)
            loop = [rim, rim[:, :1], inner[:, :1], inner[:, ::-1]]
            yield np.concatenate(loop, axis=1), _ink(frame, worn)
        even = np.ones(STROKE_SAMPLES)
        names = ("bridge", "temple_arm_l", "temple_arm_r")
        yield from self._strokes([Stroke(name, 0.017, even, frame, worn) for name in names])

    def _occluders(self) -> Iterator[Polygon]:
        occluder, skin = self.scene["occluder"], self.looks["skin"]
        if not occluder.any():
            return
        present = {name: occluder == 1 + place for place, name in enumerate(OCCLUDERS)}
        dark = np.full_like(skin, (26, 26, 30))
        for side in "lr":
            yield self.curve[f"lens_{side}"], _ink(dark, present["sunglasses"])
        names = ("bridge", "temple_arm_l", "temple_arm_r")
        yield from self._strokes(
            [Stroke(name, 0.03, np.ones(STROKE_SAMPLES), dark, present["sunglasses"]) for name in names]
        )
        self.curve |= occluders.shapes(self.scene["cover"], self.curve["face"], self.unit)
        yield self.curve["bar"], _ink(dark, present["bar"])
        yield self.curve["block"], _ink(self.scene["far"] * 0.8, present["block"])
        edge, hand = skin * [0.62, 0.5, 0.47], skin * [0.98, 0.92, 0.9]
        for name, half_width in occluders.FINGERS.items():
            capsule = [Stroke(name, half_width + 0.014, occluders.CAPSULE, edge, present["hand"])]
            capsule.append(Stroke(name, half_width, occluders.CAPSULE, hand, present["hand"]))
            yield from self._strokes(capsule)

    def layer(self, polygons: list[Polygon], canvas: int) -> np.ndarray:
        """Paint one layer of every face: ``[B, S, S, 4]`` uint8, premultiplied colours and coverage."""
        size = canvas // SUPERSAMPLING
        layers = np.empty((len(self.looks), size, size, 4), dtype=np.uint8)
        image = Image.new("RGBX", (canvas, canvas))
        paint = ImageDraw.Draw(image).polygon
        ready = [(np.ascontiguousarray(points), inks) for points, inks in polygons]
        for face in range(len(layers)):
            image.paste(0, (0, 0, canvas, canvas))
            for points, inks in ready:
                if ink := inks[face]:
                    paint(points[face], fill=ink)
            layers[face] = np.asarray(image.reduce(SUPERSAMPLING))
        return layers


def paint(looks: np.ndarray, scene: np.ndarray, size_px: int) -> np.ndarray:
    """Faces ``[B, S, S, 3]`` uint8 of people (records of ``LOOKS``) in scenes (records of ``SCENE``)."""
    painting = Painting(looks, scene, size_px)
    canvas = size_px * SUPERSAMPLING
    back, front = painting.layer(painting.back, canvas), painting.layer(painting.front, canvas)
    landmarks = np.concatenate([painting.curve[name] for name in shading.LANDMARKS], axis=1) / SUPERSAMPLING
    unit_px = (painting.unit / SUPERSAMPLING).astype(np.float32)
    images = np.empty((len(looks), size_px, size_px, 3), dtype=np.uint8)
    for start in range(0, len(looks), COMPOSE_BATCH):
        part = slice(start, start + COMPOSE_BATCH)
        images[part] = _compose(
            back[part], front[part], landmarks[part], unit_px[part], looks[part], scene[part]
        )
    return images


def _compose(
    back: np.ndarray,
    front: np.ndarray,
    landmarks: np.ndarray,
    unit_px: np.ndarray,
    looks: np.ndarray,
    scene: np.ndarray,
) -> np.ndarray:
    size = back.shape[1]
    light = shading.skin_light(
        landmarks,
        unit_px,
        side_light=scene["side_light"],
        relief=scene["relief"],
        hair=looks["hair_front"],
        stubble=looks["stubble"],
        size=size,
    )
    crown = shading.hair_light(landmarks, unit_px, side_light=scene["side_light"], size=size)
    image = shading.backdrop(scene["near"], scene["far"], scene["glow"], size)
    for layer, lit in ((back, light), (front, crown)):
        planes = layer.transpose(0, 3, 1, 2).astype(np.float32)
        image *= 1 - planes[:, 3:] / 255
        image += planes[:, :3] * lit
    image *= shading.room_light(0.12 * scene["side_light"], scene["overhead"], size)
    image *= (scene["exposure"][:, None] * scene["warmth"])[:, :, None, None]
    return np.clip(image, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
