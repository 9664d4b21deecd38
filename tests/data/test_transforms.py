"""Augmentations: repeatable, drawn for each sample, and distributed as they say; against loops over samples."""

import math

import pytest
import torch

from selfcure.data.transforms import (
    AUGMENTATIONS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Draws,
    add_pixel_noise,
    erase,
    flip,
    flip_and_shift,
    jitter,
    normalize,
    to_float,
)

every_augmentation = pytest.mark.parametrize("name", AUGMENTATIONS)
ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def images(num: int = 64, height: int = 24, width: int = 24, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num, 3, height, width), generator=generator, dtype=torch.uint8)


def same(num: int, size: int = 24) -> torch.Tensor:
    """One image again and again: what differs afterwards was drawn for the sample."""
    return images(1, size, size).expand(num, 3, size, size).contiguous()


@every_augmentation
def test_shape_type_and_input_are_kept(name):
    batch = images()
    before = batch.clone()
    result = AUGMENTATIONS[name](batch, Draws(3, len(batch)), IMAGENET_MEAN, IMAGENET_STD)
    assert result.dtype == torch.float32
    assert result.shape == batch.shape
    assert torch.equal(batch, before), "the cache hands out what it keeps"


@every_augmentation
def test_values_stay_in_the_range_of_images(name):
    result = AUGMENTATIONS[name](images(), Draws(3, len(images())), ZERO, ONE)
    assert result.min() >= 0
    assert result.max() <= 1
    assert result.max() > 0.9


@every_augmentation
def test_a_seed_augments_alike_whatever_was_drawn_before(name):
    batch, augment = images(), AUGMENTATIONS[name]
    first = augment(batch, Draws(5, len(batch)), ZERO, ONE)
    state = torch.get_rng_state()
    assert torch.equal(augment(batch, Draws(5, len(batch)), ZERO, ONE), first)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is nobody's here"
    assert torch.equal(augment(batch, Draws(6, len(batch)), ZERO, ONE), first) == (name == "none")


@every_augmentation
def test_a_part_is_augmented_as_in_the_whole(name):
    batch, augment = images(11), AUGMENTATIONS[name]
    whole = augment(batch, Draws(5, 11), ZERO, ONE)
    for part in (slice(0, 6), slice(6, 11), slice(3, 4), slice(4, 4)):
        draws = Draws(5, 11, part)
        assert len(draws) == len(batch[part])
        assert torch.equal(augment(batch[part], draws, ZERO, ONE), whole[part])


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS.keys() - {"none"}))
def test_every_sample_gets_its_own_draw(name):
    result = AUGMENTATIONS[name](same(64), Draws(1, 64), ZERO, ONE)
    assert len(torch.unique(result.flatten(1), dim=0)) > 16


def test_none_only_normalizes():
    batch = images()
    result = AUGMENTATIONS["none"](batch, Draws(0, len(batch)), IMAGENET_MEAN, IMAGENET_STD)
    expected = torch.stack(
        [(batch[:, c] / 255.0 - IMAGENET_MEAN[c]) / IMAGENET_STD[c] for c in range(3)], dim=1
    )
    torch.testing.assert_close(result, expected)


def test_to_float_and_normalize_by_hand():
    pixel = torch.tensor([[[[0]], [[51]], [[255]]]], dtype=torch.uint8)
    floats = to_float(pixel)
    torch.testing.assert_close(floats.flatten(), torch.tensor([0.0, 0.2, 1.0]))
    result = normalize(floats, (0.5, 0.1, 0.0), (0.5, 0.1, 2.0)).flatten()
    torch.testing.assert_close(result, torch.tensor([-1.0, 1.0, 0.5]))


def naive_flip_and_shift(batch, generator, max_shift):
    """The same draws in the same order, then one pixel at a time."""
    num, _, height, width = batch.shape
    limits = (int(height * max_shift), int(width * max_shift))
    down, right = (
        torch.randint(-limit, limit + 1, (num, 1), generator=generator).flatten().tolist() for limit in limits
    )
    mirrored = (torch.rand(num, generator=generator) < 0.5).tolist()

    def reflect(position, side):
        position = abs(position)
        return 2 * (side - 1) - position if position >= side else position

    result = torch.empty_like(batch)
    for i in range(num):
        for y in range(height):
            for x in range(width):
                from_x = width - 1 - x if mirrored[i] else x
                result[i, :, y, x] = batch[
                    i, :, reflect(y + down[i], height), reflect(from_x + right[i], width)
                ]
    return result


@pytest.mark.parametrize(
    ("height", "width", "max_shift"), [(12, 12, 1 / 12), (9, 13, 0.4), (8, 8, 0.9), (10, 10, 0)]
)
def test_flip_and_shift_matches_a_loop(height, width, max_shift):
    batch = images(12, height, width)
    result = flip_and_shift(batch, Draws(4, 12), max_shift=max_shift)
    expected = naive_flip_and_shift(batch, torch.Generator().manual_seed(4), max_shift)
    assert torch.equal(result, expected)
    assert result.dtype == torch.uint8


