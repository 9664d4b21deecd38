"""Synthetic faces: deterministic, honest about what was planted, moved by action units as anatomy says."""

import time

import numpy as np
import pytest

from selfcure.data.synthetic import (
    ACTION_UNITS,
    CLASS_NAMES,
    DEGRADATIONS,
    KINDS,
    PROTOTYPES,
    render,
    synthesize,
)
from selfcure.data.synthetic.expressions import as_vector
from selfcure.data.synthetic.geometry import CURVES, curves, model, project, spline_matrix

FIELDS = (
    "images",
    "given_labels",
    "true_labels",
    "kinds",
    "second_labels",
    "blend_weights",
    "degradations",
    "identities",
)
MIXED = {"wrong": 0.25, "ambiguous": 0.2, "low_quality": 0.3}
SIZE = 32


def assert_same(first, second):
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field), err_msg=field)


def tail(faces, start):
    return type(faces)(**{field: getattr(faces, field)[start:] for field in FIELDS})


@pytest.fixture(scope="module")
def mixed():
    return synthesize(3000, seed=5, size_px=16, **MIXED)


def test_the_arrays_are_as_promised():
    faces = synthesize(9, size_px=SIZE, **MIXED)
    assert faces.images.shape == (9, SIZE, SIZE, 3)
    assert faces.images.dtype == np.uint8
    assert {getattr(faces, name).dtype for name in FIELDS if "label" in name or name == "identities"} == {
        np.dtype("int64")
    }
    assert faces.blend_weights.dtype == np.float32
    assert len(faces) == 9
    assert len(synthesize(0)) == 0


def test_the_same_arguments_give_the_same_faces():
    assert_same(synthesize(20, seed=3, size_px=SIZE, **MIXED), synthesize(20, seed=3, size_px=SIZE, **MIXED))
    other = synthesize(20, seed=4, size_px=SIZE, **MIXED)
    assert (synthesize(20, seed=3, size_px=SIZE, **MIXED).images != other.images).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("start", [1, 5, 63, 64, 70])
def test_a_sample_does_not_depend_on_its_chunk(start):
    whole = synthesize(80, seed=1, size_px=SIZE, **MIXED)
    assert_same(synthesize(80 - start, seed=1, size_px=SIZE, start=start, **MIXED), tail(whole, start))


def test_global_random_state_is_neither_read_nor_changed():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = synthesize(4, size_px=SIZE)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.seed(1)
    assert_same(first, synthesize(4, size_px=SIZE))


def test_kinds_occur_in_their_shares(mixed):
    shares = {"wrong": 0.25, "ambiguous": 0.2, "low-quality": 0.3, "clean": 0.25}
    assert set(KINDS) == set(shares)
    for kind, share in shares.items():
        sigma = np.sqrt(share * (1 - share) * len(mixed))
        assert abs((mixed.kinds == kind).sum() - share * len(mixed)) < 4 * sigma, kind


def test_classes_and_wrong_labels_are_uniform(mixed):
    counts = np.bincount(mixed.true_labels, minlength=len(CLASS_NAMES))
    assert np.abs(counts - len(mixed) / 8).max() < 4 * np.sqrt(len(mixed) / 8)
    wrong = mixed.kinds == "wrong"
    offsets = np.bincount((mixed.given_labels - mixed.true_labels)[wrong] % 8, minlength=8)
    assert offsets[0] == 0
    assert np.abs(offsets[1:] - wrong.sum() / 7).max() < 4 * np.sqrt(wrong.sum() / 7)


def test_labels_and_kinds_agree(mixed):
    np.testing.assert_array_equal(mixed.given_labels != mixed.true_labels, mixed.kinds == "wrong")
    ambiguous = mixed.kinds == "ambiguous"
    np.testing.assert_array_equal(mixed.second_labels >= 0, ambiguous)
    np.testing.assert_array_equal(mixed.blend_weights > 0, ambiguous)
    assert (mixed.second_labels != mixed.true_labels).all()
    assert mixed.blend_weights[ambiguous].min() >= 0.35
    assert mixed.blend_weights.max() < 0.5
    low = mixed.kinds == "low-quality"
    np.testing.assert_array_equal(mixed.degradations != "", low)
    assert set(mixed.degradations[low].tolist()) == set(DEGRADATIONS)


