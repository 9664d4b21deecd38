"""The average face as named outlines: control points ``(x, y, depth, follow)``.

The unit is the distance from the eye line to the chin. ``x`` points to the right of the picture (the
subject's left, so names end in ``_l`` there and in ``_r`` on the other side), ``y`` down, ``depth`` towards
the viewer; the eye line is ``y = 0`` and the axis on which the head turns is ``x = depth = 0``. ``follow``
says how far a point goes with the head when it turns: 1 on the head, 0 on the shoulders.
"""

from typing import NamedTuple

import numpy as np


class Outline(NamedTuple):
    """Control points of one named curve and how it is sampled."""

    points: np.ndarray  # [K, 4]
    closed: bool
    num_samples: int


LID_SAMPLES = 9
LIP_SAMPLES = 17
STROKE_SAMPLES = 9
HAIR_SAMPLES = 57

HEAD = [(0, -1.12), (0.36, -1.06), (0.62, -0.86), (0.755, -0.52), (0.785, -0.14), (0.76, 0.2), (0.69, 0.53)]
HEAD += [(0.525, 0.84), (0.27, 1.04), (0, 1.1)]
LIP_X = [-0.31, -0.205, -0.08, 0, 0.08, 0.205, 0.31]
LIPS = {
    "lip_upper_outer": [0.656, 0.619, 0.596, 0.605, 0.596, 0.619, 0.656],
    "lip_upper_inner": [0.656, 0.665, 0.664, 0.669, 0.664, 0.665, 0.656],
    "lip_lower_inner": [0.656, 0.665, 0.664, 0.669, 0.664, 0.665, 0.656],
    "lip_lower_outer": [0.656, 0.712, 0.75, 0.759, 0.75, 0.712, 0.656],
}

# The subject's left half; the right half is its mirror image.
PAIRED_STROKES: dict[str, list[tuple[float, float]]] = {
    "brow": [(0.135, -0.205), (0.24, -0.245), (0.35, -0.27), (0.47, -0.265), (0.585, -0.205)],
    "crease": [(0.185, -0.045), (0.265, -0.135), (0.36, -0.165), (0.465, -0.13), (0.555, -0.045)],
    "bag": [(0.215, 0.105), (0.29, 0.15), (0.37, 0.165), (0.45, 0.14)],
    "nose_side": [(0.098, -0.1), (0.068, 0.03), (0.075, 0.17), (0.115, 0.29)],
    "wing": [(0.11, 0.275), (0.157, 0.325), (0.165, 0.39), (0.125, 0.432), (0.085, 0.425)],
    "naso": [(0.195, 0.35), (0.27, 0.435), (0.325, 0.53), (0.355, 0.63)],
    "furrow": [(0.062, -0.3), (0.05, -0.22), (0.058, -0.13)],
    "crow_up": [(0.575, -0.045), (0.625, -0.075), (0.675, -0.11)],
    "crow_down": [(0.575, 0.03), (0.63, 0.04), (0.68, 0.065)],
    "nose_wrinkle": [(0.03, -0.03), (0.085, -0.005), (0.125, 0.045)],
    "nose_wrinkle_low": [(0.035, 0.05), (0.085, 0.075), (0.12, 0.12)],
    "dimple": [(0.375, 0.585), (0.4, 0.64), (0.385, 0.7)],
    "temple_arm": [(0.6, -0.06), (0.7, -0.05), (0.84, -0.03)],
}
CENTRE_STROKES: dict[str, list[tuple[float, float]]] = {
    "nose_base": [(-0.075, 0.44), (0, 0.462), (0.075, 0.44)],
    "forehead_low": [(-0.38, -0.43), (-0.16, -0.46), (0, -0.452), (0.16, -0.46), (0.38, -0.43)],
    "forehead_mid": [(-0.34, -0.53), (-0.15, -0.556), (0, -0.548), (0.15, -0.556), (0.34, -0.53)],
    "forehead_top": [(-0.26, -0.625), (0, -0.643), (0.26, -0.625)],
    "chin_crease": [(-0.13, 0.865), (0, 0.845), (0.13, 0.865)],
    "lip_shine": [(-0.1, 0.712), (0, 0.722), (0.1, 0.712)],
    "bridge": [(-0.155, -0.03), (0, -0.065), (0.155, -0.03)],
}

