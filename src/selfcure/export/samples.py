"""The images an export is checked on and, for int8, calibrated with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from selfcure.data.folder import UNKNOWN, Dataset, Split
from selfcure.data.vocabulary import listed
from selfcure.errors import SelfcureError
from selfcure.faces.photos import read_upright
from selfcure.predict.model_info import ModelInfo
from selfcure.runs import RunFolder


@dataclass(frozen=True, eq=False)
class Samples:
    """Images, and where they come from."""

    origin: str
    """In words, for the report."""
    images: Sequence[np.ndarray]
    """[H, W, 3] uint8 RGB each."""
    labels: np.ndarray | None
    """[N] the true labels where they are known, else the given ones; None: generated images."""


def open_data(run: RunFolder, data: Path | None) -> Dataset | None:
    """The dataset folder to take images from: ``data``, else the run's own; None if that is gone.

    Raises:
        SelfcureError: ``data`` is none, or has other classes than the run.
    """
    if data is None:
        own = Path(run.document["dataset"]["path"])
        if not own.is_dir():
            return None
        data = own
    dataset = Dataset(data)
    if dataset.class_names != run.class_names:
        raise SelfcureError(
            f"{run.path} was trained on the classes {listed(run.class_names)}; {dataset.path} has "
            f"{listed(dataset.class_names)}; name a folder with the same ones as data"
        )
    return dataset


def check_samples(dataset: Dataset | None, info: ModelInfo, num: int) -> Samples:
    """Up to ``num`` validation images, else test or training images, else generated ones."""
    if dataset is not None:
        for name in ("validation", "test", "train"):
            if name in dataset.splits:
                return _drawn(dataset.split(name), num)
    rng = np.random.default_rng(0)
    size = info.image_size_px
    # Coarse blobs of colour: white noise alone would reach few of the network's states.
    coarse = rng.integers(0, 256, (min(num, 64), 6, 6, 3), dtype=np.uint8)
    images = [_stretched(image, size) for image in coarse]
    return Samples(f"{len(images)} generated images", images, None)


def calibration_samples(dataset: Dataset | None, num: int) -> Samples:
    """Up to ``num`` training images.

    Raises:
        SelfcureError: there is no dataset.
    """
    if dataset is None:
        raise SelfcureError(
            "int8 is calibrated on training images, and the run's dataset folder is gone; name one as data"
        )
    return _drawn(dataset.split("train"), num)


def _drawn(split: Split, num: int) -> Samples:
    rows = np.sort(np.random.default_rng(0).permutation(len(split))[:num])
    images = [read_upright(data) for data in split.images().read(rows.tolist())]
    true, given = split.true_labels[rows], split.labels[rows]
    name = {"train": "training"}.get(split.name, split.name)
    return Samples(
        f"{len(rows):,} {name} images of {split.dataset.path.name}",
        images,
        np.where(true == UNKNOWN, given, true),
    )


def _stretched(image: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
