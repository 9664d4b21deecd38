"""What covers a face: a hand, a bar, a block cut out of the picture. (Sunglasses are filled lenses.)"""

import numpy as np

from selfcure.data.synthetic.outlines import STROKE_SAMPLES

# Half width of each part of the hand, in the order of painting; the palm comes last and joins the fingers.
FINGERS = {"little": 0.062, "ring": 0.072, "middle": 0.076, "index": 0.072, "thumb": 0.078, "palm": 0.3}
_ALONG = np.linspace(-1, 1, STROKE_SAMPLES)
CAPSULE = np.sqrt(np.clip(1 - np.clip((np.abs(_ALONG) - 0.75) / 0.25, 0, 1) ** 2, 0.02, 1))
# Root and tip in units, before the hand is turned and put in its place; the fingers point up.
_BONES = {
    "little": ((-0.25, 0.1), (-0.4, -0.32)),
    "ring": ((-0.09, 0.05), (-0.16, -0.5)),
    "middle": ((0.07, 0.05), (0.06, -0.56)),
    "index": ((0.23, 0.1), (0.28, -0.48)),
    "thumb": ((0.2, 0.42), (0.6, 0.08)),
    "palm": ((0.0, 0.0), (0.02, 0.95)),
}


def shapes(cover: np.ndarray, face: np.ndarray, unit_px: np.ndarray) -> dict[str, np.ndarray]:
    """Outlines on the canvas by name: "bar" and "block" ``[B, 4, 2]``, centre lines of the hand ``[B, 9,
    2]``.

    Args:
        cover: place (right, down) and turn, each in [-1, 1], ``[B, 3]``.
        face: centre of the face in canvas pixels, ``[B, 1, 2]``.
        unit_px: canvas pixels of a face unit, ``[B]``.
    """
    across, down, turn = cover.T

    def placed(points: np.ndarray, x: np.ndarray, y: np.ndarray, angle: np.ndarray) -> np.ndarray:
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        px, py = points[..., 0], points[..., 1]
        turned = np.stack([x[:, None] + px * cos - py * sin, y[:, None] + px * sin + py * cos], axis=-1)
        return (face + turned * unit_px[:, None, None]).astype(np.float32)

    eyes_or_mouth = np.where(down < 0, 0.0, 0.68)
    bar = np.array([(-2.2, -0.2), (2.2, -0.2), (2.2, 0.2), (-2.2, 0.2)])
    made = {"bar": placed(bar, 0 * across, eyes_or_mouth, 0.35 * turn)}
    # The block covers the lower half, or a half of the face from one side.
    block = np.array([(-1.6, 0), (1.6, 0), (1.6, 3.2), (-1.6, 3.2)])
    quarter = np.where(np.abs(across) < 0.33, 0.0, np.sign(across) * np.pi / 2)
    made["block"] = placed(block, -0.12 * np.sin(quarter), 0.22 * np.cos(quarter) + 0.05 * down, quarter)
    flip = np.where(across < 0, -1.0, 1.0)
    for name, bones in _BONES.items():
        line = np.linspace(np.array(bones[0]), np.array(bones[1]), STROKE_SAMPLES)
        mirrored = line * np.stack([flip, np.ones_like(flip)], axis=1)[:, None]
        made[name] = placed(mirrored, 0.3 * across, 0.5 + 0.15 * down, 0.5 * turn - 0.25 * flip)
    return made
