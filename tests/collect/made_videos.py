"""Videos of scikit-image's portrait, made for the tests: panned, cut, faded, with several faces, with none."""

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

FPS = 10
SIZE = (240, 160)
"""Width and height of the videos: small, so that faces are found in milliseconds."""


@cache
def head(side: int = 150, *, mirrored: bool = False) -> Image.Image:
    """The portrait's head, one face of about a third of the side."""
    from skimage import data

    picture = Image.fromarray(data.astronaut()[0:260, 90:350]).resize((side, side), Image.Resampling.BICUBIC)
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else picture


def scene(
    num: int,
    *,
    tint: tuple[int, int, int] = (90, 90, 90),
    heads: Sequence[tuple[int, int, int, bool]] = ((10, 5, 150, False),),
    speed: float = 1.0,
    fade: bool = False,
    seed: int = 0,
) -> Iterator[np.ndarray]:
    """``num`` frames [160, 240, 3] of heads (x, y, side, mirrored) that move to the right.

    Args:
        tint: of the wall behind, which has a pattern by ``seed``.
        fade: to black in the end, and from black in the beginning.
    """
    rng = np.random.default_rng(seed)
    wall = np.kron(rng.integers(-40, 40, (8, 12, 1)), np.ones((20, 20, 1))) + np.array(tint)
    background = Image.fromarray(np.clip(wall, 0, 255).astype(np.uint8))
    for k in range(num):
        frame = background.copy()
        for x, y, side, mirrored in heads:
            frame.paste(head(side, mirrored=mirrored), (round(x + speed * k), y))
        pixels = np.asarray(frame)
        if fade:
            bright = min(1.0, k / 8, (num - 1 - k) / 8)
            pixels = (pixels * bright).astype(np.uint8)
        yield pixels


def empty(num: int, seed: int = 9) -> Iterator[np.ndarray]:
    """A scene without a face."""
    return scene(num, heads=(), tint=(60, 120, 60), seed=seed)


def write(
    path: Path,
    *scenes: Iterator[np.ndarray],
    fps: int = FPS,
    times: Sequence[float] | None = None,
    crf: int = 20,
    faststart: bool = False,
    size: tuple[int, int] | None = None,
) -> Path:
    """An H.264 video of scenes with hard cuts between them; with ``times`` its frames lie at those seconds."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", container_options=options) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height = size or SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"crf": str(crf), "preset": "ultrafast", "g": "12"}
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(itertools.chain(*scenes)):
            if size:
                pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turned(path: Path) -> Path:
    """Say in the track header that the video is to be turned by 90° clockwise, as a phone held upright does."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(data)
    return path


PLAN = """\
name: tests
classes: [happiness, sadness]
clips: {min_face_sec: 2.0}
retry: {wait_sec: 0.01, longest_wait_sec: 0.02, attempts: 3}
frames: {fps: 2.0, size: 32, validation: 0.3}
"""
"""For local videos of two classes; faces need to stay for two seconds alone."""


def write_tree(root: Path) -> Path:
    """Class folders of videos: two of each class with faces, one without, one broken."""
    write(root / "happiness" / "pan.mp4", scene(30, seed=1))
    write(root / "happiness" / "cut.mp4", scene(25, seed=2), empty(15), scene(25, seed=3, tint=(150, 60, 60)))
    write(
        root / "sadness" / "two.mp4",
        scene(25, heads=((0, 5, 110, False), (120, 20, 110, True)), speed=0.3, seed=4),
    )
    write(root / "sadness" / "faded.mp4", scene(40, fade=True, seed=5), scene(40, fade=True, seed=6))
    write(root / "sadness" / "nobody.mp4", empty(20))
    (root / "sadness" / "empty.mp4").touch()
    return root
