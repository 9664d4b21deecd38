"""What an exported file saves over eager torch, and that SCN costs nothing: ResNet-18 on one thread of the CPU.

Pairs are taken back to back in one run, in turn the one and the other first; the ratio of a pair is slow ÷ fast.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import numpy as np
import onnx
import torch

from selfcure.export.quantize import quantize
from selfcure.export.writing import write_onnx
from selfcure.predict.engines import OnnxEngine, OpenvinoEngine
from selfcure.predict.model_info import ModelInfo
from selfcure.predict.network import DeployedNetwork
from selfcure.training.api import build_method
from selfcure.training.config import resolve

CLASSES = tuple("abcdefgh")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bound is missed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = arguments.size
    info = ModelInfo(
        class_names=CLASSES,
        image_size_px=size,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        method="",
        recipe="",
        backbone=arguments.backbone,
        dataset="",
    )
    rng = np.random.default_rng(0)
    batches = {num: rng.normal(size=(num, 3, size, size)).astype(np.float32) for num in (1, 32)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        networks = {}
        for method in ("plain", "scn"):
            config = resolve(method, "paper", backbone=arguments.backbone, image_size_px=size)
            networks[method] = DeployedNetwork(
                build_method(config, len(CLASSES)).module, importance=False
            ).eval()
            write_onnx(networks[method], info, folder / f"{method}.onnx")
        images = [rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(16)]
        quantize(folder / "plain.onnx", info, images, folder / "int8.onnx")
        eager = eager_of(networks["plain"], torch.contiguous_format)
        channels_last = eager_of(networks["scn"], torch.channels_last)
        engines = {
            name: OnnxEngine(folder / f"{name}.onnx", device="cpu", num_threads=1).run
            for name in ("plain", "scn", "int8")
        }
        openvino = OpenvinoEngine(folder / "plain.onnx", num_threads=1).run
        same = nodes(folder / "plain.onnx") == nodes(folder / "scn.onnx")
    print(f"{arguments.backbone}, {size} px, 1 thread, torch {torch.__version__}, {arguments.pairs} pairs\n")
    print("| slow | fast | batch | median ratio | lowest | highest | slow, ms | fast, ms | bound |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    missed = []
    for slow, fast, num, bound, functions in (
        ("eager torch", "onnxruntime", 1, 1.8, (eager, engines["plain"])),
        ("eager torch", "onnxruntime", 32, 1.25, (eager, engines["plain"])),
        ("eager torch", "OpenVINO, bf16", 1, 3.0, (eager, openvino)),
        ("eager torch", "OpenVINO, bf16", 32, None, (eager, openvino)),
        ("eager torch", "onnxruntime, int8", 1, None, (eager, engines["int8"])),
        ("eager torch", "torch, channels-last", 1, None, (eager, channels_last)),
        ("onnxruntime, SCN", "onnxruntime, plain", 1, None, (engines["scn"], engines["plain"])),
    ):
        pairs = max(3, arguments.pairs if num == 1 else arguments.pairs // 5)
        times = measure(*functions, batches[num], pairs)
        ratios = [one / other for one, other in times]
        median = statistics.median(ratios)
        slow_ms, fast_ms = (1000 * statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"| {slow} | {fast} | {num} | {median:.2f} | {min(ratios):.2f} | {max(ratios):.2f} | {slow_ms:.1f} | "
            f"{fast_ms:.1f} | {'' if bound is None else f'≥ {bound}'} |",
            flush=True,
        )
        if bound is not None and median < bound:
            missed.append(f"{fast} at batch {num}: {median:.2f} < {bound}")
    print(
        f"\nSCN's exported graph has {'the same nodes as' if same else 'OTHER NODES than'} the plain network's."
    )
    if not same:
        missed.append("nodes")
    print("all bounds hold" if not missed else f"missed: {'; '.join(missed)}")
    if arguments.check and missed:
        raise SystemExit(1)


def eager_of(network: DeployedNetwork, layout: torch.memory_format) -> Callable[[np.ndarray], object]:
    module = network.to(memory_format=layout)

    @torch.inference_mode()
    def run(images: np.ndarray) -> object:
        return module(torch.from_numpy(images).contiguous(memory_format=layout)).numpy()

    return run


def measure(
    slow: Callable[[np.ndarray], object], fast: Callable[[np.ndarray], object], images: np.ndarray, pairs: int
) -> list[tuple[float, float]]:
    """Seconds of both, pair by pair."""
    for _ in range(2):
        slow(images), fast(images)
    times = []
    for index in range(pairs):
        taken = {}
        for function in (slow, fast) if index % 2 == 0 else (fast, slow):
            start = time.perf_counter()
            function(images)
            taken[function] = time.perf_counter() - start
        times.append((taken[slow], taken[fast]))
    return times


def nodes(path: Path) -> list[tuple]:
    """Operation, number of inputs and attributes of each node."""
    return [(n.op_type, len(n.input), sorted(map(str, n.attribute))) for n in onnx.load(path).graph.node]


if __name__ == "__main__":
    main()
