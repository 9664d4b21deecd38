"""Augmentation of whole batches, drawn per sample.

All random numbers but pixel noise come from a CPU generator, so that a seed augments alike on every device.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def to_float(images: Tensor) -> Tensor:
    """[B, 3, H, W] uint8 → float32 in [0, 1]."""
    return images.float().mul_(1 / 255)


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Subtract ``mean`` and divide by ``std`` per channel, in place. ``images`` is [B, 3, H, W] float."""
    shape = (1, -1, 1, 1)
    center = torch.tensor(mean, device=images.device).view(shape)
    scale = torch.tensor(std, device=images.device).view(shape)
    return images.sub_(center).div_(scale)


def flip_and_shift(images: Tensor, generator: torch.Generator, *, max_shift: float = 1 / 12) -> Tensor:
    """Mirror half of the images and move each by up to ``max_shift`` of its side, edges reflected.

    Args:
        images: [B, 3, H, W], any dtype.
        max_shift: share of the side, in [0, 1).
    """
    batch, _, height, width = images.shape
    rows = _shifted(batch, height, int(height * max_shift), generator)  # [B, H]
    columns = _shifted(batch, width, int(width * max_shift), generator)  # [B, W]
    flip = torch.rand(batch, generator=generator) < 0.5
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    device = images.device
    sample, channel = torch.arange(batch, device=device), torch.arange(images.shape[1], device=device)
    return images[
        sample[:, None, None, None],
        channel[None, :, None, None],
        rows.to(device)[:, None, :, None],
        columns.to(device)[:, None, None, :],
    ]


def flip(images: Tensor, which: Tensor) -> Tensor:
    """Mirror the images [B, 3, H, W] where ``which`` [B] is true."""
    return torch.where(which.to(images.device)[:, None, None, None], images.flip(3), images)


def add_pixel_noise(images: Tensor, which: Tensor, *, variance: float, seed: int) -> Tensor:
    """Add Gaussian noise to the images [B, 3, H, W] in [0, 1] where ``which`` [B] is true, in place.

    Args:
        variance: on the 0–255 scale, as the public code gives it.
    """
    chosen = which.nonzero().squeeze(1).to(images.device)
    noise_generator = torch.Generator(images.device).manual_seed(seed)
    shape = (len(chosen), *images.shape[1:])
    noise = torch.randn(shape, generator=noise_generator, device=images.device) * (variance**0.5 / 255)
    images[chosen] = (images[chosen] + noise).clamp_(0, 1)
    return images


def erase(
    images: Tensor,
    generator: torch.Generator,
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
    batch, _, height, width = images.shape
    tries = 10
    u = torch.rand(4, batch, tries, generator=generator)
    share = area[0] + (area[1] - area[0]) * u[0]
    log_low, log_high = torch.tensor(aspect).log()
    ratio = (log_low + (log_high - log_low) * u[1]).exp()
    tall = (share * height * width * ratio).sqrt().round().long()  # [B, tries]
    wide = (share * height * width / ratio).sqrt().round().long()
    fits = (tall < height) & (wide < width)
    first = fits.int().argmax(1, keepdim=True)  # the first rectangle that fits; none may
    chosen = (torch.rand(batch, generator=generator) < probability) & fits.any(1)
    tall, wide, v, w = (x.gather(1, first) for x in (tall, wide, u[2], u[3]))  # [B, 1]
    top = (v * (height - tall + 1)).long()
    left = (w * (width - wide + 1)).long()
    y, x = torch.arange(height), torch.arange(width)
    in_rows = (y >= top) & (y < top + tall) & chosen[:, None]  # [B, H]
    in_columns = (x >= left) & (x < left + wide)  # [B, W]
    mask = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    return images.masked_fill_(mask.to(images.device), 0)


def _plain(images: Tensor, seed: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    return normalize(to_float(images), mean, std)


def _flip_shift(images: Tensor, seed: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(to_float(flip_and_shift(images, generator)), mean, std)


def _reference(images: Tensor, seed: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(len(images), generator=generator)
    images = to_float(flip(images, draw < 0.25))
    noisy = (draw >= 0.25) & (draw < 0.5)
    images = add_pixel_noise(images, noisy, variance=30, seed=seed)
    return erase(normalize(images, mean, std), generator)


Augmentation = Callable[[Tensor, int, Sequence[float], Sequence[float]], Tensor]

AUGMENTATIONS: dict[str, Augmentation] = {
    "none": _plain,
    "flip-shift": _flip_shift,
    "reference": _reference,
}
"""Name → function of (uint8 images [B, 3, H, W], seed, mean, std) → normalised float images.

``flip-shift`` is ours, for the recipe ``paper`` (the paper does not state its own); ``reference`` is the public code's:
half of the images are flipped or get Gaussian noise of variance 30, then random erasing of 0.02–0.25.
"""


def _shifted(batch: int, side: int, limit: int, generator: torch.Generator) -> Tensor:
    """[B, side] pixel positions moved by a random offset in -limit … limit, reflected at the edges."""
    offsets = torch.randint(-limit, limit + 1, (batch, 1), generator=generator)
    positions = (torch.arange(side) + offsets).abs()
    return torch.where(positions >= side, 2 * (side - 1) - positions, positions)
