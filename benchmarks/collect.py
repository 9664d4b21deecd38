"""How fast a video becomes clips, on one core, and how much memory that takes. Prints tables.

    uv run python benchmarks/collect.py
    uv run python benchmarks/collect.py --memory
    uv run python benchmarks/collect.py --video FILE

The video is made here: 720p at 25 frames a second, scikit-image's portrait panned over, cut every 8 s, with noise as of a
camera; with ``--memory`` that minute is repeated to 5 and to 60 minutes without encoding it anew. Speed is seconds of video
by seconds of processor time of one thread, at the default settings.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from selfcure.collect.looks import Looks
from selfcure.collect.scanning import _frames, _picture, scan_video
from selfcure.collect.settings import ClipSettings
from selfcure.collect.shots import SIDE, Shots
from selfcure.faces.detection import Detector, build_detector

SIZE, FPS, SHOT_SEC, MINUTE_SEC = (1280, 720), 25, 8, 60


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--video", type=Path, help="measure this one instead")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="peak memory over 5 and 60 minutes instead")
    parser.add_argument("--one-memory", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one_memory:
        peak_memory(arguments.one_memory)
        return
    with tempfile.TemporaryDirectory() as folder:
        video = arguments.video or make_minute(Path(folder, "minute.mp4"))
        if not arguments.memory:
            speed(video, arguments.repeats)
            return
        print(
            "| minutes | clips | tracks | peak memory | × real time |\n| --- | --- | --- | --- | --- |",
            flush=True,
        )
        for minutes in (5, 60):
            long = repeat(video, minutes, Path(folder, f"{minutes}.mp4"))
            subprocess.run([sys.executable, __file__, "--one-memory", str(long)], check=True)


def speed(video: Path, repeats: int) -> None:
    """Whole scans, then what each part of one takes alone."""
    settings = ClipSettings()
    detector = build_detector("mtcnn", min_face_px=settings.min_face_px, min_score=settings.min_score)
    detector.detect([np.zeros((360, 640, 3), np.uint8)])  # warm
    print(f"{video.stat().st_size * 8 / duration(video) / 1e6:.1f} Mbit/s\n")
    print("| what | × real time, each of the repeats |\n| --- | --- |")
    parts = {
        "all": lambda: scan_video(video, settings, detector),
        "decoding alone": lambda: [None for _ in _frames(video)],
        "decoding, small pictures": lambda: small_pictures(video),
        "decoding, small pictures, shots and looks": lambda: shots_and_looks(video),
    }
    for name, work in parts.items():
        rates = []
        for _ in range(repeats):
            begun = time.process_time()
            work()
            rates.append(duration(video) / (time.process_time() - begun))
        print(f"| {name} | {', '.join(f'{rate:.1f}' for rate in rates)} |", flush=True)
    print(f"| {one_batch(video, detector)} |")


def small_pictures(video: Path) -> None:
    for _, frame in _frames(video):
        _picture(frame, *SIDE, "bgr24")


def shots_and_looks(video: Path) -> None:
    shots, looks = Shots(), Looks()
    for time_sec, frame in _frames(video):
        picture = _picture(frame, *SIDE, "bgr24")
        shots.add(picture, time_sec)
        looks.add(time_sec, picture)


def one_batch(video: Path, detector: Detector) -> str:
    frames = [
        _picture(frame, 640, 360, "rgb24") for k, (_, frame) in enumerate(_frames(video)) if k % 50 == 0
    ]
    begun = time.process_time()
    found = detector.detect(frames)
    each = (time.process_time() - begun) / len(frames)
    return f"detector, a frame of 640 × 360 | {1000 * each:.0f} ms, {sum(map(len, found))} faces in {len(frames)} frames"


def peak_memory(video: Path) -> None:
    settings = ClipSettings()
    detector = build_detector("mtcnn", min_face_px=settings.min_face_px, min_score=settings.min_score)
    begun = time.process_time()
    found = scan_video(video, settings, detector)
    rate = found.duration_sec / (time.process_time() - begun)
    tracks = sum(len(clip.tracks) for clip in found.clips)
    print(
        f"| {found.duration_sec / 60:.0f} | {len(found.clips)} | {tracks} | {peak_mib():,.0f} MiB | {rate:.1f} |",
        flush=True,
    )


def peak_mib() -> float:
    """Of this process. Linux passes ``ru_maxrss`` on from the parent, which has made the video, so not that."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def pictures() -> Iterator[np.ndarray]:
    """A minute of them."""
    from skimage import data

    rng = np.random.default_rng(0)
    noise = rng.integers(-6, 7, (16, SIZE[1], SIZE[0], 1), np.int16)
    for shot in range(-(-MINUTE_SEC // SHOT_SEC)):
        portrait = Image.fromarray(data.astronaut()).resize((1640 + 40 * shot,) * 2, Image.Resampling.BICUBIC)
        whole = np.asarray(portrait if shot % 2 else portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        if shot % 3 == 2:
            whole = np.asarray(Image.fromarray(data.coffee()).resize((1700, 1200)))  # no face
        for k in range(min(SHOT_SEC, MINUTE_SEC - shot * SHOT_SEC) * FPS):
            x, y = round(180 + 150 * np.sin(k / 60)), round(100 + 80 * np.cos(k / 45))
            part = whole[y : y + SIZE[1], x : x + SIZE[0]].astype(np.int16) + noise[k % 16]
            yield np.clip(part, 0, 255).astype(np.uint8)


def make_minute(path: Path) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.options = {"crf": "21", "preset": "veryfast"}
        for pixels in pictures():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def repeat(path: Path, minutes: int, target: Path) -> Path:
    """The same packets again and again."""
    import av

    with av.open(str(target), "w") as out:
        with av.open(str(path)) as container:
            stream = out.add_stream_from_template(container.streams.video[0])
        for minute in range(minutes):
            with av.open(str(path)) as container:
                for packet in container.demux(video=0):
                    if packet.dts is None or packet.pts is None or packet.time_base is None:
                        continue
                    shift = round(minute * MINUTE_SEC / packet.time_base)
                    packet.dts, packet.pts, packet.stream = packet.dts + shift, packet.pts + shift, stream
                    out.mux(packet)
    return target


def duration(video: Path) -> float:
    import av

    with av.open(str(video)) as container:
        return (container.duration or 0) / 1e6


if __name__ == "__main__":
    main()
