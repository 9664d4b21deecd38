"""Batches of images on their way to the device, one ahead of the training that waits for them."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from selfcure.data.images import ImageStore


def load_batches(
    images: ImageStore, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """For every (rows, part) the rows and the images of the part [b, 3, S, S] uint8 on ``device``.

    Images that lie decoded where they are needed are only picked. Others are decoded, or picked from the host's memory,
    and copied while the device still computes the batch before.
    """
    if images.cached and images.device == device:
        # No thread: beside the network's own team a second one costs more than it saves.
        yield from ((rows, images.batch(part)) for rows, part in batches)
        return
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def load(part: Tensor) -> tuple[Tensor, "torch.cuda.Event | None"]:
        picked = images.batch(part)
        if stream is None:
            return picked, None
        with torch.cuda.stream(stream):
            picked = picked.pin_memory().to(device, non_blocking=True)
            return picked, stream.record_event()

    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as ahead:
        waiting = iter(batches)
        first = next(waiting, None)
        coming = first and (first[0], ahead.submit(load, first[1]))
        while coming:
            rows, future = coming
            picked, copied = future.result()
            following = next(waiting, None)
            coming = following and (following[0], ahead.submit(load, following[1]))
            if copied is not None:
                current = torch.cuda.current_stream(device)
                current.wait_event(copied)
                picked.record_stream(current)
            yield rows, picked
