"""What a run's network says of every image, worked out once: probabilities, neighbours and duplicates.

review/probs.npy           [N, K] float16, softmax of the unweighted logits; rows as in :mod:`selfcure.review.samples`
review/neighbours.npy      [N, M] int32, rows of the nearest images in feature space, nearest first
review/similarity.npy      [N, M] float16, their cosine similarity
review/duplicates.npy      [P, 2] int32, pairs of images that are the same or nearly so
review/prepared.json       what it was made of; written last
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from selfcure.data.folder import SPLITS, Dataset
from selfcure.errors import SelfcureError
from selfcure.review.duplicates import find_duplicates, fingerprint_images
from selfcure.runs import RunFolder

FOLDER = "review"
_DOCUMENT = "prepared.json"
_FORMAT = 1
_NUM_NEIGHBOURS = 12
_NUM_DIRECTIONS = 64
"""Features are reduced to so many principal directions before distances are measured."""
_QUERIES = 1024

Progress = Callable[[str, int, int], None]
"""Told what is being done, and how much of it is."""


@dataclass(frozen=True)
class Prepared:
    """What :func:`prepare` left, read from the disk as it is wanted."""

    probs: np.ndarray
    """[N, K] float16."""
    neighbours: np.ndarray
    """[N, M] int32."""
    similarity: np.ndarray
    """[N, M] float16 in [−1, 1]."""
    duplicates: np.ndarray
    """[P, 2] int32."""


def load_prepared(run: RunFolder, dataset: Dataset) -> Prepared | None:
    """What was prepared for this run and dataset; None where nothing was, or for others than these.

    Raises:
        SelfcureError: it is damaged.
    """
    folder = run.path / FOLDER
    if not (folder / _DOCUMENT).is_file():
        return None
    try:
        if json.loads((folder / _DOCUMENT).read_text(encoding="utf-8")) != _made_of(run, dataset):
            return None
        # Mapped, not read: 300,000 × 100 classes would be 60 MB of which a page shows a few rows.
        probs, neighbours, similarity, duplicates = (
            np.load(folder / f"{name}.npy", mmap_mode="r")
            for name in ("probs", "neighbours", "similarity", "duplicates")
        )
    except (OSError, ValueError, EOFError) as error:
        raise SelfcureError(f"{folder} is damaged ({error}); delete it and run --prepare again") from error
    num = sum(dataset.splits.values())
    if not len(probs) == len(neighbours) == len(similarity) == num:
        raise SelfcureError(f"{folder} is damaged (rows are missing); delete it and run --prepare again")
    return Prepared(probs, neighbours, similarity, duplicates)


def prepare(
    run: RunFolder, dataset: Dataset, *, device: str = "auto", progress: Progress | None = None
) -> Prepared:
    """Run the trained network over all splits, and keep what the review desk shows of it in the run folder.

    Interrupted, it begins again.

    Raises:
        SelfcureError: the run is not finished, or the disk does not take it.
    """
    tell = progress or (lambda what, done, total: None)
    probs, features = _network_outputs(run, dataset, device, tell)
    neighbours, similarity = nearest(features, _NUM_NEIGHBOURS, progress=partial(tell, "neighbours"))
    prints = np.concatenate(
        [
            fingerprint_images(dataset.split(name).images(), progress=partial(tell, "fingerprints"))
            for name in _splits(dataset)
        ]
    )
    arrays = {
        "probs": probs,
        "neighbours": neighbours,
        "similarity": similarity,
        "duplicates": find_duplicates(prints, neighbours),
    }
    folder, unfinished = run.path / FOLDER, run.path / (FOLDER + ".partial")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for name, array in arrays.items():
            np.save(unfinished / f"{name}.npy", array)
        (unfinished / _DOCUMENT).write_text(
            json.dumps(_made_of(run, dataset), indent=2) + "\n", encoding="utf-8"
        )
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unfinished, folder)
    except OSError as error:
        raise SelfcureError(f"cannot write {folder}: {error.strerror or error}") from error
    return Prepared(**arrays)


def nearest(
    features: np.ndarray, num: int, *, progress: Callable[[int, int], None] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The ``num`` nearest other rows of each row by cosine, after a reduction to principal directions.

    Args:
        features: [N, D].

    Returns:
        Rows [N, M] int32 nearest first, and cosine similarities [N, M] float16; M is at most N − 1.
    """
    import torch
    import torch.nn.functional as F

    num_samples = len(features)
    num = min(num, num_samples - 1)
    directions = F.normalize(torch.from_numpy(_reduced(features)), dim=1)  # [N, d]
    rows = np.empty((num_samples, num), np.int32)
    similarity = np.empty((num_samples, num), np.float16)
    for start in range(0, num_samples, _QUERIES):
        stop = min(start + _QUERIES, num_samples)
        cosines = directions[start:stop] @ directions.T  # [q, N]
        cosines[torch.arange(stop - start), torch.arange(start, stop)] = -2  # not itself
        best = cosines.topk(num, dim=1)
        rows[start:stop], similarity[start:stop] = best.indices.numpy(), best.values.numpy()
        if progress:
            progress(stop, num_samples)
    return rows, similarity