def test_identities_lie_in_their_range_and_look_different():
    train = synthesize(200, size_px=16, num_identities=30)
    validation = synthesize(200, size_px=16, num_identities=10, first_identity=30)
    assert set(train.identities.tolist()) == set(range(30))
    assert set(validation.identities.tolist()) == set(range(30, 40))
    portraits = (
        np.stack([render({}, identity=i, size_px=SIZE) for i in range(40)]).astype(int).reshape(40, -1)
    )
    distance = np.abs(portraits[:, None] - portraits[None]).mean(axis=2) + 255 * np.eye(40)
    assert distance.min() > 4, "two identities look alike"
    np.testing.assert_array_equal(render({}, identity=7), render({}, identity=7))
    assert (render({}, identity=7) != render({}, identity=7, seed=1)).any()


def shape(**action_units):
    """Curves of the average face with some action units, in face units."""
    rows, *_ = model()
    weights = np.zeros((1, len(rows)))
    weights[0, rows["mean"]] = 1
    for name, intensity in zip(ACTION_UNITS, as_vector(action_units), strict=True):
        weights[0, rows[name]] = intensity
    points = curves(weights)[0]
    return {name: points[where] for name, where in CURVES.items()}


def heights(**action_units):
    """Heights (upwards) and gaps that action units change, by name."""
    at = shape(**action_units)
    lip, upper, lower = at["lip_upper_inner"], at["lip_upper_inner"][8], at["lip_lower_inner"][8]
    return {
        "corner_l": -lip[-1, 1],
        "corner_r": -lip[0, 1],
        "mouth_width": lip[-1, 0] - lip[0, 0],
        "mouth_gap": lower[1] - upper[1],
        "upper_lip": -at["lip_upper_outer"][8, 1],
        "lower_lip": -at["lip_lower_outer"][8, 1],
        "lip_thickness": at["lip_lower_outer"][8, 1] - at["lip_upper_outer"][8, 1],
        "eye_gap": at["lid_lower_l"][4, 1] - at["lid_upper_l"][4, 1],
        "lower_lid": -at["lid_lower_l"][4, 1],
        "upper_lid": -at["lid_upper_l"][4, 1],
        "inner_brow": -at["brow_l"][0, 1],
        "outer_brow": -at["brow_l"][6, 1],
        "brow_distance": at["brow_l"][0, 0] - at["brow_r"][0, 0],
        "chin": -at["head"][30, 1],
        "nose_wing": -at["wing_l"][4, 1],
    }


@pytest.mark.parametrize(
    ("unit", "moved", "sign"),
    [
        ("AU1", "inner_brow", 1),
        ("AU2", "outer_brow", 1),
        ("AU4", "inner_brow", -1),
        ("AU4", "brow_distance", -1),
        ("AU5", "upper_lid", 1),
        ("AU6", "lower_lid", 1),
        ("AU7", "eye_gap", -1),
        ("AU9", "nose_wing", 1),
        ("AU10", "upper_lip", 1),
        ("AU12", "corner_l", 1),
        ("AU12", "mouth_width", 1),
        ("AU14L", "corner_l", 1),
        ("AU14R", "corner_r", 1),
        ("AU15", "corner_r", -1),
        ("AU16", "lower_lip", -1),
        ("AU17", "lower_lip", 1),
        ("AU20", "mouth_width", 1),
        ("AU24", "lip_thickness", -1),
        ("AU25", "mouth_gap", 1),
        ("AU26", "chin", -1),
        ("AU26", "mouth_gap", 1),
        ("AU43", "upper_lid", -1),
        ("AU43", "eye_gap", -1),
    ],
)
def test_action_units_move_what_they_should_and_ever_further(unit, moved, sign):
    path = [sign * heights(**{unit: intensity})[moved] for intensity in (0, 0.25, 0.5, 0.75, 1)]
    assert (np.diff(path) > 1e-3).all(), path


