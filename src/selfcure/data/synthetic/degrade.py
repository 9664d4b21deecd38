"""What spoils a picture after it was taken: blur, darkness, low resolution. (Covers are painted.)"""

import numpy as np
from PIL import Image, ImageFilter

DEGRADATIONS = ("blur", "occlusion", "darkness", "low-resolution")
OCCLUDERS = ("hand", "bar", "sunglasses", "block")


def degrade(image: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """``image`` ``[S, S, 3]`` uint8 after the degradation ``kind``; how strong it is comes from ``rng``."""
    if kind == "blur":
        return _blur(image, rng)
    if kind == "darkness":
        return _darken(image, rng)
    if kind == "low-resolution":
        return _lower_resolution(image, rng)
    return image


def _blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus, or shaken along one axis."""
    radius = len(image) / 64 * rng.uniform(1.9, 3.2)
    across, down = [(1, 1), (1.7, 0.5), (0.5, 1.7)][int(rng.choice(3, p=[0.6, 0.25, 0.15]))]
    blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur((radius * across, radius * down)))
    return np.asarray(blurred)


def _darken(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Too little light: few levels are left, and the sensor's noise among them."""
    light = rng.uniform(0.09, 0.24)
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(2.5, 5.0))
    return np.clip(image * np.float32(light) + noise, 0, 255).astype(np.uint8)


def _lower_resolution(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A face of 8 to 12 pixels, enlarged."""
    side = int(rng.integers(8, 13))
    small = Image.fromarray(image).resize((side, side), Image.Resampling.BOX)
    kernel = Image.Resampling.BICUBIC if rng.random() < 0.7 else Image.Resampling.NEAREST
    return np.asarray(small.resize(image.shape[:2], kernel))
