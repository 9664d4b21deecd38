"""How long cells will take, from a few training steps here."""

import time
from collections.abc import Sequence
from typing import Any

import torch

from selfcure.benchmark.cells import Bench, Cell
from selfcure.core import Batch, TrainingSet
from selfcure.data.folder import Dataset
from selfcure.training.api import build_method, pick_device
from selfcure.training.config import ResolvedConfig, resolve
from selfcure.training.network import Network

_NUM_CLASSES = 8
_BATCH = 32
_STEPS = 2
_SMALL_PX = 48
_SMALL_BATCH = 16


def estimate(bench: Bench, cells: Sequence[Cell], *, jobs: int) -> dict[str, Any]:
    """Seconds that the cells will take here, and how that was found.

    Plain training is timed at the size and with the network at hand, each method against it on small images; decoding,
    evaluation and passes for a method's own bookkeeping are not counted. With several jobs it is assumed that they
    share what one has: on a GPU that one cell does not fill they are faster.
    """
    speeds: dict[tuple[Any, ...], float] = {}
    ratios: dict[tuple[str, str, str], float] = {}
    total = 0.0
    for cell in cells:
        if cell.not_run:
            continue
        config = resolve(cell.method, cell.recipe, **cell.settings)
        train = config.train
        key = (train.backbone, train.image_size_px, train.precision, train.device)
        if key not in speeds:
            plain = {"backbone": train.backbone, "image_size_px": train.image_size_px}
            plain |= {"precision": train.precision, "device": train.device}
            steps = _Steps(resolve("plain", "paper", **plain), _BATCH)
            speeds[key] = _BATCH / min(steps.seconds() for _ in range(1 + _STEPS))
        ratio_key = (cell.method, cell.recipe, train.backbone)
        if ratio_key not in ratios:
            ratios[ratio_key] = _ratio(cell, train.backbone, train.device)
        images = _num_images(bench, cell) * train.num_epochs
        total += images * ratios[ratio_key] / speeds[key]
    rows = [
        f"plain training runs at {speed:,.0f} images/s here ({key[0]}, {key[1]} px)"
        for key, speed in speeds.items()
    ]
    dear = [f"{method} {ratio:.1f}" for (method, _, _), ratio in ratios.items() if ratio > 1.15]
    if dear:
        rows.append(f"costlier methods in their first epoch, plain = 1: {', '.join(dict.fromkeys(dear))}")
    hours = f"{total / 3600:.1f} hours" if total > 5400 else f"{total / 60:.0f} minutes"
    rows.append(
        f"about {hours} for what is left on this machine, whatever the number of jobs: an estimate from a few steps on "
        "random images, without decoding and evaluation"
    )
    return {"seconds": round(total, 3), "jobs": jobs, "lines": rows}


def _num_images(bench: Bench, cell: Cell) -> int:
    """Training images of a cell's dataset, which need not be there yet."""
    sizes: dict[str, int] = {}
    for data in cell.data.steps():
        if data.kind == "source":
            sizes[data.name] = Dataset(bench.data(data)).splits["train"]
        elif data.kind == "sample":
            sizes[data.name] = data.options["num"]
        else:
            sizes[data.name] = sum(sizes[parent.name] for parent in data.parents)
    return sizes[cell.data.name]


def _ratio(cell: Cell, backbone: str, device: str) -> float:
    """How many times plain training's step one of the method takes, in its first epoch."""
    if cell.method == "plain":
        return 1.0
    small = {"image_size_px": _SMALL_PX, "backbone": backbone, "device": device}
    own = {name: value for name, value in cell.settings.items() if name not in small}
    configs = resolve("plain", "paper", **small), resolve(cell.method, cell.recipe, **own, **small)
    plain, method = (_Steps(config, _SMALL_BATCH) for config in configs)
    # In turn, so that whatever else the machine does slows both down.
    times = [(plain.seconds(), method.seconds()) for _ in range(1 + _STEPS)]
    return min(theirs for _, theirs in times) / min(ours for ours, _ in times)


class _Steps:
    """Training steps on random images, forward and backward."""

    def __init__(self, config: ResolvedConfig, batch_size: int):
        train = config.train
        self._device = pick_device(train.device)
        self._method = build_method(config, _NUM_CLASSES)
        self._network = Network(self._method.module, train, self._device, may_compile=False)
        generator = torch.Generator().manual_seed(0)
        size = train.image_size_px
        images = torch.randn(batch_size, 3, size, size, generator=generator)
        labels = torch.arange(batch_size) % _NUM_CLASSES
        self._method.start(TrainingSet(labels, _NUM_CLASSES, train.num_epochs))
        self._method.module.train()
        self._batch = Batch(
            ids=torch.arange(batch_size).to(self._device),
            images=images.to(self._device),
            given_labels=labels.to(self._device),
            original_labels=labels.to(self._device),
            epoch=1,
            part=slice(None),
        )

    def seconds(self) -> float:
        """What one step takes; the first one takes longer."""
        started = time.perf_counter()
        self._method.step(self._batch, self._network).loss.backward()
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started
