"""From weights to polygons: a linear blendshape model, a turn of the head, and a projection.

Splines are linear in their control points and faces are linear in their weights, so the splines are applied
once, to the displacement fields, and the curves of a whole batch of faces are one matrix product. What
follows is not linear and short: lids and lips may touch but not cross, the iris and the teeth end where lids
and lips begin, the head turns.

The product is exact: weights are whole multiples of 2⁻¹², fields of 2⁻¹⁶, so every sum fits a double without
rounding and a face does not depend on the batch it is computed in, nor on the order in which a BLAS adds.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np

from selfcure.data.synthetic import outlines
from selfcure.data.synthetic.expressions import ACTION_UNITS
from selfcure.data.synthetic.muscles import PULLS, TRAITS
from selfcure.data.synthetic.outlines import HAIR_BACK, HAIR_FRONT, LENSES, LIP_SAMPLES, OUTLINES

WEIGHT_GRID, FIELD_GRID = 2**12, 2**16
CURLS = 15
HALF_VIEW = 1.36
VIEW_CENTRE_Y = 0.02
CAMERA_DISTANCE = 7.0
IRIS_ANGLES = np.linspace(np.pi, 0, 9)


def spline_matrix(num_points: int, num_samples: int, *, closed: bool) -> np.ndarray:
    """Catmull-Rom interpolation as a matrix ``[M, K]`` that maps control points to samples of the curve."""
    if num_points == 1:
        return np.ones((num_samples, 1))
    spans = num_points if closed else num_points - 1
    t = np.arange(num_samples) * spans / (num_samples if closed else num_samples - 1)
    left = np.minimum(t.astype(np.int64), spans - 1)
    u = (t - left)[:, None]
    cubic = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    weights = np.concatenate([u**0, u, u**2, u**3], axis=1) @ cubic  # [M, 4]
    matrix = np.zeros((num_samples, num_points))
    for row, first in enumerate(left):
        for offset, weight in zip(range(-1, 3), weights[row], strict=True):
            point = first + offset
            if closed:
                matrix[row, point % num_points] += weight
            elif 0 <= point < num_points:
                matrix[row, point] += weight
            else:  # beyond an open end the curve goes on straight
                end, inner = (0, 1) if point < 0 else (num_points - 1, num_points - 2)
                matrix[row, end] += 2 * weight
                matrix[row, inner] -= weight
    return matrix


def _slices() -> dict[str, slice]:
    ends = np.cumsum([outline.num_samples for outline in OUTLINES.values()])
    starts = np.concatenate([[0], ends[:-1]])
    return {name: slice(int(a), int(b)) for name, a, b in zip(OUTLINES, starts, ends, strict=True)}


CURVES = _slices()
"""Where the samples of each outline lie among all ``M`` samples of a face."""


def _sampled(points_of: Mapping[str, np.ndarray]) -> np.ndarray:
    """Curves ``[M, D]`` from the control points ``[K, D]`` of some outlines; the others stay 0."""
    width = next(iter(points_of.values())).shape[1]
    samples = np.zeros((CURVES["jaw_shade"].stop, width))
    for name, points in points_of.items():
        _, closed, num_samples = OUTLINES[name]
        samples[CURVES[name]] = spline_matrix(len(points), num_samples, closed=closed) @ points
    return samples


def _wave(name: str, length: float) -> np.ndarray:
    """Curls: the samples of a hair outline move outwards and inwards in turn."""
    samples = _sampled({name: OUTLINES[name].points})[CURVES[name], :2] - [0, -0.2]
    outwards = samples / np.linalg.norm(samples, axis=1, keepdims=True)
    phase = np.arange(len(outwards)) / len(outwards) * np.pi * CURLS
    wave = np.zeros((CURVES["jaw_shade"].stop, 3))
    wave[CURVES[name], :2] = outwards * (length * (np.abs(np.sin(phase)) - 0.6))[:, None]
    return wave


def _fields() -> dict[str, np.ndarray]:
    """Every displacement field ``[M, 3]`` by name; "mean" is the average face itself."""
    mean = {name: outline.points for name, outline in OUTLINES.items()}
    fields = {"mean": _sampled(mean)[:, :3]}
    for name, pulls in (TRAITS | PULLS).items():
        fields[name] = _sampled(
            {o: np.sum([pull.field(o, p) for pull in pulls], axis=0) for o, p in mean.items()}
        )
    for style in HAIR_FRONT:
        outer, hairline = outlines.hair_front(style)
        change = {"hair_outer": outer - mean["hair_outer"], "hairline": hairline - mean["hairline"]}
        fields[f"front:{style}"] = _sampled(change)[:, :3]
    for style in HAIR_BACK:
        fields[f"back:{style}"] = _sampled({"hair_back": outlines.hair_back(style) - mean["hair_back"]})[
            :, :3
        ]
    for style in LENSES:
        change = {"lens_l": outlines.lens(style) - mean["lens_l"]}
        change["lens_r"] = outlines.mirrored(change["lens_l"])
        fields[f"lens:{style}"] = _sampled(change)[:, :3]
    fields["curls"] = _wave("hair_outer", 0.09) + 0.6 * _wave("hairline", 0.06) + _wave("hair_back", 0.09)
    return fields


@cache
def model() -> tuple[dict[str, int], np.ndarray, np.ndarray]:
    """Row of each field, the fields ``[P, M * 3]``, and how far each sample turns with the head ``[M]``."""
    fields = _fields()
    basis = np.stack([field.ravel() for field in fields.values()])
    follow = _sampled({name: outline.points[:, 3:] for name, outline in OUTLINES.items()})[:, 0]
    rows = {name: row for row, name in enumerate(fields)}
    return rows, np.round(basis * FIELD_GRID) / FIELD_GRID, np.clip(follow, 0, 1)


AU_FIELDS = list(ACTION_UNITS)


def curves(weights: np.ndarray) -> np.ndarray:
    """The curves of a batch of faces before the head turns: weights ``[B, P]`` to ``[B, M, 3]``."""
    _, basis, _ = model()
    exact = np.round(weights * WEIGHT_GRID) / WEIGHT_GRID
    points = (exact @ basis).reshape(len(weights), -1, 3)
    _keep_apart(points)
    return points


def _keep_apart(points: np.ndarray) -> None:
    """Lids and lips touch, they do not cross; neither do the two brows or the two lips' outer edges."""
    for side in "lr":
        upper, lower = points[:, CURVES[f"lid_upper_{side}"], 1], points[:, CURVES[f"lid_lower_{side}"], 1]
        np.minimum(upper, lower - 0.004, out=upper)
    upper, lower = points[:, CURVES["lip_upper_inner"], 1], points[:, CURVES["lip_lower_inner"], 1]
    middle = (upper + lower) / 2
    np.minimum(upper, middle, out=upper)
    np.maximum(lower, middle, out=lower)
    top, bottom = points[:, CURVES["lip_upper_outer"], 1], points[:, CURVES["lip_lower_outer"], 1]
    np.minimum(top, upper - 0.004, out=top)
    np.maximum(bottom, lower + 0.006, out=bottom)


