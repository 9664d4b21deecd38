"""Who is who from frame to frame, and the smoothing, against values by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predict.fakes import face
from selfcure.errors import SelfcureError
from selfcure.predict.timeline import Histories, draw_timeline
from selfcure.predict.tracking import Tracker, overlap


def tracks(tracker, boxes, time):
    return [f.track for f in tracker.update([face(box) for box in boxes], time)]


def test_faces_keep_their_numbers_whatever_their_order():
    tracker = Tracker()
    left, right = (0, 0, 10, 10), (50, 0, 60, 10)
    assert tracks(tracker, [left, right], 0.0) == [1, 2]
    assert tracks(tracker, [(51, 1, 61, 11), (1, 0, 11, 10)], 0.1) == [2, 1]
    assert tracks(tracker, [(200, 0, 210, 10), (2, 0, 12, 10)], 0.2) == [3, 1]
    assert tracker.num_tracks == 3


def test_the_closest_pair_is_joined_first():
    tracker = Tracker(min_overlap=0.1)
    tracks(tracker, [(0, 0, 10, 10)], 0.0)
    assert tracks(tracker, [(5, 0, 15, 10), (1, 0, 11, 10)], 0.1) == [2, 1]


def test_a_track_ends_after_the_gap():
    box = (0, 0, 10, 10)
    tracker = Tracker(max_gap_sec=0.5)
    assert tracks(tracker, [box], 0.0) == [1]
    assert tracks(tracker, [], 0.2) == []
    assert tracks(tracker, [box], 0.5) == [1]
    assert tracks(tracker, [box], 1.1) == [2]


def test_smoothing_by_hand():
    tracker = Tracker(smooth_sec=0.5)
    tracker.update([face(probs=(1.0, 0.0, 0.0), importance=0.8)], 0.0)
    (second,) = tracker.update([face(probs=(0.0, 1.0, 0.0), importance=0.4)], 0.5)
    keep = math.exp(-1)
    assert second.probabilities == pytest.approx({"a": keep, "b": 1 - keep, "c": 0.0})
    assert second.expression == "b"
    assert second.importance == pytest.approx(0.4 + 0.4 * keep)


def test_smoothing_does_not_depend_on_the_frame_rate():
    """A reading that changes once ends at the same value at 10 and at 100 frames a second."""
    ends = []
    for rate in (10, 100):
        tracker = Tracker(smooth_sec=0.3)
        tracker.update([face(probs=(1.0, 0.0, 0.0))], 0.0)
        for frame in range(1, rate + 1):
            (last,) = tracker.update([face(probs=(0.0, 1.0, 0.0))], frame / rate)
        ends.append(last.probabilities["a"])
    assert ends[0] == pytest.approx(ends[1])
    assert ends[0] == pytest.approx(math.exp(-1 / 0.3))


def test_no_smoothing():
    tracker = Tracker(smooth_sec=0)
    tracker.update([face(probs=(1.0, 0.0, 0.0))], 0.0)
    (second,) = tracker.update([face(probs=(0.1, 0.9, 0.0))], 0.01)
    assert list(second.probabilities.values()) == [0.1, 0.9, 0.0]
    with pytest.raises(SelfcureError, match="smooth_sec"):
        Tracker(smooth_sec=-1)


boxes = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(1, 30), st.integers(1, 30)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(boxes, boxes)
def test_overlap_is_the_share_of_common_pixels(one, other):
    def pixels(box):
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    a, b = pixels(one), pixels(other)
    assert overlap(one, other) == pytest.approx(len(a & b) / len(a | b))


@settings(deadline=None)
@given(st.lists(st.lists(boxes, max_size=4), max_size=6))
def test_no_number_is_given_twice_in_a_frame_and_none_left_out(frames):
    tracker, seen = Tracker(), set()
    for index, frame in enumerate(frames):
        numbers = tracks(tracker, frame, index * 0.04)
        assert len(set(numbers)) == len(numbers) == len(frame)
        seen.update(numbers)
    assert seen == set(range(1, tracker.num_tracks + 1))


def test_histories_stay_small_and_their_means_are_exact():
    histories = Histories(3)
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), 20_000)
    for index, row in enumerate(probs):
        faces = [face(probs=tuple(row), track=1)]
        if index % 50 == 0:
            faces.append(face(probs=tuple(row), track=2 + index))
        histories.add(faces, index * 0.04)
    longest = histories.tracks[0]
    times, curves = longest.curves()
    assert len(times) <= 600
    assert times[0] >= 0
    assert times[-1] <= 20_000 * 0.04 + longest.bin_sec
    np.testing.assert_allclose(longest.mean_probs, probs.mean(0), atol=1e-9)
    np.testing.assert_allclose(curves.mean(0), probs.mean(0), atol=0.01)
    assert longest.num_frames == 20_000
    assert len(histories.tracks) == 401
    assert (
        sum(track.has_curves for track in histories.tracks) < 120
    )  # those in sight of late, and the longest
    np.testing.assert_allclose(histories.tracks[3].mean_probs, probs[100], atol=1e-9)


def test_timeline_is_drawn(tmp_path):
    histories = Histories(3)
    for index in range(40):
        if not 10 < index < 30:
            histories.add([face(track=1), face(track=2, probs=(0.1, 0.1, 0.8))], index * 0.1)
    draw_timeline(histories.tracks, ("a", "b", "c"), "x.mp4", tmp_path / "t.png")
    assert (tmp_path / "t.png").stat().st_size > 5000
