"""From pixels to a network's input, without torch: bit for bit what evaluation does in training."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from selfcure.predict.model_info import ModelInfo


def prepare(images: Sequence[np.ndarray], info: ModelInfo) -> np.ndarray:
    """Resize and normalise; without colour for a network that never saw any.

    Args:
        images: [H, W, 3] uint8 RGB each, of any sizes.

    Returns:
        [B, 3, S, S] float32.
    """
    size = info.image_size_px
    batch = np.empty((len(images), 3, size, size), np.float32)
    for row, image in zip(batch, images, strict=True):
        resized = _resized(image, size)
        row[:] = _luminance(resized) if info.grey else resized.transpose(2, 0, 1)
    batch *= np.float32(1 / 255)
    batch -= np.array(info.mean, np.float32)[:, None, None]
    batch /= np.array(info.std, np.float32)[:, None, None]
    return batch


def softmax(logits: np.ndarray) -> np.ndarray:
    """[B, K] probabilities.

    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def _luminance(image: np.ndarray) -> np.ndarray:
    """[S, S] uint8; of a grey image exactly its values."""
    return np.asarray(Image.fromarray(image).convert("L"))