def inner_parts(
    points: np.ndarray, gaze: np.ndarray, iris_radius: np.ndarray, jaw_drop: np.ndarray
) -> dict[str, np.ndarray]:
    """What lies behind lids and lips, cut by them: polygons ``[B, n, 3]`` by name.

    Args:
        points: ``curves``, ``[B, M, 3]``.
        gaze: where the eyes look, in units of the iris' way to the lid, ``[B, 2]`` (right, down).
        iris_radius: ``[B]``.
        jaw_drop: intensity of AU26, ``[B]``.
    """
    parts: dict[str, np.ndarray] = {}
    for side in "lr":
        upper, lower = points[:, CURVES[f"lid_upper_{side}"]], points[:, CURVES[f"lid_lower_{side}"]]
        parts[f"eye_{side}"] = np.concatenate([upper, lower[:, ::-1]], axis=1)
        shade = upper.copy()
        shade[:, :, 1] = np.minimum(upper[:, :, 1] + 0.03, lower[:, :, 1])
        parts[f"eye_shade_{side}"] = np.concatenate([upper, shade[:, ::-1]], axis=1)
        # The eyeball stays where it is when the lids move: its centre comes from the corners.
        centre = (upper[:, 0] + upper[:, -1]) / 2
        centre[:, 0] += 0.055 * gaze[:, 0]
        centre[:, 1] += -0.012 + 0.03 * gaze[:, 1]
        for name, scale in (("limbus", 1.0), ("iris", 0.8), ("pupil", 0.46)):
            parts[f"{name}_{side}"] = _disc_behind_lids(centre, iris_radius * scale, upper, lower)
        glint = centre + np.array([-0.028, -0.036, 0])
        offsets = np.array(
            [(0.022, 0), (0.012, 0.019), (-0.012, 0.019), (-0.022, 0), (-0.012, -0.019), (0.012, -0.019)]
        )
        glints = np.repeat(glint[:, None], 6, axis=1)
        glints[:, :, :2] += offsets
        top = np.repeat(upper[:, 4:5, 1] + 0.012, 6, axis=1)
        glints[:, :, 1] = np.clip(glints[:, :, 1], top, np.maximum(lower[:, 4:5, 1] - 0.012, top))
        parts[f"glint_{side}"] = glints

    upper, lower = points[:, CURVES["lip_upper_inner"]], points[:, CURVES["lip_lower_inner"]]
    parts["mouth"] = np.concatenate([upper, lower[:, ::-1]], axis=1)
    x = np.linspace(-1, 1, LIP_SAMPLES)
    # Upper teeth are part of the skull and do not move with the lips, lower teeth go with the jaw.
    jaw = 0.22 * jaw_drop[:, None]
    bite = 0.72 - 0.05 * x**2 - 0.03 * np.abs(x)
    edges = {
        "teeth": (upper, np.broadcast_to(bite, (len(points), LIP_SAMPLES))),
        "lower_teeth": (lower, bite + 0.014 + jaw),
        "tongue": (lower, 0.72 + 0.72 * jaw + 0.2 * x**2),
    }
    for name, (side_of_mouth, edge) in edges.items():
        cut = side_of_mouth.copy()
        cut[:, :, 1] = np.clip(edge, upper[:, :, 1], lower[:, :, 1])
        parts[name] = np.concatenate([side_of_mouth, cut[:, ::-1]], axis=1)
    parts["lip_upper"] = np.concatenate([points[:, CURVES["lip_upper_outer"]], upper[:, ::-1]], axis=1)
    parts["lip_lower"] = np.concatenate([lower, points[:, CURVES["lip_lower_outer"]][:, ::-1]], axis=1)
    return parts