def test_half_are_mirrored_and_shifts_cover_their_range_evenly():
    ramp = torch.arange(24, dtype=torch.float32).expand(4000, 3, 24, 24)
    result = flip_and_shift(ramp, Draws(0, 4000))[:, 0, 0]
    mirrored = result[:, 11] > result[:, 12]
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=0.03)
    shifts = torch.where(mirrored, result[:, 11] - 12, result[:, 11] - 11)
    assert sorted(shifts.unique().tolist()) == [-2, -1, 0, 1, 2]
    for value in (-2, 0, 2):
        assert (shifts == value).float().mean().item() == pytest.approx(0.2, abs=0.03)


def test_flip_mirrors_where_it_is_told():
    batch = images(3)
    result = flip(batch, torch.tensor([True, False, True]))
    for index, expected in enumerate((batch[0].flip(2), batch[1], batch[2].flip(2))):
        assert torch.equal(result[index], expected)


def test_pixel_noise_has_its_variance_where_it_is_told():
    gray = torch.full((40, 3, 32, 32), 0.5)
    which = torch.arange(40) % 2 == 0
    result = add_pixel_noise(gray.clone(), which, Draws(1, 40), variance=30)
    assert torch.equal(result[~which], gray[~which])
    noise = (result[which] - 0.5) * 255
    assert noise.mean().item() == pytest.approx(0, abs=0.1)
    assert noise.var().item() == pytest.approx(30, rel=0.02)
    assert noise.flatten(1).var(1).min() > 20, "every chosen sample has its own"
    black = add_pixel_noise(
        torch.zeros(4, 3, 8, 8), torch.ones(4, dtype=torch.bool), Draws(1, 4), variance=30
    )
    assert black.min() == 0


def test_noise_for_nobody_changes_nothing():
    batch = to_float(images(4))
    assert torch.equal(
        add_pixel_noise(batch.clone(), torch.zeros(4, dtype=torch.bool), Draws(1, 4), variance=30), batch
    )


def rectangles(num: int, height: int, width: int, **settings) -> list[tuple[int, int, int, int] | None]:
    """Top, left, height and width of what was erased from each image; asserts that it is one rectangle, all channels."""
    erased = erase(torch.ones(num, 3, height, width), Draws(0, num), **settings)
    found = []
    for image in erased:
        assert torch.equal(image[0], image[1])
        assert torch.equal(image[0], image[2])
        hole = image[0] == 0
        rows, columns = hole.any(1).nonzero().flatten(), hole.any(0).nonzero().flatten()
        if not len(rows):
            found.append(None)
            continue
        top, left = rows[0].item(), columns[0].item()
        tall, wide = len(rows), len(columns)
        assert hole[top : top + tall, left : left + wide].all()
        assert hole.sum() == tall * wide
        found.append((top, left, tall, wide))
    return found


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 80)])
def test_erased_rectangles_keep_their_bounds(height, width):
    found = rectangles(1500, height, width, probability=1.0)
    assert None not in found
    shares = [tall * wide / (height * width) for _, _, tall, wide in found]
    ratios = [tall / wide for _, _, tall, wide in found]
    # Sides are rounded to pixels: half a pixel of the shorter side, which is at least 5 here.
    assert 0.02 * 0.85 <= min(shares) < 0.03
    assert 0.24 < max(shares) <= 0.25 * 1.05
    assert 0.3 * 0.85 <= min(ratios) < 0.4
    assert 2.5 < max(ratios) <= 3.3 * 1.15
    assert sum(shares) / len(shares) == pytest.approx(0.135, abs=0.01)
    assert sum(map(math.log, ratios)) / len(ratios) == pytest.approx(math.log(0.3 * 3.3) / 2, abs=0.06)
    assert min(top for top, *_ in found) == min(left for _, left, *_ in found) == 0
    assert max(top + tall for top, _, tall, _ in found) == height
    assert max(left + wide for _, left, _, wide in found) == width


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.5])
def test_erasing_happens_as_often_as_it_says(probability):
    found = rectangles(3000, 32, 32, probability=probability)
    share = sum(hole is not None for hole in found) / len(found)
    assert share == pytest.approx(probability, abs=0.03)


def test_a_rectangle_that_never_fits_erases_nothing():
    assert rectangles(50, 32, 4, probability=1.0, area=(0.9, 0.9), aspect=(0.01, 0.011)) == [None] * 50