def test_one_sided_units_leave_the_other_side_alone():
    still, moved = heights(), heights(AU14L=1, AU12L=1)
    assert moved["corner_l"] - still["corner_l"] > 0.1
    assert abs(moved["corner_r"] - still["corner_r"]) < 0.005


def test_lids_and_lips_do_not_cross():
    rng = np.random.default_rng(0)
    rows, *_ = model()
    weights = np.zeros((300, len(rows)))
    weights[:, rows["mean"]] = 1
    weights[:, [rows[name] for name in ACTION_UNITS]] = rng.random((300, len(ACTION_UNITS)))
    points = curves(weights)
    for upper, lower in [("lid_upper_l", "lid_lower_l"), ("lid_upper_r", "lid_lower_r")]:
        assert (points[:, CURVES[upper], 1] < points[:, CURVES[lower], 1]).all()
    order = ["lip_upper_outer", "lip_upper_inner", "lip_lower_inner", "lip_lower_outer"]
    lips = np.stack([points[:, CURVES[name], 1] for name in order])
    assert (np.diff(lips, axis=0) >= 0).all()


def test_the_model_is_linear_and_does_not_depend_on_the_batch():
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(33, len(model()[0])))
    whole = curves(weights)
    np.testing.assert_array_equal(np.concatenate([curves(weights[i : i + 1]) for i in range(33)]), whole)
    half = shape(AU12=0.5)["naso_l"]
    np.testing.assert_allclose(half, (shape()["naso_l"] + shape(AU12=1)["naso_l"]) / 2, atol=1e-4)


@pytest.mark.parametrize("closed", [False, True])
def test_splines_pass_through_their_points_and_keep_straight_lines(closed):
    points = np.random.default_rng(2).normal(size=(6, 2))
    matrix = spline_matrix(6, 24 if closed else 21, closed=closed)
    np.testing.assert_allclose((matrix @ points)[::4], points, atol=1e-12)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    if not closed:
        np.testing.assert_allclose(
            spline_matrix(5, 9, closed=False) @ np.arange(5), np.linspace(0, 4, 9), atol=1e-12
        )


BROWS, EYES, MOUTH = slice(18, 32), slice(25, 38), slice(42, 60)


@pytest.mark.parametrize(
    ("unit", "moved", "still"),
    [
        ("AU1", BROWS, MOUTH),
        ("AU4", BROWS, MOUTH),
        ("AU43", EYES, MOUTH),
        ("AU12", MOUTH, BROWS),
        ("AU15", MOUTH, EYES),
    ],
)
def test_action_units_change_pixels_where_they_should(unit, moved, still):
    for identity in range(6):
        change = np.abs(render({unit: 1}, identity=identity).astype(int) - render({}, identity=identity))
        assert change[moved].mean() > 3 * change[still].mean(), identity


def test_the_head_turns_the_way_it_is_told():
    rows, _, follow = model()
    weights = np.zeros((1, len(rows)))
    weights[0, rows["mean"]] = 1
    solid = curves(weights)

    def seen(**pose):
        angles = {name: np.array([np.radians(pose.get(name, 0.0))]) for name in ("yaw", "pitch", "roll")}
        flat = project(solid, follow, **angles, shift=np.zeros((1, 2)), zoom=np.ones(1), size_px=100)[0]
        return {name: flat[where] for name, where in CURVES.items()}

    front = seen()
    np.testing.assert_allclose(front["nose_tip"][0, 0], 50, atol=1e-4)
    assert seen(yaw=20)["nose_tip"][0, 0] > 55 > 45 > seen(yaw=-20)["nose_tip"][0, 0]
    assert seen(pitch=15)["nose_tip"][0, 1] > front["nose_tip"][0, 1] + 2
    assert seen(roll=15)["forehead"][0, 0] > 55
    np.testing.assert_array_equal(seen(yaw=20, roll=10)["shoulder"], front["shoulder"])


def test_exposure_scales_brightness():
    lit, dim = (render({}, identity=3, exposure=exposure).mean() for exposure in (1.0, 0.5))
    assert dim == pytest.approx(lit / 2, rel=0.03)


