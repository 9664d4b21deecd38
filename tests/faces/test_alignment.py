"""The transform against scikit-image's, and crops of one face that was turned, scaled and shifted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.transform import SimilarityTransform

from selfcure.errors import SelfcureError
from selfcure.faces.alignment import TEMPLATE_112, align, similarity_transform, warp
from selfcure.faces.detection import Face


def moved(points: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T + shift


@given(st.floats(-3.1, 3.1), st.floats(0.05, 20), st.floats(-500, 500), st.integers(0, 99))
def test_transform_is_that_of_scikit_image(angle, scale, shift, seed):
    noise = np.random.default_rng(seed).normal(0, 3, (5, 2))
    points = moved(TEMPLATE_112 + noise, angle, scale, (shift, -shift))
    expected = SimilarityTransform.from_estimate(points, TEMPLATE_112).params[:2]
    got = similarity_transform(points, TEMPLATE_112)
    assert np.abs(got - expected).max() < 1e-4
    # No small change of it is better: it is the least-squares solution.
    error = _error(got, points)
    for change in np.random.default_rng(seed).normal(0, 1e-3, (8, 4)):
        assert _error(got + _similarity(change), points) >= error - 1e-9


def _similarity(parameters: np.ndarray) -> np.ndarray:
    a, b, x, y = parameters
    return np.array([[a, -b, x], [b, a, y]])


def _error(matrix: np.ndarray, points: np.ndarray) -> float:
    return float(((points @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE_112) ** 2).sum())


def test_landmarks_in_one_point_have_no_transform():
    with pytest.raises(SelfcureError, match="in one point"):
        similarity_transform(np.ones((5, 2)), TEMPLATE_112)


@pytest.mark.parametrize("angle", [0.0, 25.0, -70.0, 180.0])
@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_moved_photograph_gives_the_same_crop(portrait, face, angle, scale):
    side = int(512 * scale)
    image = Image.fromarray(portrait).resize((side, side), Image.Resampling.BICUBIC)
    image = image.rotate(angle, Image.Resampling.BICUBIC, expand=True, translate=(0, 0))
    # Landmarks go the same way as the pixels; whole numbers are the middles of pixels.
    centre = face.landmarks.astype(float) + 0.5 - 256
    turned = moved(centre, -np.deg2rad(angle), scale, (image.width / 2, image.height / 2)) - 0.5
    there = align(np.asarray(image), Face(face.box, turned.astype(np.float32), 1.0), size=64)
    here = align(portrait, face, size=64)
    difference = np.abs(there.astype(int) - here)
    assert difference.mean() < 3, difference.mean()


@pytest.mark.parametrize("size", [48, 112, 224])
def test_detected_landmarks_come_to_the_template(portrait, face, mtcnn, size):
    """Of the crop, enlarged so that it is seen well, the detector says the landmarks are where they should be."""
    crop = align(portrait, face, size=size, margin=0.5)
    big = np.asarray(Image.fromarray(crop).resize((448, 448), Image.Resampling.BICUBIC))
    (found,) = mtcnn.detect([big])[0]
    expected = (TEMPLATE_112 / 112 + 0.5) / 2 * 448
    assert np.abs(found.landmarks - expected).max() < 0.035 * 448


def test_a_dot_comes_to_its_place():
    image = np.zeros((300, 300, 3), np.uint8)
    points = moved(TEMPLATE_112, 0.3, 1.0, (60, 40))
    nose = points[2].round().astype(int)
    image[nose[1] - 3 : nose[1] + 4, nose[0] - 3 : nose[0] + 4] = 255
    crop = align(image, Face(np.zeros(4), points, 1.0), size=112)[..., 0].astype(float)
    y, x = (crop.sum(axis) @ np.arange(112) / crop.sum() for axis in (1, 0))
    assert np.abs([x, y] - (TEMPLATE_112[2] + moved(nose - points[2], -0.3, 1.0, (0, 0)))).max() < 0.05


def test_shrinking_does_not_alias():
    """Fine stripes become grey; taken pixel by pixel they would become black or white."""
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = warp(stripes, _similarity(np.array([0.1, 0.02, 5, 5])), 64)
    assert np.abs(crop[16:48, 16:48].astype(int) - 127).max() < 8


def test_black_beyond_the_image(portrait, face):
    assert not align(portrait, face, size=64, margin=4.0)[:3].any()
    far = Face(face.box + 9000, face.landmarks + 9000, 1.0)
    assert not align(portrait, far, size=64).any()


def test_box_mode_and_margin():
    image = np.zeros((100, 100, 3), np.uint8)
    image[30:50, 40:60] = 200
    square = Face(np.array([40, 30, 60, 50], np.float32), TEMPLATE_112, 1.0)
    assert (align(image, square, size=40, mode="box")[3:-3, 3:-3] == 200).all()
    wide = align(image, square, size=40, mode="box", margin=0.5)  # half of it on each side: now 10 to 30
    assert (wide[13:27, 13:27] == 200).all()
    assert not wide[:8].any()
    assert not wide[:, -8:].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"mode": "bok"}, "did you mean 'box'"), ({"size": 0}, "size must"), ({"margin": -0.5}, "margin must")],
)
def test_mistakes(portrait, face, arguments, message):
    with pytest.raises(SelfcureError, match=message):
        align(portrait, face, **arguments)


def test_box_without_area(portrait, face):
    with pytest.raises(SelfcureError, match="no area"):
        align(portrait, Face(np.zeros(4), face.landmarks, 1.0), mode="box")
