"""Augmentation of whole batches, drawn per sample.

All random numbers but pixel noise come from a CPU generator, so that a seed augments alike on every device.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Draws:
    """One random number a sample, for a batch or for a part of it: a part gets the numbers it has in the whole.

    Args:
        seed: of the whole batch.
        total: samples of the whole batch.
        part: those that are wanted; all by default.
    """

    def __init__(self, seed: int, total: int, part: slice = slice(None)):
        self._generator = torch.Generator().manual_seed(seed)
        self._total, self._part = total, part

    def __len__(self) -> int:
        return len(range(self._total)[self._part])

    def uniform(self, *shape: int) -> Tensor:
        """[b, …] float32 in [0, 1)."""
        return torch.rand(self._total, *shape, generator=self._generator)[self._part]

    def integers(self, low: int, high: int) -> Tensor:
        """[b] int64 in ``low`` … ``high`` − 1."""
        return torch.randint(low, high, (self._total,), generator=self._generator)[self._part]


def to_float(images: Tensor) -> Tensor:
    """[B, 3, H, W] uint8 → float32 in [0, 1]."""
    return images.float().mul_(1 / 255)


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Subtract ``mean`` and divide by ``std`` per channel, in place. ``images`` is [B, 3, H, W] float."""
    shape = (1, -1, 1, 1)
    center, scale = (_beside(torch.tensor(values).view(shape), images) for values in (mean, std))
    return images.sub_(center).div_(scale)


def flip_and_shift(images: Tensor, draws: Draws, *, max_shift: float = 1 / 12) -> Tensor:
    """Mirror half of the images and move each by up to ``max_shift`` of its side, edges reflected.

    Args:
        images: [B, 3, H, W], any dtype.
        max_shift: share of the side, in [0, 1).
    """
    batch, channels, height, width = images.shape
    rows = _shifted(height, int(height * max_shift), draws)  # [B, H]
    columns = _shifted(width, int(width * max_shift), draws)  # [B, W]
    columns = torch.where((draws.uniform() < 0.5)[:, None], columns.flip(1), columns)
    sample, channel = (torch.arange(n, device=images.device) for n in (batch, channels))
    return images[
        sample[:, None, None, None],
        channel[None, :, None, None],
        _beside(rows, images)[:, None, :, None],
        _beside(columns, images)[:, None, None, :],
    ]


def flip(images: Tensor, which: Tensor) -> Tensor:
    """Mirror the images [B, 3, H, W] where ``which`` [B] is true."""
    return torch.where(_beside(which, images)[:, None, None, None], images.flip(3), images)


def add_pixel_noise(images: Tensor, which: Tensor, draws: Draws, *, variance: float) -> Tensor:
    """Add Gaussian noise to the images [B, 3, H, W] in [0, 1] where ``which`` [B] is true, in place.

    Args:
        variance: on the 0–255 scale, as the public code gives it.
    """
    generator = torch.Generator(images.device)
    for index, seed in zip(
        which.nonzero().squeeze(1).tolist(), draws.integers(0, 2**63 - 1)[which].tolist(), strict=True
    ):
        noise = torch.randn(images.shape[1:], generator=generator.manual_seed(seed), device=images.device)
        images[index].add_(noise, alpha=variance**0.5 / 255).clamp_(0, 1)
    return images


def erase(
    images: Tensor,
    draws: Draws,
    *,
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.25),
    aspect: tuple[float, float] = (0.3, 3.3),
) -> Tensor:
    """Random erasing (Zhong et al. 2020) with zeros, in place, by torchvision's way of drawing the rectangle.

    Args:
        images: [B, 3, H, W], normalised.
        area: range of the rectangle's share of the image.
        aspect: range of its height ÷ width.
    """
    height, width = images.shape[2:]
    tries = 10
    u = draws.uniform(tries, 4)
    share = area[0] + (area[1] - area[0]) * u[..., 0]  # [B, tries]
    log_low, log_high = torch.tensor(aspect).log()
    ratio = (log_low + (log_high - log_low) * u[..., 1]).exp()
    tall = (share * height * width * ratio).sqrt().round().long()
    wide = (share * height * width / ratio).sqrt().round().long()
    fits = (tall < height) & (wide < width)
    first = fits.int().argmax(1, keepdim=True)  # the first rectangle that fits; none may
    chosen = (draws.uniform() < probability) & fits.any(1)
    tall, wide, v, w = (x.gather(1, first) for x in (tall, wide, u[..., 2], u[..., 3]))  # [B, 1]
    top = (v * (height - tall + 1)).long()
    left = (w * (width - wide + 1)).long()
    y, x = torch.arange(height), torch.arange(width)
    in_rows = _beside((y >= top) & (y < top + tall) & chosen[:, None], images)  # [B, H]
    in_columns = _beside((x >= left) & (x < left + wide), images)  # [B, W]
    return images.masked_fill_(in_rows[:, None, :, None] & in_columns[:, None, None, :], 0)