# Points that carry shading, two-sided ones on the subject's left.
PAIRED_LANDMARKS = {
    "cheek": (0.43, 0.27),
    "blush": (0.47, 0.36),
    "socket": (0.335, -0.075),
    "inner_corner": (0.155, -0.01),
    "nose_flank": (0.125, 0.22),
    "jaw_side": (0.76, 0.42),
    "temple": (0.79, -0.35),
    "mouth_corner": (0.345, 0.69),
    "lid_shade": (0.36, 0.13),
}
CENTRE_LANDMARKS = {
    "face": (0, -0.02),
    "forehead": (0, -0.52),
    "hair_shade": (0, -0.74),
    "nose_bridge": (0, 0.08),
    "nose_tip": (0, 0.36),
    "nose_shade": (0, 0.5),
    "lip_shade": (0, 0.825),
    "chin": (0, 0.96),
    "crown": (0, -1.02),
    "stubble": (0, 0.86),
    "jaw_shade": (0, 1.16),
}


def depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Depth of the face's surface: an ellipsoid, with a nose on it."""
    face = 0.5 * np.sqrt(np.clip(1 - (x / 0.92) ** 2 - ((y - 0.05) / 1.35) ** 2, 0, 1))
    nose = 0.2 * np.exp(-0.5 * (x / 0.075) ** 2) * np.exp(-0.5 * ((y - 0.36) / 0.17) ** 2)
    return face + nose


def _points(xy: list[tuple[float, float]], z: float | None = None, follow: float = 1.0) -> np.ndarray:
    x, y = np.array(xy, dtype=np.float64).T
    return np.stack([x, y, depth(x, y) if z is None else np.full_like(x, z), np.full_like(x, follow)], axis=1)


def mirrored(points: np.ndarray) -> np.ndarray:
    """The same curve on the other side of the face."""
    return points * [-1, *[1] * (points.shape[-1] - 1)]


def ring(half: np.ndarray) -> np.ndarray:
    """A closed curve from its half ``x >= 0``, given from top to bottom with both ends on the axis."""
    return np.concatenate([half, mirrored(half[-2:0:-1])])


def arch(half: np.ndarray) -> np.ndarray:
    """An open curve from its half ``x >= 0``, given from the axis outwards; it runs from left to right."""
    return np.concatenate([mirrored(half[:0:-1]), half])


def ellipse(
    x: float, y: float, rx: float, ry: float, *, num: int = 8, power: float = 2.0
) -> list[tuple[float, float]]:
    """Points of a superellipse: ``power`` 2 is round, larger is boxier."""
    angle = np.arange(num) / num * 2 * np.pi + np.pi / num
    cos, sin = np.cos(angle), np.sin(angle)
    radius = (np.abs(cos) ** power + np.abs(sin) ** power) ** (-1 / power)
    return list(zip(x + rx * radius * cos, y + ry * radius * sin, strict=True))


def _along(xs: list[float], ys: list[float]) -> list[tuple[float, float]]:
    return list(zip(xs, ys, strict=True))


