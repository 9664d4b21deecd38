"""Area resampling of many regions of one image, from one table of sums.

MTCNN looks at an image at some ten scales and then at hundreds of regions, each time shrunk by averaging
(``torch.nn.functional.interpolate(mode="area")``). Done one by one these averages cost more than its networks. With the
sum over every rectangle from the upper left corner (Crow 1984) each mean is four look-ups, whatever its size. Sums of
uint8 are whole numbers, so nothing is lost: the means are those of torch up to the last bit of float32.
"""

import numpy as np
import torch
from torch import Tensor

_STRIP = 32


class AreaTable:
    """Sums over an image.

    Args:
        image: [H, W, 3] uint8.
    """

    def __init__(self, image: np.ndarray):
        height, width, channels = image.shape
        self.height, self.width = height, width
        # Sums may pass 2³²; the difference of two is right all the same, for it is taken modulo 2³² too.
        sums = np.zeros((height + 1, width + 1, channels), np.int32)
        pixels = torch.from_numpy(np.require(image, requirements=["C", "W"]))  # a copy only where it must be
        strip = torch.empty(_STRIP, width, channels, dtype=torch.int32)  # stays in the processor's cache
        for start in range(0, height, _STRIP):
            part = pixels[start : start + _STRIP]
            rows = torch.cumsum(part, 1, dtype=torch.int32, out=strip[: len(part)]).numpy()
            for y, row in enumerate(rows, start):  # np.cumsum along this axis takes twenty times as long
                np.add(sums[y, 1:], row, out=sums[y + 1, 1:])
        self._sums = torch.from_numpy(sums)
        self._flat = self._sums.view(-1, channels)

    def resize(self, height: int, width: int) -> np.ndarray:
        """[height, width, 3] float32, the whole image."""
        top, bottom = _windows(self.height, height)
        left, right = _windows(self.width, width)
        sums = self._sums.index_select(0, bottom)
        sums -= self._sums.index_select(0, top)  # [height, W + 1, 3]
        total = sums.index_select(1, right)
        total -= sums.index_select(1, left)
        count = (bottom - top)[:, None] * (right - left)
        return (total / count[..., None].to(torch.float32)).numpy()

    def crops(self, boxes: np.ndarray, size: int) -> np.ndarray:
        """[N, size, size, 3] float32, the regions ``boxes`` [N, 4] of left, top, right, bottom (whole, inside)."""
        left, top, right, bottom = boxes.T.astype(np.int64)
        y0, y1 = _region_windows(top, bottom, size)  # [N, size]
        x0, x1 = _region_windows(left, right, size)
        count = (y1 - y0)[:, :, None] * (x1 - x0)[:, None, :]

        def at(y: np.ndarray, x: np.ndarray) -> Tensor:
            index = torch.from_numpy(((y * (self.width + 1))[:, :, None] + x[:, None, :]).reshape(-1))
            return self._flat.index_select(0, index)

        total = at(y1, x1) - at(y0, x1) - at(y1, x0) + at(y0, x0)
        means = total.to(torch.float32) / torch.from_numpy(count.reshape(-1, 1)).to(torch.float32)
        return means.numpy().reshape(len(boxes), size, size, -1)


def _windows(side: int, parts: int) -> tuple[Tensor, Tensor]:
    """First and last + 1 pixel of each of ``parts`` along a side, as torch's adaptive pooling cuts it.

    >>> _windows(5, 2)
    (tensor([0, 2]), tensor([3, 5]))
    """
    index = torch.arange(parts)
    return index * side // parts, -((-(index + 1) * side) // parts)


def _region_windows(start: np.ndarray, stop: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """[N, parts] the same for N stretches."""
    index, side = np.arange(parts, dtype=np.int64), (stop - start)[:, None]
    return start[:, None] + index * side // parts, start[:, None] - ((-(index + 1) * side) // parts)