def test_expressions_are_separable_from_pixels():
    """Nearest class mean on frontal faces of unseen people; chance is 12.5 %."""
    people, num_train = 40, 30
    images = np.empty((8, people, 48 * 48))
    for label, name in enumerate(CLASS_NAMES):
        for person in range(people):
            variants = PROTOTYPES[name]
            grey = (
                render(variants[person % len(variants)], identity=person, size_px=48)
                .astype(float)
                .mean(axis=2)
            )
            images[label, person] = grey.ravel()
    images -= images.mean(axis=0)  # what a person looks like whatever the expression
    means = images[:, :num_train].mean(axis=1)
    distance = ((images[:, num_train:, None] - means[None, None]) ** 2).sum(axis=3)
    recall = (distance.argmin(axis=2) == np.arange(8)[:, None]).mean(axis=1)
    assert recall.mean() > 0.7, dict(zip(CLASS_NAMES, recall, strict=True))
    assert recall.min() > 0.3, dict(zip(CLASS_NAMES, recall, strict=True))


def test_degraded_pictures_are_degraded():
    clean = synthesize(160, size_px=64, seed=2)
    low = synthesize(160, size_px=64, seed=2, low_quality=1.0)

    def detail(images):
        return np.abs(np.diff(images.astype(float).mean(axis=3), axis=2)).mean(axis=(1, 2))

    for kind in ("blur", "low-resolution"):
        chosen = low.degradations == kind
        assert (detail(low.images[chosen]) < 0.8 * detail(clean.images[chosen])).mean() > 0.95
    dark = low.degradations == "darkness"
    assert low.images[dark].mean() < 0.3 * clean.images[dark].mean()
    covered = low.degradations == "occlusion"
    changed = (low.images[covered] != clean.images[covered]).any(axis=3).mean(axis=(1, 2))
    assert changed.min() > 0.02
    np.testing.assert_array_equal(low.true_labels, clean.true_labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num": -1}, "num is -1"),
        ({"num": 2.5}, "num is 2.5"),
        ({"num": True}, "num is True"),
        ({"num": 1, "seed": -3}, "seed is -3"),
        ({"num": 1, "start": -1}, "start is -1"),
        ({"num": 1, "size_px": 8}, "size_px is 8.*16 to 1024"),
        ({"num": 1, "num_identities": 0}, "num_identities is 0.*at least 1"),
        ({"num": 1, "first_identity": -1}, "first_identity is -1"),
        ({"num": 1, "wrong": 1.1}, "wrong is 1.1.*0 to 1"),
        ({"num": 1, "ambiguous": float("nan")}, "ambiguous is nan"),
        ({"num": 1, "wrong": 0.5, "low_quality": 0.6}, "sum to 1"),
    ],
)
def test_synthesize_says_what_is_wrong(arguments, message):
    num = arguments.pop("num")
    with pytest.raises(ValueError, match=message):
        synthesize(num, **arguments)


@pytest.mark.parametrize(
    ("units", "arguments", "message"),
    [
        ({"AU99": 1}, {}, "AU99.*AU12"),
        ({"AU1": 1.5}, {}, r"lie in \[0, 1\]"),
        (np.zeros(3), {}, r"shape \(3,\)"),
        ({}, {"yaw_deg": 90}, "yaw_deg is 90.*-45 to 45"),
        ({}, {"side_light": 2}, "side_light"),
        ({}, {"exposure": -1}, "exposure"),
        ({}, {"identity": -1}, "identity"),
        ({}, {"size_px": 5000}, "size_px"),
    ],
)
def test_render_says_what_is_wrong(units, arguments, message):
    with pytest.raises(ValueError, match=message):
        render(units, **arguments)


def test_render_takes_a_vector_as_well():
    np.testing.assert_array_equal(render(as_vector({"AU12": 0.7})), render({"AU12L": 0.7, "AU12R": 0.7}))


@pytest.mark.slow
def test_speed():
    synthesize(64, **MIXED)
    start = time.perf_counter()
    synthesize(512, **MIXED)
    rate = 512 / (time.perf_counter() - start)
    assert rate > 200, f"{rate:.0f} images a second"
