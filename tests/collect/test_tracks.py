"""One face from sight to sight."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from selfcure.collect.tracks import FIELDS, Sight, box_at, follow
from selfcure.predict.tracking import overlap

OPTIONS = {"min_overlap": 0.3, "max_gap_sec": 1.0}


def sight(time: float, x: float, size: float = 10.0) -> Sight:
    return Sight(time, (x, 0.0, x + size, size), 0.99)


def test_two_faces_that_move_apart_are_two_tracks():
    samples = [[sight(k / 2, 10.0 + k), sight(k / 2, 30.0 - k)] for k in range(6)]
    tracks = follow(samples, **OPTIONS)
    assert [[s.box[0] for s in track.seen] for track in tracks] == [
        [10, 11, 12, 13, 14, 15],
        [30, 29, 28, 27, 26, 25],
    ]


def test_a_short_absence_is_bridged_and_a_long_one_is_not():
    times = [0.0, 0.5, 1.5, 3.0, 3.5]
    tracks = follow([[sight(t, 0.0)] for t in times], **OPTIONS)
    assert [[s.time_sec for s in track.seen] for track in tracks] == [[0.0, 0.5, 1.5], [3.0, 3.5]]


def test_the_nearest_is_joined_first():
    tracks = follow([[sight(0, 0.0)], [sight(0.5, 4.0), sight(0.5, 1.0)]], **OPTIONS)
    assert [[s.box[0] for s in track.seen] for track in tracks] == [[0.0, 1.0], [4.0]]


@given(
    st.lists(
        st.lists(st.floats(0, 60), max_size=4).map(sorted),
        max_size=8,
    )
)
def test_every_face_is_in_one_track_and_neighbours_overlap(rows):
    samples = [[sight(k / 2, x) for x in row] for k, row in enumerate(rows)]
    tracks = follow(samples, **OPTIONS)
    seen = [s for track in tracks for s in track.seen]
    assert sorted(map(id, seen)) == sorted(id(s) for row in samples for s in row)
    for track in tracks:
        for one, other in zip(track.seen, track.seen[1:], strict=False):
            assert overlap(one.box, other.box) >= 0.3
            assert 0 < other.time_sec - one.time_sec <= 1.0


def test_packed_and_read_back():
    (track,) = follow([[sight(0, 0.0)], [sight(1, 4.0)]], **OPTIONS)
    seen = np.frombuffer(track.packed(), "<f4").reshape(-1, FIELDS)
    assert seen[:, 0].tolist() == [0, 1]
    assert box_at(seen, 0.25).tolist() == [1, 0, 11, 10]
    assert box_at(seen, 9).tolist() == [4, 0, 14, 10]