def test_reference_flips_a_quarter_gives_a_quarter_noise_and_erases_half():
    num, size = 3000, 24
    # Grey with a bright stripe at the left: mirrored, noisy and erased samples can be told apart.
    pixels = torch.full((num, 3, size, size), 128, dtype=torch.uint8)
    pixels[..., :4] = 200
    result = AUGMENTATIONS["reference"](pixels, Draws(11, num), ZERO, ONE) * 255
    levels = torch.tensor([0.0, 128.0, 200.0])
    odd = (result[..., None] - levels).abs().amin(-1) > 0.01
    noisy = odd.flatten(1).float().mean(1) > 0.3
    # Noise has a deviation of 5.5, and an erased rectangle is never as tall as the image: the stripe always shows.
    mirrored = (result[..., -4:] > 164).flatten(1).any(1)
    erased = (result == 0).flatten(1).float().mean(1) > 0.01
    assert noisy.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert mirrored.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert not (noisy & mirrored).any()
    assert erased.float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert (erased & noisy).float().mean().item() == pytest.approx(0.125, abs=0.02), (
        "erasing is drawn on its own"
    )
    assert (erased & mirrored).float().mean().item() == pytest.approx(0.125, abs=0.02)


def test_reference_erases_with_the_mean_colour():
    result = AUGMENTATIONS["reference"](
        torch.full((200, 3, 24, 24), 255, dtype=torch.uint8), Draws(2, 200), IMAGENET_MEAN, IMAGENET_STD
    )
    erased = (result == 0).all(1).flatten(1).any(1)
    assert 60 < erased.sum() < 140, "zero after normalisation is the mean colour"


STILL = {
    "max_degrees": 0.0,
    "max_scale": 0.0,
    "max_shift": 0.0,
    "max_contrast": 0.0,
    "max_brightness": 0.0,
}


def jittered(batch: torch.Tensor, **settings: float) -> torch.Tensor:
    return jitter(to_float(batch), Draws(7, len(batch)), **{**STILL, **settings})


def test_jitter_of_nothing_mirrors_half():
    batch = images(400, 8, 8)
    result, before = jittered(batch), to_float(batch)
    mirrored = [torch.allclose(r, b.flip(2), atol=1e-5) for r, b in zip(result, before, strict=True)]
    still = [torch.allclose(r, b, atol=1e-5) for r, b in zip(result, before, strict=True)]
    assert all(m != s for m, s in zip(mirrored, still, strict=True))
    assert 160 < sum(mirrored) < 240


def bump(num: int, *, x: float = 0.0, y: float = 0.0, radius: float = 0.3) -> torch.Tensor:
    """A smooth round spot at (x, y), both in −1 … 1."""
    axis = torch.linspace(-1, 1, 49)
    spot = torch.exp(-((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * radius**2))
    return (255 * spot).round().to(torch.uint8).expand(num, 3, 49, 49).contiguous()


def centres(result: torch.Tensor) -> torch.Tensor:
    """[B, 2] x and y of the spots, in −1 … 1."""
    axis, mass = torch.linspace(-1, 1, 49), result[:, 0] ** 4  # the spot alone counts
    return (
        torch.stack(((mass.sum(1) * axis).sum(1), (mass.sum(2) * axis).sum(1)), 1) / mass.sum((1, 2))[:, None]
    )


def test_jitter_turns_about_the_middle_by_no_more_than_it_says():
    round_spot = bump(200, radius=0.2)
    torch.testing.assert_close(
        jittered(round_spot, max_degrees=180.0), to_float(round_spot), atol=0.02, rtol=0
    )
    found = centres(jittered(bump(500, y=-0.5, radius=0.1), max_degrees=30.0))
    torch.testing.assert_close(found.norm(dim=1), torch.full((500,), 0.5), atol=0.02, rtol=0)
    degrees = torch.rad2deg(torch.atan2(found[:, 0], -found[:, 1]))
    assert -31 < degrees.min() < -27
    assert 27 < degrees.max() < 31


def test_jitter_moves_and_scales_by_no_more_than_it_says():
    found = centres(jittered(bump(500, radius=0.1), max_shift=0.1))
    for axis in (0, 1):
        assert -0.21 < found[:, axis].min() < -0.18
        assert 0.18 < found[:, axis].max() < 0.21
    grown = centres(jittered(bump(500, y=-0.4, radius=0.1), max_scale=0.2))[:, 1] / -0.4
    assert 0.82 < grown.min() < 0.86  # seen through a window of 1.2 ×
    assert 1.2 < grown.max() < 1.26


def test_jitter_changes_contrast_and_brightness_by_no_more_than_it_says():
    grey = torch.full((500, 3, 8, 8), 102, dtype=torch.uint8)  # 0.4
    torch.testing.assert_close(jittered(grey, max_contrast=0.5), to_float(grey))
    bright = jittered(grey, max_brightness=0.1).mean((1, 2, 3))
    assert 0.3 <= bright.min() < 0.31
    assert 0.49 < bright.max() <= 0.5
    two = grey.clone()
    two[..., :4] = 153  # 0.6
    spread = jittered(two, max_contrast=0.5).amax((1, 2, 3)) - jittered(two, max_contrast=0.5).amin((1, 2, 3))
    assert spread.min() + 1e-6 >= 0.1
    assert spread.min() < 0.11
    assert 0.29 < spread.max() < 0.3 + 1e-6
