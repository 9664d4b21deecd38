"""How close the engine comes to the bare network, and what SCN costs over plain training. Prints a table.

    uv run python benchmarks/throughput.py

The bound: a loop of forward, backward and step over batches that lie ready in memory as normalised floats, with the
same backbone, batch, threads, memory format and precision. What the engine adds (picking, augmenting and normalising
images, evidence per sample, label book) can only cost. Each pair of measurements is taken back to back, in alternating
order; the figures are the median and the range of the pairs' ratios.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from selfcure.data.folder import Dataset
from selfcure.data.images import ImageStore
from selfcure.data.synthetic_folder import write_synthetic
from selfcure.data.transforms import AUGMENTATIONS
from selfcure.runs import RunFolder
from selfcure.training.api import build_method
from selfcure.training.config import resolve
from selfcure.training.engine import Engine
from selfcure.training.interrupt import StopRequest
from selfcure.training.reporter import Reporter


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--backbone", default="resnet18")
    arguments = parser.parse_args()
    print(
        f"{arguments.backbone}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32, channels-last"
    )
    print(
        "| what | size | batch | images an epoch | median ratio | lowest | highest | images/s of the bare loop or SCN |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for size_px, batch, num in ((48, 128, 512), (224, 32, 64)):
            data = write_synthetic(
                Path(folder) / f"data-{size_px}", num, num_validation=0, size_px=min(size_px, 128)
            )
            engines = {
                method: engine(
                    data, method, arguments.backbone, size_px, batch, Path(folder) / f"{method}-{size_px}"
                )
                for method in ("plain", "scn")
            }
            plain, scn = (epoch_of(engines[method]) for method in ("plain", "scn"))
            bare = bare_epoch(engines["plain"])
            for name, first, second in (
                ("images/s, plain epoch ÷ bare loop", bare, plain),
                ("seconds, SCN epoch ÷ plain epoch", scn, plain),
            ):
                ratios, rate = compare(first, second, num, arguments.pairs)
                print(
                    f"| {name} | {size_px} px | {batch} | {num} | {statistics.median(ratios):.3f} | {min(ratios):.3f} | "
                    f"{max(ratios):.3f} | {rate:.0f} |",
                    flush=True,
                )


def engine(data: Dataset, method: str, backbone: str, size_px: int, batch: int, out: Path) -> Engine:
    """An engine on ``data`` whose epochs relabel from the first on, so that SCN pays for all it does."""
    settings = {"relabel_epoch": 1} if method == "scn" else {}
    config = resolve(
        method,
        "paper",
        backbone=backbone,
        image_size_px=size_px,
        batch_size=batch,
        learning_rate=1e-4,
        **settings,
    )
    split = data.split("train")
    return Engine(
        config.train,
        build_method(config, len(data.class_names)),
        split=split,
        images=ImageStore(split.encoded_images, size_px),
        validation=None,
        run=RunFolder.create(
            out, {"config": config.as_dict(), "class_names": data.class_names}, split.ids, split.labels
        ),
        device=torch.device("cpu"),
        reporter=Reporter(),
    )


def epoch_of(engine: Engine) -> Callable[[], None]:
    """One epoch of the engine's training: loading, augmentation, step, evidence, label book."""

    def run() -> None:
        engine.train_epoch(StopRequest())
        engine.book.close_epoch(engine.epoch)
        engine.epoch, engine.next_batch = engine.epoch + 1, 0

    return run


def bare_epoch(engine: Engine) -> Callable[[], None]:
    """Forward, backward and step of the same network and optimiser over ready batches."""
    module, optimizer, config = engine.method.module, engine.optimizer, engine.config
    rows = torch.arange(len(engine.split)).split(config.batch_size)
    batches = [
        AUGMENTATIONS["none"](engine.images.batch(r), 0, config.mean, config.std).contiguous(
            memory_format=torch.channels_last
        )
        for r in rows
    ]
    labels = [torch.from_numpy(engine.split.labels)[r] for r in rows]

    def run() -> None:
        module.train()
        for images, targets in zip(batches, labels, strict=True):
            loss = nn.functional.cross_entropy(module(images)["logits"], targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return run


def compare(
    first: Callable[[], None], second: Callable[[], None], num: int, pairs: int
) -> tuple[list[float], float]:
    """Seconds of ``first`` ÷ seconds of ``second`` for each pair, and the images per second of ``first``."""
    first(), second()  # warm up
    ratios, times = [], []
    for pair in range(pairs):
        seconds = {}
        for function in (first, second) if pair % 2 else (second, first):
            start = time.perf_counter()
            function()
            seconds[function] = time.perf_counter() - start
        times.append(seconds[first])
        ratios.append(seconds[first] / seconds[second])
    return ratios, num / statistics.median(times)


if __name__ == "__main__":
    main()
