"""How close the engine comes to the bare network, what SCN costs over plain training, and how the public code's way of
loading compares. Prints a table.

    uv run python benchmarks/throughput.py

The bound: a loop of forward, backward and step over batches that lie ready in memory as normalised floats, with the
same backbone, batch, threads, memory format and precision. What the engine adds (picking, augmenting and normalising
images, evidence per sample, label book) can only cost. The public code's loop decodes, resizes and augments sample by
sample in workers (public_loading.py), with the same network, batch and optimiser. Each pair of measurements is taken back to back, in alternating
order; the figures are the median and the range of the pairs' ratios.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from public_loading import loader
from torch import nn

from selfcure.data.folder import Dataset
from selfcure.data.synthetic_folder import write_synthetic
from selfcure.data.transforms import AUGMENTATIONS, Draws
from selfcure.runs import RunFolder
from selfcure.training.api import build_method, load_images
from selfcure.training.config import resolve
from selfcure.training.engine import Engine
from selfcure.training.interrupt import StopRequest
from selfcure.training.reporter import Reporter
from selfcure.training.workers import Workers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--workers", type=int, default=4, help="of the public code's way of loading")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--size", type=int, help="only the rows of this size in pixels")
    arguments = parser.parse_args()
    print(
        f"{arguments.backbone}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32, channels-last"
    )
    print(
        "| what | size | batch | images an epoch | median ratio | lowest | highest | images/s of the other |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for size_px, batch, num in ((48, 128, 512), (224, 32, 128)):
            if arguments.size not in (None, size_px):
                continue
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
            disk = engine(
                data,
                "plain",
                arguments.backbone,
                size_px,
                batch,
                Path(folder) / f"disk-{size_px}",
                max_cache_gb=0,
            )
            public = public_epoch(engines["plain"], num_workers=arguments.workers)
            for name, first, second in (
                ("images/s, plain epoch ÷ bare loop", bare, plain),
                ("seconds, SCN epoch ÷ plain epoch", scn, plain),
                ("seconds, decoded batch by batch ÷ decoded once", epoch_of(disk), plain),
                ("images/s, plain epoch ÷ public loading", public, plain),
                ("images/s, loading alone, one thread ÷ public's, one worker", *loading_alone(disk)),
            ):
                if arguments.only not in name:
                    continue
                ratios, rate = compare(first, second, num, arguments.pairs)
                print(
                    f"| {name} | {size_px} px | {batch} | {num} | {statistics.median(ratios):.3f} | {min(ratios):.3f} | "
                    f"{max(ratios):.3f} | {rate:.0f} |",
                    flush=True,
                )


def engine(
    data: Dataset,
    method: str,
    backbone: str,
    size_px: int,
    batch: int,
    out: Path,
    device: torch.device | None = None,
    **more: Any,
) -> Engine:
    """An engine on ``data`` whose epochs relabel from the first on, so that SCN pays for all it does."""
    device = device or torch.device("cpu")
    settings = {"relabel_epoch": 1} if method == "scn" else {}
    config = resolve(
        method,
        "paper",
        backbone=backbone,
        image_size_px=size_px,
        batch_size=batch,
        learning_rate=1e-4,
        **settings,
        **more,
    )
    split = data.split("train")
    return Engine(
        config.train,
        build_method(config, len(data.class_names)),
        split=split,
        images=load_images(split, config.train, Reporter(), device),
        validation=None,
        run=RunFolder.create(
            out, {"config": config.as_dict(), "class_names": data.class_names}, split.ids, split.labels
        ),
        device=device,
        workers=Workers(),
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
    config = engine.config
    rows = torch.arange(len(engine.split)).split(config.batch_size)
    batches = [
        AUGMENTATIONS["none"](engine.images.batch(r), Draws(0, len(r)), config.mean, config.std) for r in rows
    ]
    labels = [torch.from_numpy(engine.split.labels)[r].to(engine.device) for r in rows]

    def run() -> None:
        engine.method.module.train()
        for images, targets in zip(batches, labels, strict=True):
            bare_step(engine, images, targets)

    return run


def public_epoch(engine: Engine, *, num_workers: int) -> Callable[[], None]:
    """The same network and optimiser, fed by the public code's way of loading."""
    config = engine.config
    batches = loader(
        engine.split, config.image_size_px, batch_size=config.batch_size, num_workers=num_workers
    )

    def run() -> None:
        engine.method.module.train()
        for images, targets, _ in batches:
            bare_step(engine, images.to(engine.device, non_blocking=True), targets.to(engine.device))

    return run


def loading_alone(engine: Engine) -> tuple[Callable[[], None], Callable[[], None]]:
    """Decoding, resizing, augmenting and normalising without a network, no image kept: the public code's and the engine's."""
    config = engine.config
    public = loader(engine.split, config.image_size_px, batch_size=config.batch_size, num_workers=0)
    rows = torch.arange(len(engine.split)).split(config.batch_size)

    def run_public() -> None:
        for _ in public:
            pass

    def run() -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        for part in rows:
            AUGMENTATIONS["reference"](
                engine.images.batch(part), Draws(0, len(part)), config.mean, config.std
            )
        torch.set_num_threads(threads)

    return run_public, run


def bare_step(engine: Engine, images: torch.Tensor, targets: torch.Tensor) -> None:
    loss = nn.functional.cross_entropy(engine.network(images)["logits"], targets)
    engine.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    engine.optimizer.step()


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
