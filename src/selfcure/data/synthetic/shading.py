"""Soft light and shadow: a sum of Gaussian blobs at landmarks of the face.

A Gaussian with upright axes is a product of a column and a row, so the sum of all blobs of an image is one
small matrix product, ``columns.T @ rows``, and no pixel is visited per blob.
"""

import numpy as np

# landmark: (reach across, reach down, red, green, blue), added to 1 and multiplied onto the skin. What has a
# pair is given for the subject's left. Shadows of skin are redder than its lights, as light scatters below
# its surface.
PAIRED = {
    "cheek": (0.17, 0.13, 0.075, 0.065, 0.055),
    "blush": (0.17, 0.12, 0.03, -0.055, -0.045),
    "socket": (0.2, 0.105, -0.11, -0.14, -0.13),
    "inner_corner": (0.07, 0.11, -0.13, -0.16, -0.15),
    "lid_shade": (0.16, 0.05, -0.05, -0.07, -0.05),
    "nose_flank": (0.055, 0.17, -0.07, -0.09, -0.09),
    "jaw_side": (0.17, 0.42, -0.15, -0.19, -0.18),
    "temple": (0.15, 0.4, -0.12, -0.15, -0.14),
    "mouth_corner": (0.06, 0.06, -0.06, -0.08, -0.08),
}
CENTRE = {
    "face": (0.5, 0.7, 0.1, 0.09, 0.08),
    "forehead": (0.36, 0.18, 0.07, 0.07, 0.07),
    "hair_shade": (0.55, 0.1, -0.16, -0.18, -0.17),
    "nose_bridge": (0.04, 0.22, 0.09, 0.09, 0.09),
    "nose_tip": (0.06, 0.055, 0.14, 0.11, 0.11),
    "nose_shade": (0.12, 0.04, -0.17, -0.2, -0.19),
    "lip_shade": (0.15, 0.035, -0.13, -0.15, -0.14),
    "stubble": (0.34, 0.27, -0.15, -0.12, -0.09),
    "crown": (0.5, 0.24, 0.0, 0.0, 0.0),
    "chin": (0.14, 0.075, 0.075, 0.06, 0.06),
    "jaw_shade": (0.5, 0.11, -0.4, -0.42, -0.4),
}
LANDMARKS = [f"{name}_{side}" for name in PAIRED for side in "lr"] + list(CENTRE)
_TABLE = np.array([PAIRED[name] for name in PAIRED for _ in "lr"] + list(CENTRE.values()), dtype=np.float32)
REACH, TINT = _TABLE[:, :2], _TABLE[:, 2:]


def _bells(centres: np.ndarray, reach: np.ndarray, size: int) -> np.ndarray:
    """Gaussians along one axis, ``[B, K]`` to ``[B, K, S]``."""
    pixels = np.arange(size, dtype=np.float32) + np.float32(0.5)
    return np.exp(np.float32(-0.5) * ((pixels - centres[:, :, None]) / reach[:, :, None]) ** 2)


def blobs(centres: np.ndarray, reach: np.ndarray, tints: np.ndarray, size: int) -> np.ndarray:
    """Sums of blobs ``[B, C, S, S]``: centres and reaches ``[B, K, 2]`` in pixels, tints ``[B, K, C]``."""
    rows = _bells(centres[:, :, 0], reach[:, :, 0], size)
    columns = _bells(centres[:, :, 1], reach[:, :, 1], size)
    weighted = tints.transpose(0, 2, 1)[:, :, :, None] * columns[:, None]  # [B, C, K, S]
    return np.matmul(weighted.transpose(0, 1, 3, 2), rows[:, None])


def skin_light(
    landmarks: np.ndarray,
    unit_px: np.ndarray,
    *,
    side_light: np.ndarray,
    relief: np.ndarray,
    hair: np.ndarray,
    stubble: np.ndarray,
    size: int,
) -> np.ndarray:
    """What skin is multiplied by, ``[B, 3, S, S]``, around 1.

    Args:
        landmarks: positions of ``LANDMARKS`` in pixels, ``[B, K, 2]``.
        unit_px: pixels of a face unit, ``[B]``.
        side_light: from where light falls, -1 (left) to 1 (right), ``[B]``.
        relief: how deep all shading is, around 1, ``[B]``.
        hair: whether hair casts its shadow on the forehead, ``[B]``.
        stubble: how much of a shaven beard shows, in [0, 1], ``[B]``.
        size: side of the image.
    """
    strength = np.repeat(relief[:, None], len(LANDMARKS), axis=1)
    for name in ("nose_flank", "jaw_side", "temple", "socket"):
        left = LANDMARKS.index(f"{name}_l")
        strength[:, left] *= 1 - 0.75 * side_light
        strength[:, left + 1] *= 1 + 0.75 * side_light
    cheek = LANDMARKS.index("cheek_l")
    strength[:, cheek] *= 1 + 0.5 * side_light
    strength[:, cheek + 1] *= 1 - 0.5 * side_light
    strength[:, LANDMARKS.index("hair_shade")] *= hair
    strength[:, LANDMARKS.index("stubble")] *= stubble
    reach = REACH * unit_px[:, None, None]
    return 0.94 + blobs(landmarks, reach, TINT * strength[:, :, None], size)


def hair_light(
    landmarks: np.ndarray, unit_px: np.ndarray, *, side_light: np.ndarray, size: int
) -> np.ndarray:
    """What fringe and hair in front are multiplied by: a sheen on the crown, ``[B, 1, S, S]``, around 1."""
    crown = LANDMARKS.index("crown")
    centre = landmarks[:, [crown]].copy()
    centre[:, 0, 0] += 0.3 * side_light * unit_px
    reach = REACH[[crown]] * unit_px[:, None, None]
    return 0.92 + blobs(centre, reach, np.full((len(centre), 1, 1), 0.34, dtype=np.float32), size)


def room_light(side_light: np.ndarray, overhead: np.ndarray, size: int) -> np.ndarray:
    """What everything is multiplied by: brighter towards the light, ``[B, 1, S, S]``, around 1."""
    across = np.linspace(-1, 1, size, dtype=np.float32)
    slope = side_light[:, None] * across
    fall = -overhead[:, None] * across
    return (1 + slope[:, None, :] + fall[:, :, None])[:, None]


def backdrop(near: np.ndarray, far: np.ndarray, glow: np.ndarray, size: int) -> np.ndarray:
    """Background ``[B, 3, S, S]`` of two colours ``[B, 3]``: ``near`` around ``glow`` ``[B, 2]``."""
    centres = (glow[:, None] * size).astype(np.float32)
    reach = np.full((len(glow), 1, 2), 0.55 * size, dtype=np.float32)
    return far[:, :, None, None] + blobs(centres, reach, (near - far)[:, None], size)