# Hair: the half of each front piece (top to tip) as outer edge and hairline, and what falls behind the head
# (top to bottom). A style with nine points a curve is not symmetric. Hair is a blendshape like any other.
HAIR_FRONT: dict[str, tuple[list[tuple[float, float]], list[tuple[float, float]]]] = {
    "short": (
        [(0, -1.25), (0.42, -1.18), (0.72, -0.87), (0.835, -0.42), (0.8, -0.02)],
        [(0, -0.78), (0.32, -0.76), (0.59, -0.63), (0.7, -0.34), (0.745, -0.02)],
    ),
    "crop": (
        [(0, -1.17), (0.38, -1.11), (0.66, -0.86), (0.79, -0.46), (0.785, -0.1)],
        [(0, -0.82), (0.33, -0.81), (0.61, -0.68), (0.71, -0.38), (0.75, -0.1)],
    ),
    "side": (
        _along(
            [-0.8, -0.85, -0.76, -0.42, 0.06, 0.5, 0.79, 0.87, 0.8],
            [0.02, -0.42, -0.87, -1.21, -1.33, -1.24, -0.9, -0.42, 0.02],
        ),
        _along(
            [-0.745, -0.71, -0.6, -0.42, -0.12, 0.22, 0.53, 0.7, 0.745],
            [0.02, -0.36, -0.7, -0.89, -0.7, -0.57, -0.54, -0.3, 0.02],
        ),
    ),
    "fringe": (
        [(0, -1.28), (0.45, -1.2), (0.77, -0.87), (0.87, -0.4), (0.84, 0.12)],
        [(0, -0.37), (0.3, -0.365), (0.57, -0.37), (0.72, -0.2), (0.745, 0.12)],
    ),
    "quiff": (
        _along(
            [-0.79, -0.81, -0.72, -0.44, 0.06, 0.5, 0.76, 0.82, 0.79],
            [-0.06, -0.44, -0.88, -1.28, -1.42, -1.34, -0.95, -0.46, -0.06],
        ),
        _along(
            [-0.745, -0.71, -0.6, -0.34, 0, 0.32, 0.6, 0.71, 0.745],
            [-0.06, -0.4, -0.72, -0.82, -0.79, -0.78, -0.68, -0.38, -0.06],
        ),
    ),
    "long": (
        [(0, -1.25), (0.48, -1.18), (0.84, -0.82), (0.97, -0.1), (0.95, 1.0)],
        [(0, -0.92), (0.33, -0.74), (0.63, -0.36), (0.76, 0.12), (0.74, 0.95)],
    ),
    "swept": (
        _along(
            [-0.93, -0.95, -0.83, -0.48, 0.02, 0.5, 0.86, 0.97, 0.94],
            [0.95, -0.1, -0.82, -1.2, -1.3, -1.21, -0.82, -0.1, 0.95],
        ),
        _along(
            [-0.74, -0.76, -0.68, -0.46, -0.1, 0.28, 0.62, 0.765, 0.74],
            [0.92, 0.1, -0.42, -0.88, -0.68, -0.5, -0.34, 0.1, 0.92],
        ),
    ),
    "bob": (
        [(0, -1.27), (0.48, -1.2), (0.86, -0.82), (0.99, -0.1), (0.9, 0.72)],
        [(0, -0.39), (0.3, -0.385), (0.58, -0.37), (0.745, 0.05), (0.66, 0.72)],
    ),
    "curly": (
        [(0, -1.34), (0.5, -1.27), (0.86, -0.95), (1.0, -0.45), (0.95, 0.08)],
        [(0, -0.62), (0.32, -0.63), (0.6, -0.55), (0.73, -0.28), (0.755, 0.08)],
    ),
    "afro": (
        [(0, -1.42), (0.56, -1.34), (1.0, -1.02), (1.17, -0.46), (1.04, 0.16)],
        [(0, -0.7), (0.32, -0.7), (0.6, -0.6), (0.72, -0.3), (0.76, 0.1)],
    ),
    "updo": (
        [(0, -1.22), (0.42, -1.15), (0.71, -0.86), (0.82, -0.42), (0.785, -0.08)],
        [(0, -0.83), (0.3, -0.79), (0.58, -0.62), (0.71, -0.33), (0.755, -0.08)],
    ),
    "receding": (
        [(0, -1.15), (0.38, -1.09), (0.67, -0.86), (0.815, -0.44), (0.8, -0.02)],
        [(0, -1.11), (0.4, -1.02), (0.63, -0.8), (0.715, -0.42), (0.745, -0.02)],
    ),
    "scarf": (
        [(0, -1.27), (0.52, -1.18), (0.87, -0.78), (0.96, -0.05), (0.86, 0.98)],
        [(0, -0.75), (0.36, -0.69), (0.65, -0.37), (0.72, 0.16), (0.52, 0.84)],
    ),
}
HAIR_BACK: dict[str, list[tuple[float, float]]] = {
    "none": [(0, -1.1), (0.45, -0.95), (0.7, -0.55), (0.72, -0.1), (0.65, 0.3), (0.5, 0.6), (0, 0.7)],
    "bob": [(0, -1.2), (0.6, -1.1), (0.93, -0.6), (0.99, 0), (0.98, 0.5), (0.72, 0.82), (0, 0.9)],
    "long": [(0, -1.2), (0.6, -1.1), (0.93, -0.6), (1.0, 0.2), (1.02, 0.9), (0.98, 1.6), (0, 1.9)],
    "round": [(0, -1.36), (0.62, -1.26), (1.06, -0.86), (1.14, -0.3), (1.0, 0.22), (0.72, 0.55), (0, 0.6)],
    "bun": [(0, -1.62), (0.26, -1.55), (0.36, -1.33), (0.26, -1.1), (0.2, -0.9), (0.12, -0.8), (0, -0.8)],
    "scarf": [(0, -1.2), (0.6, -1.1), (0.9, -0.6), (0.95, 0.1), (0.88, 0.75), (0.86, 1.3), (0, 1.9)],
}
HAIR_SIDE = [(0, -1.15), (0.37, -1.09), (0.645, -0.86), (0.775, -0.46), (0.765, -0.08), (0.4, 0), (0, 0)]
LENSES: dict[str, list[tuple[float, float]]] = {
    "round": ellipse(0.37, 0.01, 0.235, 0.225, num=12),
    "square": ellipse(0.37, 0.01, 0.245, 0.19, num=12, power=4.5),
    "cat": [
        (x + 0.05 * (x - 0.37), y - 0.35 * max(x - 0.37, 0))
        for x, y in ellipse(0.37, 0.02, 0.235, 0.18, num=12, power=3)
    ],
    "large": ellipse(0.375, 0.03, 0.26, 0.255, num=12, power=2.8),
}


