"""Labels: inside the image, readable, off other faces where there is room."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predict.fakes import face, reading
from selfcure.predict import drawing
from selfcure.predict.drawing import _Label, _place, _shared, annotate, class_color

SIZES = [(1, 1), (30, 20), (48, 48), (200, 90), (640, 480), (2000, 1500)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["happiness", "an unusually long name of a class, with words", "喜び"])
def test_labels_stay_inside_images_of_any_size(size, name, monkeypatch):
    width, height = size
    spots = []
    place = drawing._place
    monkeypatch.setattr(
        drawing, "_place", lambda *args: spots.append((args[4], place(*args))) or spots[-1][1]
    )
    names = (name, "b", "c")
    faces = [
        face(
            (x * width, y * height, (x + 0.4) * width, (y + 0.5) * height),
            importance=0.5,
            track=7,
            names=names,
        )
        for x in (-0.2, 0.3, 0.8)
        for y in (-0.3, 0.6)
    ]
    drawn = annotate(np.zeros((height, width, 3), np.uint8), reading(*faces, size=size))
    assert drawn.dtype == np.uint8
    assert drawn.shape[2] == 3
    assert len(spots) == 6
    for (wide, tall), (left, top, right, bottom) in spots:
        assert left >= 0
        assert right <= wide
        if tall > 100:
            assert top >= 0
            assert bottom <= tall


def test_small_images_are_enlarged_and_large_ones_kept():
    assert annotate(np.zeros((48, 48, 3), np.uint8), reading()).shape == (480, 480, 3)
    assert annotate(np.zeros((500, 900, 3), np.uint8), reading()).shape == (500, 900, 3)


def test_letters_grow_with_the_face_and_the_image(monkeypatch):
    fonts = []
    original = _Label.of
    monkeypatch.setattr(
        _Label, "of", lambda found, font_px, most: fonts.append(font_px) or original(found, font_px, most)
    )
    for scale in (1, 2, 4):
        image = np.zeros((500 * scale, 500 * scale, 3), np.uint8)
        found = face((100 * scale, 100 * scale, 300 * scale, 300 * scale))
        annotate(image, reading(found, size=image.shape[1::-1]))
    assert fonts == pytest.approx([fonts[0], 2 * fonts[0], 4 * fonts[0]])
    assert fonts[0] >= 12


@given(st.integers(0, 300), st.integers(0, 300), st.integers(20, 150))
@settings(deadline=None, max_examples=300)
def test_a_label_keeps_off_its_face_and_others_where_there_is_room(x, y, side):
    label = _Label.of(face(), 14, 1000)
    box, size = (float(x), float(y), float(x + side), float(y + side)), (1000, 1000)
    other = (box[0], box[1] - 40, box[2], box[1])  # right above
    place = _place(label, box, [other], [], size)
    second = _place(label, box, [other], [place], size)
    touching = 0.03 * label.width * label.height  # a usual place is worth a corner
    for one, another in ((place, box), (place, other), (second, box), (second, place)):
        assert _shared(one, another) <= touching


def test_whole_images_have_their_reading_below_them():
    image = np.full((600, 800, 3), 7, np.uint8)
    drawn = annotate(image, reading(face((0, 0, 800, 600), whole=True), size=(800, 600)))
    np.testing.assert_array_equal(drawn[:600], image)
    assert len(np.unique(drawn[600:].reshape(-1, 3), axis=0)) > 2
    two = annotate(image, reading(face((0, 0, 800, 600), whole=True, importance=0.2), size=(800, 600)))
    assert two.shape == drawn.shape  # frames of a video must not change their size


def test_a_class_has_one_colour():
    assert class_color("happy", 3) == class_color("Happiness", 0) != class_color("sad", 3)
    assert class_color("digit 4", 4) == class_color("digit 4", 4) != class_color("digit 5", 5)


def test_without_labels_nothing_tells_what_was_read():
    image = np.full((300, 300, 3), 90, np.uint8)
    box = (50, 60, 150, 200)
    one = annotate(image, reading(face(box, (0.9, 0.1, 0.0)), size=(300, 300)), labels=False)
    other = annotate(image, reading(face(box, (0.0, 0.1, 0.9)), size=(300, 300)), labels=False)
    np.testing.assert_array_equal(one, other)
    assert not (one == annotate(image, reading(size=(300, 300)))).all()