def jitter(
    images: Tensor,
    draws: Draws,
    *,
    max_degrees: float = 12.0,
    max_scale: float = 0.15,
    max_shift: float = 0.08,
    max_contrast: float = 0.3,
    max_brightness: float = 0.15,
) -> Tensor:
    """Mirror half of the images; turn, scale and move each, edges reflected; then change its contrast and brightness.

    Args:
        images: [B, 3, H, W] in [0, 1].
        max_scale: the face grows or shrinks by up to this share.
        max_shift: share of the side.
        max_contrast: change of the distance from the image's mean, at most 1.
        max_brightness: added or taken away.

    Returns:
        [B, 3, H, W] in [0, 1].
    """
    if not len(images):
        return images
    spread = 2 * draws.uniform(6) - 1  # [B, 6] in −1 … 1
    angle, scale = spread[:, 0] * math.radians(max_degrees), 1 + max_scale * spread[:, 1]
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    side = torch.where(draws.uniform() < 0.5, -1.0, 1.0)
    move = 2 * max_shift * spread[:, 2:4]  # the image reaches from −1 to 1
    matrix = torch.stack((side * cosine, -sine, move[:, 0], side * sine, cosine, move[:, 1]), dim=1)
    grid = affine_grid(_beside(matrix.view(-1, 2, 3), images), list(images.shape), align_corners=False)
    images = grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    contrast, brightness = (
        _beside(1 + max_contrast * spread[:, 4], images)[:, None, None, None],
        _beside(max_brightness * spread[:, 5], images)[:, None, None, None],
    )
    return ((images - mean) * contrast + mean + brightness).clamp_(0, 1)


def _plain(images: Tensor, draws: Draws, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    return normalize(to_float(images), mean, std)


def _flip_shift(images: Tensor, draws: Draws, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    return normalize(to_float(flip_and_shift(images, draws)), mean, std)


def _reference(images: Tensor, draws: Draws, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    draw = draws.uniform()
    images = to_float(flip(images, draw < 0.25))
    images = add_pixel_noise(images, (draw >= 0.25) & (draw < 0.5), draws, variance=30)
    return erase(normalize(images, mean, std), draws)


def _strong(images: Tensor, draws: Draws, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    images = normalize(jitter(to_float(images), draws), mean, std)
    return erase(images, draws, probability=0.3, area=(0.02, 0.2))


Augmentation = Callable[[Tensor, Draws, Sequence[float], Sequence[float]], Tensor]

AUGMENTATIONS: dict[str, Augmentation] = {
    "none": _plain,
    "flip-shift": _flip_shift,
    "reference": _reference,
    "strong": _strong,
}
"""Name → function of (uint8 images [B, 3, H, W], draws, mean, std) → normalised float images.

``flip-shift`` is ours, for the recipe ``paper`` (the paper does not state its own); ``reference`` is the public code's:
half of the images are flipped or get Gaussian noise of variance 30, then random erasing of 0.02–0.25. ``strong`` is ours,
for long trainings: :func:`jitter`, then random erasing of 0.02–0.2 in three of ten images.
"""


def _shifted(side: int, limit: int, draws: Draws) -> Tensor:
    """[B, side] pixel positions moved by a random offset in -limit … limit, reflected at the edges."""
    positions = (torch.arange(side) + draws.integers(-limit, limit + 1)[:, None]).abs()
    return torch.where(positions >= side, 2 * (side - 1) - positions, positions)


def _beside(small: Tensor, images: Tensor) -> Tensor:
    """``small`` on the device of ``images``, by a copy that a GPU need not wait for."""
    if images.device.type == "cuda":
        return small.pin_memory().to(images.device, non_blocking=True)
    return small