def hair_front(style: str) -> tuple[np.ndarray, np.ndarray]:
    """Outer edge and hairline of a style, each ``[9, 4]`` from left to right."""
    outer, hairline = HAIR_FRONT[style]
    edges = _points(outer, z=0.12), _points(hairline)
    edges[1][:, 2] = np.maximum(edges[1][:, 2] * 0.65, 0.12)
    first, second = (arch(edge) if len(edge) == 5 else edge for edge in edges)
    return first, second


def hair_back(style: str) -> np.ndarray:
    """What falls behind the head, ``[12, 4]``; hair on the shoulders turns less."""
    points = ring(_points(HAIR_BACK[style], z=-0.2))
    points[:, 3] = np.clip(1.6 - points[:, 1], 0.2, 1)
    return points


def lens(style: str) -> np.ndarray:
    """The subject's left lens, ``[12, 4]``, a little before the face."""
    points = _points(LENSES[style])
    points[:, 2] = 0.5 - 0.25 * (points[:, 0] / 0.65) ** 2
    return points


def _outlines() -> dict[str, Outline]:
    made: dict[str, Outline] = {}

    def add(name: str, points: np.ndarray, num_samples: int, *, closed: bool = False) -> None:
        made[name] = Outline(points, closed, num_samples)

    def add_pair(name: str, points: np.ndarray, num_samples: int, *, closed: bool = False) -> None:
        add(f"{name}_l", points, num_samples, closed=closed)
        add(f"{name}_r", mirrored(points), num_samples, closed=closed)

    head = _points(HEAD, z=0.18)
    head[-3:, 2] = [0.2, 0.25, 0.28]
    add("head", ring(head), 60, closed=True)
    # The outline again at the depth of the ears: a head that turns has a side, with hair on it.
    add("head_side", ring(_points([*HEAD[:7], (0.4, 0.75), (0, 0.8)], z=-0.1)), 48, closed=True)
    add("hair_side", ring(_points(HAIR_SIDE, z=-0.12)), 40, closed=True)
    add("hair_back", hair_back("none"), 72, closed=True)
    outer, hairline = hair_front("short")
    add("hair_outer", outer, HAIR_SAMPLES)
    add("hairline", hairline, HAIR_SAMPLES)

    neck = _points([(0.4, 0.6), (0.385, 0.95), (0.4, 1.14), (0.52, 1.3), (0.7, 1.6)], z=-0.1)
    neck[:, 3] = [0.8, 0.45, 0.2, 0, 0]
    add("neck", np.concatenate([neck, mirrored(neck[::-1])]), 40, closed=True)
    body = _points([(0.47, 1.17), (0.62, 1.24), (1.0, 1.3), (1.35, 1.5), (1.4, 2.2)], z=-0.1, follow=0)
    collar = _points([(-0.47, 1.17), (-0.3, 1.36), (0, 1.45), (0.3, 1.36), (0.47, 1.17)], z=0, follow=0)
    add("shoulder", body, 12)
    add("shoulder_r", mirrored(body[::-1]), 12)
    add("collar", collar, 17)

    add_pair("ear", _points(ellipse(0.815, 0.1, 0.1, 0.2), z=-0.12), 24, closed=True)
    add_pair("ear_inner", _points(ellipse(0.835, 0.1, 0.05, 0.125), z=-0.1), 16, closed=True)
    add_pair(
        "lid_upper",
        _points([(0.178, 0.03), (0.26, -0.068), (0.36, -0.1), (0.455, -0.076), (0.542, 0.0)]),
        LID_SAMPLES,
    )
    add_pair(
        "lid_lower",
        _points([(0.178, 0.03), (0.26, 0.083), (0.36, 0.1), (0.455, 0.077), (0.542, 0.0)]),
        LID_SAMPLES,
    )
    add_pair("nostril", _points(ellipse(0.078, 0.428, 0.04, 0.021)), 12, closed=True)
    add_pair("earring", _points(ellipse(0.825, 0.34, 0.034, 0.045), z=-0.06), 12, closed=True)
    add_pair("lens", lens("round"), 28, closed=True)
    for name, ys in LIPS.items():
        points = _points(list(zip(LIP_X, ys, strict=True)))
        points[:, 2] += 0.05 * (1 - (points[:, 0] / 0.3) ** 2)
        add(name, points, LIP_SAMPLES)
    for name, xy in PAIRED_STROKES.items():
        add_pair(name, _points(xy), STROKE_SAMPLES)
    for name, xy in CENTRE_STROKES.items():
        add(name, _points(xy), STROKE_SAMPLES)
    made["temple_arm_l"].points[:, 2] = made["temple_arm_r"].points[:, 2] = [0.35, 0.2, -0.1]

    # A beard reaches from ear to ear along the jaw; its inner edge passes above the upper lip.
    jaw = _points(
        [(-0.775, 0.05), (-0.75, 0.3), (-0.68, 0.58), (-0.52, 0.88), (-0.27, 1.09), (0, 1.15)], z=0.15
    )
    add("beard_outer", np.concatenate([jaw, mirrored(jaw[-2::-1])]), 33)
    inner = [(-0.735, 0.05), (-0.67, 0.3), (-0.53, 0.48), (-0.34, 0.52), (-0.16, 0.51), (0, 0.525)]
    add("beard_inner", np.concatenate([_points(inner), mirrored(_points(inner))[-2::-1]]), 33)
    tache = [(0, 0.5), (0.14, 0.5), (0.27, 0.575), (0.335, 0.69), (0.23, 0.655), (0.1, 0.605), (0, 0.61)]
    add("moustache", ring(_points(tache)), 40, closed=True)
    goatee = [(0, 0.8), (0.12, 0.81), (0.2, 0.86), (0.21, 0.98), (0.14, 1.09), (0, 1.13)]
    add("goatee", ring(_points(goatee)), 32, closed=True)

    for name, place in PAIRED_LANDMARKS.items():
        add_pair(name, _points([place]), 1)
    for name, place in CENTRE_LANDMARKS.items():
        add(name, _points([place]), 1)
    for name in ("crown", "jaw_side_l", "jaw_side_r", "temple_l", "temple_r"):
        made[name].points[:, 2] = 0.16
    made["jaw_shade"].points[:, 2:] = [0.1, 0.4]
    return made


OUTLINES = _outlines()
"""Every curve of the face by name."""
