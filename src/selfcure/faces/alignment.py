"""From a face in a photograph to a square crop with the eyes, nose and mouth at fixed places."""

import numpy as np
from PIL import Image

from selfcure.errors import SelfcureError, check_choice
from selfcure.faces.detection import Face

TEMPLATE_112 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float32,
)
"""[5, 2] where the landmarks of an aligned face lie in a crop of 112 px (ArcFace, Deng et al. 2019, and most after it)."""

MODES = ("similarity", "box")
_TEMPLATE_PX = 112


def similarity_transform(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, scale and shift that bring ``source`` closest to ``target`` in least squares.

    Never a reflection (Umeyama, IEEE PAMI 13, 1991).

    Args:
        source, target: [N, 2] points, N ≥ 2.

    Returns:
        [2, 3] float64 matrix M: ``M @ [x, y, 1]`` is the place of (x, y).

    Raises:
        SelfcureError: the source points are all the same, or not finite.

    >>> similarity_transform(np.array([[0, 0], [1, 0]]), np.array([[3, 4], [3, 6]])).round(6) + 0.0
    array([[ 0., -2.,  3.],
           [ 2.,  0.,  4.]])
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    source_mean, target_mean = source.mean(0), target.mean(0)
    from_mean, to_mean = source - source_mean, target - target_mean
    spread = (from_mean**2).sum()
    if not np.isfinite(spread) or spread < 1e-12:
        raise SelfcureError("the landmarks lie in one point, so no transform brings them to the template")
    # In two dimensions the best rotation and scale are one complex number, and Umeyama's SVD is not needed.
    a = (from_mean * to_mean).sum() / spread
    b = (from_mean[:, 0] * to_mean[:, 1] - from_mean[:, 1] * to_mean[:, 0]).sum() / spread
    rotation = np.array([[a, -b], [b, a]])
    return np.column_stack([rotation, target_mean - rotation @ source_mean])


def align(
    image: np.ndarray, face: Face, *, size: int = 224, margin: float = 0.0, mode: str = "similarity"
) -> np.ndarray:
    """Cut a face out as a square.

    Args:
        image: [H, W, 3] uint8 RGB.
        size: S, side of the crop in pixels.
        margin: how much more to show on each side, as a share of the side without it; may be negative, above -0.5.
        mode: ``similarity`` turns and scales the face so that its landmarks come to :data:`TEMPLATE_112`; ``box``
            takes the upright square around the box.

    Returns:
        [S, S, 3] uint8 RGB; black where the crop reaches beyond the image.

    Raises:
        SelfcureError: an argument is out of range, or the landmarks or the box are no area.
    """
    check_choice("mode", mode, MODES)
    if size < 1:
        raise SelfcureError(f"size must be at least 1, not {size}")
    if margin <= -0.5:
        raise SelfcureError(f"margin must be above -0.5, not {margin}")
    to_crop = _to_template(face, size) if mode == "similarity" else _to_box(face, size)
    # Less around the middle is more around the face.
    middle, shrink = (size - 1) / 2, 1 / (1 + 2 * margin)
    to_crop = to_crop * shrink
    to_crop[:, 2] += middle * (1 - shrink)
    return warp(image, to_crop, size)


def warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Apply a similarity transform to an image and cut out [0, S) × [0, S), without aliasing however much it shrinks.

    Args:
        image: [H, W, 3] uint8.
        matrix: [2, 3] from places in the image to places in the crop; whole numbers are the middles of pixels.
        size: S.

    Returns:
        [S, S, 3] uint8, black where the image ends.
    """
    height, width = image.shape[:2]
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]  # crop → image
    # From now on pixel 0 reaches from 0 to 1, as Pillow has it.
    back[:, 2] += 0.5 - back[:, :2] @ [0.5, 0.5]
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]]) @ back.T
    shrink = max(1.0, float(np.hypot(back[0, 0], back[1, 0])))
    border = 3 * shrink  # what the filters reach for
    left, top = np.maximum(np.floor(corners.min(0) - border), 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(0) + border), [width, height]).astype(int)
    if left >= right or top >= bottom:
        return np.zeros((size, size, 3), np.uint8)
    region = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
    back[:, 2] -= [left, top]
    if shrink > 1:
        # First to the scale of the crop with a filter as wide as it takes, then turned and shifted.
        small = [max(1, round(side / shrink)) for side in region.size]
        back *= (np.array(small) / region.size)[:, None]
        region = region.resize((small[0], small[1]), Image.Resampling.BICUBIC)
    warped = region.transform(
        (size, size), Image.Transform.AFFINE, tuple(back.ravel()), Image.Resampling.BICUBIC
    )
    return np.asarray(warped)


def _to_template(face: Face, size: int) -> np.ndarray:
    return similarity_transform(face.landmarks, TEMPLATE_112 * (size / _TEMPLATE_PX))


def _to_box(face: Face, size: int) -> np.ndarray:
    left, top, right, bottom = face.box.astype(np.float64)
    side = max(right - left, bottom - top)
    if not np.isfinite(side) or side <= 0:
        raise SelfcureError(f"face box {face.box.tolist()} has no area")
    scale = size / side
    shift = size / 2 - 0.5 - scale * (np.array([left + right, top + bottom]) / 2 - 0.5)
    return np.column_stack([scale * np.eye(2), shift])
