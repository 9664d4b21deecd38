"""Which frames are taken of a video, from wherever one begins."""

import numpy as np
import pytest

from faces.video_files import write_video
from selfcure.data.readers.base import Reject
from selfcure.faces.videos import count_samples, is_video, sample_frames


def numbered(num: int) -> list[np.ndarray]:
    """Frames whose stripes say which they are, in binary."""
    bits = [[255 * (k >> bit & 1) for bit in range(8)] for k in range(num)]
    return [np.tile(np.repeat(b, 6).astype(np.uint8)[None, :, None], (32, 1, 3)) for b in bits]


def numbers(frames) -> list[int]:
    stripes = [frame.pixels[:, 2::6].mean((0, 2)) > 127 for frame in frames]
    return [int(bits @ (1 << np.arange(8))) for bits in stripes]


def take_all(frames, into: list) -> None:
    for frame in frames:
        into.append(frame)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """10 s of 10 frames a second, a key frame every 12."""
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", numbered(100))


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (1, list(range(0, 100, 10))),
        (2, list(range(0, 100, 5))),
        (10, list(range(100))),
        (50, list(range(100))),  # no frame twice
        (3, [0, 4, 7, *(k + 10 * n for n in range(1, 10) for k in (0, 4, 7))]),
        (0.1, [0]),
    ],
)
def test_first_frame_of_each_stretch(video, fps, expected):
    frames = list(sample_frames(video, fps))
    assert numbers(frames) == expected
    assert [frame.time_sec for frame in frames] == pytest.approx([k / 10 for k in expected])
    assert [frame.index for frame in frames] == [int(k / 10 * fps + 1e-6) for k in expected]


@pytest.mark.parametrize("fps", [1, 3, 10, 7])
def test_stretches_together_are_the_whole(video, fps):
    whole = [(f.index, f.time_sec) for f in sample_frames(video, fps)]
    for size in (1, 4, 13):
        parts = []
        for first in range(0, int(10 * fps), size):
            last = first + size >= 10 * fps
            parts += sample_frames(video, fps, first, None if last else first + size)
        assert [(f.index, f.time_sec) for f in parts] == whole


def test_beyond_the_end_there_is_nothing(video):
    assert list(sample_frames(video, 1, 500, 600)) == []


def test_count_is_about_right(video):
    assert count_samples(video, 3) == pytest.approx(30, abs=1)


def test_a_phone_s_turned_video_is_upright(tmp_path):
    """The matrix in the track header is that of a phone held upright: turn by 90° clockwise."""
    frames = [np.full((32, 48, 3), 20, np.uint8) for _ in range(3)]
    for pixels in frames:
        pixels[:16, :24] = 250  # upper left
    path = write_video(tmp_path / "a.mp4", frames)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    matrix = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4")
    data[at : at + 36] = matrix.tobytes()
    path.write_bytes(data)
    pixels = next(sample_frames(path, 1)).pixels
    assert pixels.shape == (48, 32, 3)
    assert pixels[:24, 16:].mean() > 200  # upper right
    assert pixels[24:].mean() < 60


@pytest.mark.parametrize(
    ("name", "reason"),
    [("cut.mkv", "video ends before its stated length"), ("hole.mp4", "video is damaged from here on")],
)
def test_damage_keeps_what_came_before(tmp_path, name, reason):
    noise = [np.random.default_rng(k).integers(0, 255, (64, 64, 3), np.uint8) for k in range(50)]
    path = write_video(tmp_path / name, noise)
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    if name == "cut.mkv":
        del data[third:]
    else:
        data[third : third + 9000] = bytes(9000)
    path.write_bytes(data)
    frames: list = []
    with pytest.raises(Reject, match=reason):
        take_all(sample_frames(path, 10), frames)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert 10 < len(frames) < 30


@pytest.mark.parametrize("content", ["sound", "text", "empty"])
def test_not_a_video(tmp_path, content):
    import av

    path = tmp_path / "a.mp4"
    if content == "sound":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=44100, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4410), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 44100
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    else:
        path.write_text("hello" * (content == "text"))
    reason = {"sound": "without a video stream", "text": "not a readable video", "empty": "empty file"}[
        content
    ]
    with pytest.raises(Reject, match=reason):
        count_samples(path, 1)


def test_by_name():
    assert is_video("a/b.MP4")
    assert not is_video("a.png")


@pytest.mark.slow
def test_real_video(real_video):
    whole = [(f.index, f.time_sec) for f in sample_frames(real_video, 4)]
    assert [index for index, _ in whole] == list(range(len(whole)))
    assert len(whole) == count_samples(real_video, 4)
    assert [(f.index, f.time_sec) for f in sample_frames(real_video, 4, 7, 9)] == whole[7:9]
