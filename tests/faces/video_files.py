"""Videos made for the tests."""

from pathlib import Path

import numpy as np


def write_video(
    path: Path, frames: list[np.ndarray], *, fps: int = 10, gop: int = 12, **options: str
) -> Path:
    """An H.264 video without B-frames of [H, W, 3] uint8 frames."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "12", "preset": "ultrafast", "g": str(gop), **options}
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path