def _reduced(features: np.ndarray) -> np.ndarray:
    """[N, d] float32: at most 64 principal directions; they hold nearly all that separates the samples."""
    size = features.shape[1]
    if size <= _NUM_DIRECTIONS:
        return features.astype(np.float32)
    mean, gram = np.zeros(size), np.zeros((size, size))
    for start in range(0, len(features), 1 << 14):
        part = features[start : start + (1 << 14)].astype(np.float64)
        mean += part.sum(axis=0)
        gram += part.T @ part
    mean /= len(features)
    gram = gram / len(features) - np.outer(mean, mean)
    directions = np.linalg.eigh(gram)[1][:, -_NUM_DIRECTIONS:].astype(np.float32)
    parts = (features[s : s + (1 << 14)] for s in range(0, len(features), 1 << 14))
    return np.concatenate(
        [(part.astype(np.float32) - mean.astype(np.float32)) @ directions for part in parts]
    )


def _network_outputs(
    run: RunFolder, dataset: Dataset, device: str, tell: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """[N, K] float16 probabilities and [N, D] float16 features of all splits."""
    from selfcure.training.api import load_images, load_run, pick_device
    from selfcure.training.inference import predict
    from selfcure.training.network import Network
    from selfcure.training.reporter import Reporter

    trained, config = load_run(run)
    target = pick_device(device)
    network = Network(trained.module, config.train, target, may_compile=False)
    probs, features = [], []
    for name in _splits(dataset):
        images = load_images(dataset.split(name), config.train, Reporter(), target)
        with _watched(trained.backbone) as seen:
            outputs = predict(network, images, progress=partial(tell, f"network on {name}"))
        logits = outputs["logits"]
        probs.append(logits.softmax(dim=1).numpy().astype(np.float16))
        # A method whose first backbone does not run alone (folds, say) shows its logits instead.
        features.append(
            np.concatenate(seen) if sum(map(len, seen)) == len(logits) else logits.numpy().astype(np.float16)
        )
    widths = {part.shape[1] for part in features}
    if len(widths) > 1:
        raise SelfcureError(f"{run.path}: features of the splits differ in size ({sorted(widths)})")
    return np.concatenate(probs), np.concatenate(features)


@contextmanager
def _watched(backbone: object) -> Iterator[list[np.ndarray]]:
    """Keeps what a backbone puts out meanwhile, [B, D] float16 each time."""
    seen: list[np.ndarray] = []
    handle = backbone.register_forward_hook(  # type: ignore[attr-defined]
        lambda module, inputs, output: seen.append(output.detach().half().cpu().numpy())
    )
    try:
        yield seen
    finally:
        handle.remove()


def _splits(dataset: Dataset) -> list[str]:
    return [name for name in SPLITS if name in dataset.splits]


def _made_of(run: RunFolder, dataset: Dataset) -> dict[str, object]:
    weights = run.model.stat() if run.finished else None
    return {
        "format": _FORMAT,
        "fingerprint": run.document["dataset"]["fingerprint"],
        "splits": {name: dataset.splits[name] for name in _splits(dataset)},
        "weights_bytes": weights and weights.st_size,
        "num_epochs": len(run.metrics()),
    }
