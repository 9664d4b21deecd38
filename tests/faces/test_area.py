"""Means from the table of sums against torch's own, taken one by one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from selfcure.faces.area import AreaTable


def area(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].double()
    return interpolate(image, size=(height, width), mode="area")[0].permute(1, 2, 0).numpy()


@given(*[st.integers(1, 70) for _ in range(4)], st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_resize_is_torch_area(height, width, new_height, new_width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    got = AreaTable(image).resize(new_height, new_width)
    np.testing.assert_allclose(got, area(image, new_height, new_width), rtol=1e-6)


@given(st.integers(0, 9))
@settings(max_examples=10, deadline=None)
def test_crops_are_torch_area_of_regions(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (50, 60, 3), np.uint8)
    corner = rng.integers(0, 40, (7, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 11, (7, 2))], 1)
    got = AreaTable(image).crops(boxes, 24)
    for crop, (left, top, right, bottom) in zip(got, boxes, strict=True):
        np.testing.assert_allclose(crop, area(image[top:bottom, left:right], 24, 24), rtol=1e-6)


@pytest.mark.slow
def test_sums_beyond_32_bits():
    """The sum of an image of 5,200 × 5,200 white pixels does not fit; its means do."""
    image = np.full((5200, 5200, 3), 255, np.uint8)
    table = AreaTable(image)
    assert (table.resize(9, 7) == 255).all()
    assert (table.crops(np.array([[5000, 5000, 5200, 5200]]), 24) == 255).all()
