"""Faces found per second beside facenet-pytorch called image by image, where the time goes, and memory. Prints tables.

    uv run python benchmarks/faces.py
    uv run python benchmarks/faces.py --memory

Both detectors have the same weights, smallest face, thresholds and one thread, and both find the same: that is checked
before anything is timed. Each pair is taken one after the other, in alternating order. The bound for us is the time in the
networks, which is printed beside the rest.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from selfcure.faces.detection import Face
from selfcure.faces.mtcnn import AreaTable, Mtcnn
from selfcure.faces.photos import read_upright
from selfcure.faces.videos import sample_frames

DATA = Path(__file__).parents[1].parent / "shared" / "data"
MIN_FACE_PX = 40
Images = list[np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--frames", type=int, default=16, help="of the video")
    parser.add_argument(
        "--memory", action="store_true", help="peak memory over 1,500 and 5,000 images instead"
    )
    parser.add_argument("--one-memory", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one_memory:
        peak_memory(arguments.one_memory)
    elif arguments.memory:
        print("| photographs of 640 × 640 px | peak memory | photographs/s |\n| --- | --- | --- |")
        for num in (1500, 5000):  # more than one shard each
            subprocess.run([sys.executable, __file__, "--one-memory", str(num)], check=True)
    else:
        compare(arguments.pairs, arguments.frames)


def compare(pairs: int, num_frames: int) -> None:
    library, own = Library(), Mtcnn(min_face_px=MIN_FACE_PX, min_score=0)
    print(f"smallest face {MIN_FACE_PX} px, one thread, torch {torch.__version__}, {pairs} pairs")
    print(
        "| images | faces | largest difference | median ratio | lowest | highest | library | ours | images/s |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    shares = []
    for name, images in pictures(num_frames).items():
        num_faces, difference = same(library.detect(images), own.detect(images))
        times: dict[str, list[float]] = {"library": [], "own": []}
        detectors = {"library": library, "own": own}
        for pair in range(pairs):
            for key in sorted(times, reverse=bool(pair % 2)):
                times[key].append(seconds(partial(detectors[key].detect, images)))
        ratios = [a / b for a, b in zip(times["library"], times["own"], strict=True)]
        theirs, ours = (1e3 * statistics.median(t) / len(images) for t in times.values())
        print(
            f"| {name} | {num_faces} | {difference:.4f} px | {statistics.median(ratios):.2f} | {min(ratios):.2f} | "
            f"{max(ratios):.2f} | {theirs:.0f} ms | {ours:.0f} ms | {1e3 / ours:.1f} |",
            flush=True,
        )
        shares.append((name, library.profile(images), profile(own, images)))
    print("\n| images | who | networks | averaging | rest |\n| --- | --- | --- | --- | --- |")
    for name, *both in shares:
        for who, (networks, averages, rest) in zip(("library", "ours"), both, strict=True):
            print(f"| {name} | {who} | {networks:.0f} ms | {averages:.0f} ms | {rest:.0f} ms |")


def pictures(num_frames: int) -> dict[str, Images]:
    """By name; without the shared data scikit-image's portrait alone."""
    from skimage import data

    found = {"scikit-image's portrait, 0.3 megapixels": [data.astronaut()]}
    if (DATA / "photos").exists():
        photos = [read_upright(path) for path in sorted((DATA / "photos").iterdir())]
        megapixels = np.mean([photo.size / 3e6 for photo in photos])
        found[f"{len(photos)} photographs, {megapixels:.1f} megapixels each"] = photos
    if (DATA / "faces.mp4").exists():
        frames = [frame.pixels for frame in sample_frames(DATA / "faces.mp4", 4)][:num_frames]
        found[f"{len(frames)} frames of a video, {frames[0].size / 3e6:.1f} megapixels"] = frames
        small = [np.asarray(Image.fromarray(f).resize((640, 360), Image.Resampling.BICUBIC)) for f in frames]
        found[f"the same frames at 640 × 360, {small[0].size / 3e6:.1f} megapixels"] = small
    return found


