"""What a run folder says of its training, and whether another call fits it."""

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from selfcure.data.folder import Dataset, Split
from selfcure.data.images import are_grey
from selfcure.data.vocabulary import listed
from selfcure.errors import SelfcureError
from selfcure.runs import RunFolder
from selfcure.training.config import ResolvedConfig, TrainConfig, resolve
from selfcure.training.workers import Workers

_ENVIRONMENT = ("torch", "torchvision", "timm", "numpy", "pillow")


def run_document(
    config: ResolvedConfig, dataset: Dataset, split: Split, device: torch.device, workers: Workers
) -> dict[str, Any]:
    """What ``config.json`` of a new run folder says: settings, classes, dataset and environment, as plain JSON."""
    return {
        "format": 1,
        "config": config.as_dict(),
        "class_names": list(dataset.class_names),
        "dataset": {
            "path": str(dataset.path.absolute()),
            "split": split.name,
            "num_samples": len(split),
            "fingerprint": split.fingerprint(),
            "grey": are_grey(split.images()),
            **clips_used(config.train, split),
        },
        "environment": {
            "selfcure": version("selfcure"),
            "python": platform.python_version(),
            **{name: version(name) for name in _ENVIRONMENT},
            "machine": platform.machine(),
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            "num_threads": torch.get_num_threads(),
            "num_processes": workers.size,
        },
    }


def clips_used(config: TrainConfig, split: Split) -> dict[str, str]:
    """A hash of which frames are of one clip, where training asks for that; the set's fingerprint knows nothing of it."""
    if not config.frames_per_clip and config.unit == "sample":
        return {}
    return {"clips": hashlib.sha256(split.clips.astype("<i8").tobytes()).hexdigest()[:16]}


def check_settings(run: RunFolder, config: ResolvedConfig, given: Mapping[str, Any]) -> None:
    """Settings given again must be those of the run.

    Raises:
        SelfcureError: some are not; names each.
    """
    saved = config.as_dict()
    asked = {name: value for name, value in given.items() if value is not None}
    if str(asked.get("micro_batch_size")) == "0":  # the run has settled it
        del asked["micro_batch_size"]
    names = {k: asked.pop(k, saved[k]) for k in ("method", "recipe")}
    if names == {k: saved[k] for k in names}:
        wanted = resolve(**names, **asked).as_dict()
        names |= {name: wanted[name] for name in asked}
    different = [
        f"{name}: {saved.get(name)} there, {value} here"
        for name, value in names.items()
        if saved.get(name) != value
    ]
    if different:
        raise SelfcureError(
            f"{run.path} was begun with other settings ({'; '.join(different)}); leave them out to resume, or choose "
            "another --out"
        )


def check_dataset(run: RunFolder, dataset: Dataset, split: Split, config: TrainConfig) -> None:
    """Classes, samples, labels and clips must be those that the run was begun on.

    Raises:
        SelfcureError: they are not.
    """
    saved = run.document["dataset"]
    if tuple(run.class_names) != dataset.class_names:
        raise SelfcureError(
            f"{run.path} was begun on the classes {listed(run.class_names)}; {dataset.path} has "
            f"{listed(dataset.class_names)}"
        )
    if saved["fingerprint"] != split.fingerprint():
        raise SelfcureError(
            f"{run.path} was begun on {saved['path']} with other samples or labels than {dataset.path} has now"
        )
    clips = clips_used(config, split)
    if any(saved.get(name, there) != there for name, there in clips.items()):
        raise SelfcureError(
            f"{run.path} was begun on {saved['path']} with other clips than {dataset.path} has now"
        )