def _disc_behind_lids(
    centre: np.ndarray, radius: np.ndarray, upper: np.ndarray, lower: np.ndarray
) -> np.ndarray:
    columns = np.cos(IRIS_ANGLES) * radius[:, None]  # [B, 9]
    half = np.sin(IRIS_ANGLES) * radius[:, None]
    x = centre[:, :1] + columns
    start, end = upper[:, :1, 0], upper[:, -1:, 0]
    place = np.clip((x - start) / (end - start), 0, 1) * (upper.shape[1] - 1)
    left = np.minimum(place.astype(np.int64), upper.shape[1] - 2)
    part = place - left

    def height(lid: np.ndarray) -> np.ndarray:
        y = lid[:, :, 1]
        return np.take_along_axis(y, left, 1) * (1 - part) + np.take_along_axis(y, left + 1, 1) * part

    top, bottom = height(upper), height(lower)
    y = np.concatenate([centre[:, 1:2] - half, (centre[:, 1:2] + half)[:, ::-1]], axis=1)
    y = np.clip(
        y, np.concatenate([top, top[:, ::-1]], axis=1), np.concatenate([bottom, bottom[:, ::-1]], axis=1)
    )
    z = np.broadcast_to(centre[:, 2:3], y.shape)
    return np.stack([np.concatenate([x, x[:, ::-1]], axis=1), y, z], axis=2)


def project(
    points: np.ndarray,
    follow: np.ndarray,
    *,
    yaw: np.ndarray,
    pitch: np.ndarray,
    roll: np.ndarray,
    shift: np.ndarray,
    zoom: np.ndarray,
    size_px: int,
) -> np.ndarray:
    """Turn the head and look at it from the front: ``[B, M, 3]`` to canvas pixels ``[B, M, 2]`` float32.

    Args:
        points: curves, ``[B, M, 3]``.
        follow: how far each point goes with the head, ``[M]``.
        yaw: turn to the picture's right, radians, ``[B]``.
        pitch: turn downwards, radians, ``[B]``.
        roll: tilt clockwise, radians, ``[B]``.
        shift: displacement of the face in units, ``[B, 2]``.
        zoom: size of the face, around 1, ``[B]``.
        size_px: side of the canvas.
    """
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    sin_yaw, cos_yaw, sin_pitch, cos_pitch, sin_roll, cos_roll = (
        function(angle)[:, None] for angle in (yaw, pitch, roll) for function in (np.sin, np.cos)
    )
    turned_x, turned_z = x * cos_yaw + z * sin_yaw, z * cos_yaw - x * sin_yaw
    # The head nods about the neck, a little below its centre.
    above = y - 0.35
    turned_y, turned_z = (
        0.35 + above * cos_pitch + turned_z * sin_pitch,
        turned_z * cos_pitch - above * sin_pitch,
    )
    above = turned_y - 0.6
    tilted_x, tilted_y = turned_x * cos_roll - above * sin_roll, 0.6 + turned_x * sin_roll + above * cos_roll
    near = CAMERA_DISTANCE / (CAMERA_DISTANCE - turned_z)
    flat = np.stack([x + follow * (tilted_x * near - x), y + follow * (tilted_y * near - y)], axis=-1)
    scale = size_px / (2 * HALF_VIEW)
    flat = ((flat - [0, VIEW_CENTRE_Y]) * zoom[:, None, None] + shift[:, None]) * scale + size_px / 2
    return flat.astype(np.float32)


def strokes(centres: np.ndarray, half_widths: np.ndarray) -> np.ndarray:
    """Brush strokes ``[B, R, 2n, 2]`` around centre lines ``[B, R, n, 2]`` of half widths ``[B, R, n]``."""
    tangent = np.empty_like(centres)
    tangent[:, :, 1:-1] = centres[:, :, 2:] - centres[:, :, :-2]
    tangent[:, :, 0] = centres[:, :, 1] - centres[:, :, 0]
    tangent[:, :, -1] = centres[:, :, -1] - centres[:, :, -2]
    length = np.maximum(np.hypot(tangent[..., 0], tangent[..., 1]), 1e-6)
    aside = np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1) * (half_widths / length)[..., None]
    return np.concatenate([centres + aside, (centres - aside)[:, :, ::-1]], axis=2)