class Library:
    """facenet-pytorch, image by image."""

    def __init__(self) -> None:
        from facenet_pytorch import MTCNN

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.network = MTCNN(keep_all=True, min_face_size=MIN_FACE_PX)

    def detect(self, images: Images) -> list[list[Face]]:
        found = []
        for image in images:
            boxes, scores, landmarks = self.network.detect(image, landmarks=True)
            none = boxes is None
            faces = [] if none else [Face(*x) for x in zip(boxes, landmarks, map(float, scores), strict=True)]
            found.append(sorted(faces, key=lambda face: -face.score))
        return found

    def profile(self, images: Images) -> tuple[float, float, float]:
        from facenet_pytorch.models.utils import detect_face

        networks = [self.network.pnet, self.network.rnet, self.network.onet]
        return shares(lambda: self.detect(images), len(images), networks, [(detect_face, "imresample")])


def profile(own: Mtcnn, images: Images) -> tuple[float, float, float]:
    averages = [(AreaTable, "__init__"), (AreaTable, "resize"), (AreaTable, "crops")]
    return shares(lambda: own.detect(images), len(images), [own._pnet, own._rnet, own._onet], averages)


def shares(
    call: Callable[[], object], num: int, networks: list, averages: list
) -> tuple[float, float, float]:
    """Milliseconds an image in the networks, in averaging, and in all else."""
    spent = {"networks": 0.0, "averages": 0.0}
    targets = [(kind, "forward", "networks") for kind in {type(network) for network in networks}]
    targets += [(owner, name, "averages") for owner, name in averages]
    with timed(targets, spent):
        total = seconds(call)
    networks_ms, averages_ms = (1e3 * value / num for value in spent.values())
    return networks_ms, averages_ms, 1e3 * total / num - networks_ms - averages_ms


@contextmanager
def timed(targets: list[tuple[object, str, str]], spent: dict[str, float]) -> Iterator[None]:
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in targets]

    def wrap(function: Callable, key: str) -> Callable:
        def call(*arguments: object, **keywords: object) -> object:
            begin = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                spent[key] += time.perf_counter() - begin

        return call

    for (owner, name, key), (_, _, function) in zip(targets, originals, strict=True):
        setattr(owner, name, wrap(function, key))
    try:
        yield
    finally:
        for owner, name, function in originals:
            setattr(owner, name, function)


def same(expected: list[list[Face]], found: list[list[Face]]) -> tuple[int, float]:
    """Number of faces, and the largest difference of a box or landmark in pixels. Fails where a face is missing."""
    num, largest = 0, 0.0
    for theirs, ours in zip(expected, found, strict=True):
        assert len(theirs) == len(ours), (len(theirs), len(ours))
        for a, b in zip(theirs, ours, strict=True):
            num += 1
            largest = max(largest, np.abs(a.box - b.box).max(), np.abs(a.landmarks - b.landmarks).max())
    assert largest < 0.05, largest
    return num, largest


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def peak_memory(num: int) -> None:
    """``selfcure faces`` on ``num`` photographs of 640 × 640 px in this process."""
    from skimage import data

    from selfcure.faces.extraction import FaceSettings
    from selfcure.faces.pipeline import extract_faces

    portrait = Image.fromarray(data.astronaut())
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        for index in range(num):
            photo = Image.new("RGB", (640, 640), (90, 90, 90))
            photo.paste(portrait, (index % 128, index // 128))
            photo.save(Path(folder) / "in" / f"{index:05d}.jpg")
        begin = time.perf_counter()
        # Large faces alone are looked for: it is the memory that is measured.
        settings = FaceSettings(min_face_px=80)
        dataset = extract_faces(Path(folder) / "in", out=Path(folder) / "out", settings=settings, workers=1)
        rate = num / (time.perf_counter() - begin)
        assert sum(dataset.splits.values()) == num
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {num:,} | {peak:,.0f} MiB | {rate:.1f} |", flush=True)


if __name__ == "__main__":
    main()
