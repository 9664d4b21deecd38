"""Training images per second on a GPU, beside what the hardware allows. Prints a table.

    python benchmarks/gpu.py            # ResNet-18 at 224 px, bf16, batches of 256

The bound, from rates measured here: arithmetic at the rate of a large bf16 matrix product, and memory traffic at the rate
of a large copy. Traffic is what eager kernels must move for one image when every layer reads its inputs and writes its
outputs once (forward), and reads both and the gradient and writes a gradient (backward); batch norm reads twice for its
statistics. Then: the network alone on one batch that lies on the GPU; the engine with its images on the GPU, in the
host's memory, and decoded batch by batch; and the public code's way of loading with 4 and 16 workers in front of the same
network. Busy: seconds that the network alone needs for as many batches ÷ seconds of the epoch; and what the driver's
utilisation counter said meanwhile. Every figure is the median of some epochs, taken in turn.
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from throughput import bare_step, engine, epoch_of, public_epoch
from torch import nn

from selfcure.data.folder import Dataset
from selfcure.data.synthetic_folder import write_synthetic
from selfcure.training.engine import Engine


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num", type=int, default=8192, help="images an epoch")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--compile", action="store_true", help="also through torch.compile")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda":
        device = torch.device("cuda", 0)
        print(f"{torch.cuda.get_device_name()}, {os.cpu_count()} CPU cores, torch {torch.__version__}")
    copy, matmul = copy_rate(device), matmul_rate(device)
    print(
        f"copy {copy / 1e9:.0f} GB/s (bytes read and written), bf16 matrix product {matmul / 1e12:.0f} TFLOP/s\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, device, Path(folder), copy, matmul)


def measure(
    arguments: argparse.Namespace, device: torch.device, folder: Path, copy: float, matmul: float
) -> None:
    # The size of RAF-DB's aligned faces.
    data = write_synthetic(folder / "data", arguments.num, num_validation=0, size_px=100)

    def make(name: str, **more: object) -> Engine:
        return engine(
            data,
            "plain",
            arguments.backbone,
            arguments.size,
            arguments.batch,
            folder / name,
            device,
            precision="bf16",
            **more,
        )

    resident = make("resident")
    traffic, flops = per_image(resident.method.module, arguments.size)
    print(f"per image {traffic / 1e6:.0f} MB of eager traffic and {flops / 1e9:.1f} GFLOP: at most "
          f"{copy / traffic:.0f} images/s by memory, {matmul / flops:.0f} by arithmetic\n")  # fmt: skip
    host = make("host")
    host.images._cache = host.images._cache.cpu()
    ways: dict[str, Callable[[], None]] = {
        "network alone": alone(resident, arguments.num),
        "engine, images on the GPU": epoch_of(resident),
        "engine, images in the host's memory": epoch_of(host),
        "engine, decoded batch by batch": epoch_of(make("disk", max_cache_gb=0)),
        "SCN in the engine": epoch_of(scn(arguments, device, folder, data)),
        "public loading, 4 workers": public_epoch(resident, num_workers=4),
        "public loading, 16 workers": public_epoch(resident, num_workers=16),
    }
    if arguments.compile:
        ways["engine, compiled"] = epoch_of(make("compiled", compile=True))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    used: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(arguments.epochs + 1):
        for name, epoch in ways.items():
            with Utilization(device) as utilization:
                start = time.perf_counter()
                epoch()
                wait(device)
                took = time.perf_counter() - start
            if turn:  # the first warms up
                seconds[name].append(took)
                used[name].append(utilization.mean())
    best = statistics.median(seconds["network alone"])
    public = statistics.median(seconds["public loading, 4 workers"])
    print(
        "| what | images/s | lowest | highest | ÷ bound | ÷ network alone | ÷ public loading | driver: busy |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, times in seconds.items():
        middle = statistics.median(times)
        rate = arguments.num / middle
        print(
            f"| {name} | {rate:.0f} | {arguments.num / max(times):.0f} | {arguments.num / min(times):.0f} | "
            f"{rate * traffic / copy:.2f} | {best / middle:.2f} | {public / middle:.2f} | "
            f"{statistics.median(used[name]):.0f} % |"
        )


def scn(arguments: argparse.Namespace, device: torch.device, folder: Path, data: Dataset) -> Engine:
    return engine(
        data,
        "scn",
        arguments.backbone,
        arguments.size,
        arguments.batch,
        folder / "scn",
        device,
        precision="bf16",
    )


def alone(engine: Engine, num: int) -> Callable[[], None]:
    """Forward, backward and step on one batch that lies ready."""
    size, batch = engine.config.image_size_px, engine.config.batch_size
    images = torch.randn(batch, 3, size, size, device=engine.device)
    targets = torch.randint(8, (batch,), device=engine.device)

    def run() -> None:
        engine.method.module.train()
        for _ in range(-(-num // batch)):
            bare_step(engine, images, targets)

    return run


def per_image(module: nn.Module, size: int) -> tuple[float, float]:
    """Bytes that eager bf16 kernels move, and floating-point operations, for one image forward and backward."""
    traffic = flops = 0.0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal traffic, flops
        into, out = 2 * inputs[0][0].numel(), 2 * output[0].numel()
        match layer:
            case nn.Conv2d() | nn.Linear():
                macs = output[0].numel() * layer.weight[0].numel()
                flops += 6 * macs  # one pass forward, two backward
                traffic += (into + out) + 2 * (into + out)
            case nn.BatchNorm2d():
                traffic += 3 * into + 5 * into
            case nn.ReLU():
                traffic += 2 * into + 3 * into
            case nn.MaxPool2d() | nn.AdaptiveAvgPool2d():
                traffic += (into + out) + (into + out)

    layers = [layer for layer in module.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    parameter = next(module.parameters())
    with torch.no_grad():
        module.eval()(parameter.new_zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return traffic, flops


def copy_rate(device: torch.device) -> float:
    source = torch.empty(2**30 if device.type == "cuda" else 2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / fastest(lambda: target.copy_(source), device)


def matmul_rate(device: torch.device) -> float:
    side = 8192 if device.type == "cuda" else 512
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / fastest(lambda: a @ b, device)


def fastest(call: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(8):
        wait(device)
        start = time.perf_counter()
        for _ in range(4):
            call()
        wait(device)
        times.append((time.perf_counter() - start) / 4)
    return min(times)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


class Utilization:
    """Mean of the driver's utilisation counter over a stretch: percent of the time in which a kernel ran."""

    def __init__(self, device: torch.device):
        self._samples: list[float] = []
        self._done = threading.Event()
        self._gpu = device.type == "cuda"

    def __enter__(self) -> "Utilization":
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def mean(self) -> float:
        return statistics.fmean(self._samples) if self._samples else float("nan")

    def _watch(self) -> None:
        with suppress(ImportError):  # nvidia-ml-py is not among our dependencies
            while self._gpu and not self._done.wait(0.1):
                self._samples.append(torch.cuda.utilization())


if __name__ == "__main__":
    main()
