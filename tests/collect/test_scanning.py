"""One video: its shots, the faces that stay, and what is wrong with it."""

import numpy as np
import pytest

from collect.made_videos import SIZE, empty, scene, turned, write
from selfcure.collect.scanning import Scan, scan_video
from selfcure.collect.settings import ClipSettings
from selfcure.data.readers.base import Reject

SETTINGS = ClipSettings(min_face_sec=2.0)


@pytest.fixture
def scan(mtcnn):
    return lambda path, settings=SETTINGS: scan_video(path, settings, mtcnn)


def spans(found: Scan) -> list[tuple[float, float]]:
    return [(round(clip.start_sec, 2), round(clip.end_sec, 2)) for clip in found.clips]


def test_a_face_that_moves_is_one_track(scan, tmp_path):
    found = scan(write(tmp_path / "a.mp4", scene(40)))
    assert (found.num_shots, spans(found), found.note) == (1, [(0, 3.9)], None)
    ((track,),) = [clip.tracks for clip in found.clips]
    assert [s.time_sec for s in track.seen] == pytest.approx([k / 2 for k in range(8)])
    lefts = [s.box[0] for s in track.seen]
    assert lefts[-1] - lefts[0] == pytest.approx(35, abs=4)  # one pixel a frame, ten frames a second
    assert all(s.score >= 0.95 for s in track.seen)


def test_cuts_part_shots_and_those_without_a_face_go(scan, tmp_path):
    video = write(tmp_path / "a.mp4", scene(25, seed=2), empty(15), scene(30, seed=3, tint=(150, 60, 60)))
    found = scan(video)
    assert (found.num_shots, spans(found)) == (3, [(0, 2.5), (4.0, 6.9)])
    for clip in found.clips:
        for track in clip.tracks:
            assert all(clip.start_sec <= s.time_sec < clip.end_sec + 0.01 for s in track.seen)


def test_a_fade_to_black_parts_shots(scan, tmp_path):
    found = scan(write(tmp_path / "a.mp4", scene(40, fade=True, seed=5), scene(40, fade=True, seed=6)))
    assert len(found.clips) == 2
    assert found.clips[0].end_sec == pytest.approx(4.0, abs=0.4)


def test_the_same_place_after_a_cut_is_another_track(scan, tmp_path):
    video = write(tmp_path / "a.mp4", scene(25, seed=1), scene(25, seed=2, tint=(30, 60, 160)))
    assert [len(clip.tracks) for clip in scan(video).clips] == [1, 1]


def test_a_moving_camera_is_no_cut(scan, tmp_path):
    assert scan(write(tmp_path / "a.mp4", scene(40, speed=2.2))).num_shots == 1


def test_several_faces_are_several_tracks(scan, tmp_path):
    heads = ((0, 5, 110, False), (120, 20, 110, True))
    ((left, right),) = [
        c.tracks for c in scan(write(tmp_path / "a.mp4", scene(30, heads=heads, speed=0.2))).clips
    ]
    assert (
        left.seen[0].box[2] < 120 < right.seen[0].box[0] or right.seen[0].box[2] < 120 < left.seen[0].box[0]
    )


@pytest.mark.parametrize(("num", "clips"), [(19, 0), (21, 1)])
def test_a_face_must_stay(scan, tmp_path, num, clips):
    assert len(scan(write(tmp_path / "a.mp4", scene(num), empty(20))).clips) == clips


def test_no_face_no_clip(scan, tmp_path):
    found = scan(write(tmp_path / "a.mp4", empty(30)))
    assert (found.clips, found.num_shots) == ([], 1)


def test_times_of_a_variable_frame_rate_are_kept(scan, tmp_path):
    """Ten frames a second, then forty: the cut lies where the file says, not where frames are counted."""
    times = [k / 10 for k in range(30)] + [3 + k / 40 for k in range(120)]
    video = write(
        tmp_path / "a.mp4", scene(30, seed=1), scene(120, seed=2, tint=(150, 60, 60), speed=0.2), times=times
    )
    found = scan(video)
    assert spans(found) == [(0, 3.0), (3.0, pytest.approx(5.97, abs=0.02))]


def test_a_rotated_video_is_seen_upright(scan, tmp_path):
    upright = [np.rot90(pixels) for pixels in scene(25)]
    path = turned(write(tmp_path / "a.mp4", iter(upright), size=(SIZE[1], SIZE[0])))
    ((track,),) = [clip.tracks for clip in scan(path).clips]
    plain = scan(write(tmp_path / "b.mp4", scene(25))).clips[0].tracks[0]
    assert track.seen[0].box == pytest.approx(plain.seen[0].box, abs=4)


def test_boxes_are_in_pixels_of_the_video(scan, tmp_path):
    small = scan(write(tmp_path / "a.mp4", scene(25)))
    large = scan(
        write(tmp_path / "b.mp4", scene(25), size=(960, 640)), ClipSettings(min_face_sec=2.0, side_px=160)
    )
    pairs = zip(small.clips[0].tracks[0].seen, large.clips[0].tracks[0].seen, strict=True)
    for one, other in pairs:
        assert np.array(other.box) / 4 == pytest.approx(np.array(one.box), abs=4)


def with_sound(path, frames) -> None:
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        sound = container.add_stream("aac", rate=8000)
        for pixels in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode())
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        tone.sample_rate = 8000
        container.mux(sound.encode(tone))
        container.mux(sound.encode())


def test_sound_makes_no_difference(scan, tmp_path):
    """All other videos here have none."""
    with_sound(tmp_path / "a.mp4", scene(25))
    assert len(scan(tmp_path / "a.mp4").clips) == 1


def sound_alone(path) -> None:
    import av

    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=8000)
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        tone.sample_rate = 8000
        container.mux(sound.encode(tone))
        container.mux(sound.encode())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.touch(), "empty file"),
        (lambda path: path.write_bytes(b"hello" * 99), "not a readable video"),
        (lambda path: path.write_bytes(write(path, scene(20)).read_bytes()[:3000]), "not a readable video"),
        (sound_alone, "video without a video stream"),
    ],
)
def test_what_is_no_video_says_why(scan, tmp_path, make, reason):
    make(tmp_path / "a.mp4")
    with pytest.raises(Reject, match=reason):
        scan(tmp_path / "a.mp4")


def test_what_is_left_of_a_truncated_video_is_used(scan, tmp_path):
    path = write(tmp_path / "a.mp4", scene(30, seed=1), scene(60, seed=2, tint=(150, 60, 60)), faststart=True)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    found = scan(path)
    assert len(found.clips) >= 1
    assert found.note is not None
    assert "of 9.0 s" in found.note or "damaged after" in found.note


def test_the_real_video(scan, real_video):
    """Four seconds of people walking by, in 1080p; those who are nearest are seen for longest."""
    found = scan(real_video, ClipSettings(min_face_sec=1.0))
    assert (found.note, found.num_shots, spans(found)) == (None, 1, [(0, 4.16)])
    assert len(found.clips[0].tracks) >= 2
    for track in found.clips[0].tracks:
        assert track.end_sec - track.start_sec >= 0.5
        assert all(0 <= s.box[0] < s.box[2] <= 1920 and 0 <= s.box[1] < s.box[3] <= 1080 for s in track.seen)
