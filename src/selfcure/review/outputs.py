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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from selfcure.data.folder import SPLITS, Dataset
from selfcure.data.images import Encoded
from selfcure.errors import SelfcureError
from selfcure.review.duplicates import find_duplicates, fingerprint_images
from selfcure.review.pieces import Arrays, Pieces
from selfcure.runs import RunFolder

if TYPE_CHECKING:
    from selfcure.methods import Method
    from selfcure.training.config import ResolvedConfig

FOLDER = "review"
_DOCUMENT = "prepared.json"
_FORMAT = 1
_NUM_NEIGHBOURS = 12
_NUM_DIRECTIONS = 64
"""Features are reduced to so many principal directions before distances are measured."""
_QUERIES = 1024
_PIECE = 4096
"""Images whose outputs are kept at a time: what a kill can cost. A multiple of a batch, so that nothing depends on it."""

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
    num_pieces_found: int = 0
    """Pieces of work that an interrupted :func:`prepare` had left."""


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

    What is done is kept in ``review.partial``; interrupted, the same call goes on there.

    Raises:
        SelfcureError: the run is not finished, or the disk does not take it.
    """
    from selfcure.training.api import load_run

    tell = progress or (lambda what, done, total: None)
    trained = load_run(run)  # says so if the run is not finished
    folder, unfinished = run.path / FOLDER, run.path / (FOLDER + ".partial")
    # Pieces of other weights must not be mixed in, be they of the same size.
    made_of = {**_made_of(run, dataset), "weights_time": run.model.stat().st_mtime_ns}
    try:
        pieces = Pieces(unfinished, made_of)
        probs, features = _network_outputs(trained, dataset, device, pieces, tell)
        neighbours, similarity = nearest(
            features, _NUM_NEIGHBOURS, pieces=pieces, progress=partial(tell, "neighbours")
        )
        arrays = {
            "probs": probs,
            "neighbours": neighbours,
            "similarity": similarity,
            "duplicates": find_duplicates(_fingerprints(dataset, pieces, tell), neighbours),
        }
        whole = unfinished / "whole"
        shutil.rmtree(whole, ignore_errors=True)
        whole.mkdir()
        for name, array in arrays.items():
            np.save(whole / f"{name}.npy", array)
        (whole / _DOCUMENT).write_text(json.dumps(_made_of(run, dataset), indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(whole, folder)
        shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise SelfcureError(f"cannot write {folder}: {error.strerror or error}") from error
    return Prepared(**arrays, num_pieces_found=pieces.num_found)


def nearest(
    features: np.ndarray,
    num: int,
    *,
    pieces: Pieces | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The ``num`` nearest other rows of each row by cosine, after a reduction to principal directions.

    Args:
        features: [N, D].
        pieces: where what is done is kept.

    Returns:
        Rows [N, M] int32 nearest first, and cosine similarities [N, M] float16; M is at most N − 1.
    """
    import torch
    import torch.nn.functional as F

    num_samples = len(features)
    num = min(num, num_samples - 1)
    directions = F.normalize(torch.from_numpy(_reduced(features)), dim=1)  # [N, d]

    def of(rows: range) -> Arrays:
        found = []
        for start in range(rows.start, rows.stop, _QUERIES):
            stop = min(start + _QUERIES, rows.stop)
            cosines = directions[start:stop] @ directions.T  # [q, N]
            cosines[torch.arange(stop - start), torch.arange(start, stop)] = -2  # not itself
            found.append(cosines.topk(num, dim=1))
            if progress:
                progress(stop, num_samples)
        return {
            "rows": torch.cat([best.indices for best in found]).to(torch.int32).numpy(),
            "similarity": torch.cat([best.values for best in found]).half().numpy(),
        }

    parts = _in_parts("neighbours", num_samples, 16 * _PIECE, of, pieces)
    return parts["rows"], parts["similarity"]


def _in_parts(
    name: str, num: int, size: int, make: Callable[[range], Arrays], pieces: Pieces | None
) -> Arrays:
    """Arrays of ``num`` rows, made ``size`` rows at a time."""
    made = []
    for start in range(0, num, size):
        make_part = partial(make, range(start, min(start + size, num)))
        made.append(pieces.get(f"{name}-{start:09d}", make_part) if pieces else make_part())
    return {key: np.concatenate([part[key] for part in made]) for key in made[0]}


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
    trained: "tuple[Method, ResolvedConfig]", dataset: Dataset, device: str, pieces: Pieces, tell: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """[N, K] float16 probabilities and [N, D] float16 features of all splits."""
    from selfcure.data.images import ImageStore
    from selfcure.training.api import pick_device
    from selfcure.training.inference import predict
    from selfcure.training.network import Network

    method, config = trained
    network = Network(method.module, config.train, pick_device(device), may_compile=False)
    found = []
    for name in _splits(dataset):
        encoded = dataset.split(name).images()

        def of(rows: range, name: str = name, encoded: Encoded = encoded) -> Arrays:
            # Each image is asked for once: there is nothing to keep.
            images = ImageStore(_Part(encoded, rows), config.train.image_size_px, cache_bytes=0)
            with _watched(method.backbone) as seen:
                outputs = predict(
                    network,
                    images,
                    progress=lambda done, _: tell(f"network on {name}", rows.start + done, len(encoded)),
                )
            logits = outputs["logits"]
            # A method whose first backbone does not run alone (folds, say) shows its logits instead.
            alone = sum(map(len, seen)) == len(logits)
            return {
                "probs": logits.softmax(dim=1).numpy().astype(np.float16),
                "features": np.concatenate(seen) if alone else logits.numpy().astype(np.float16),
            }

        found.append(_in_parts(f"network-{name}", len(encoded), _PIECE, of, pieces))
    widths = {part["features"].shape[1] for part in found}
    if len(widths) > 1:
        raise SelfcureError(f"{dataset.path}: features of the splits differ in size ({sorted(widths)})")
    return np.concatenate([part["probs"] for part in found]), np.concatenate(
        [part["features"] for part in found]
    )


def _fingerprints(dataset: Dataset, pieces: Pieces, tell: Progress) -> np.ndarray:
    """[N, 48] uint8 of all splits."""
    found = []
    for name in _splits(dataset):
        encoded = dataset.split(name).images()

        def of(rows: range, encoded: Encoded = encoded) -> Arrays:
            return {
                "prints": fingerprint_images(
                    _Part(encoded, rows),
                    progress=lambda done, _: tell("fingerprints", rows.start + done, len(encoded)),
                )
            }

        found.append(_in_parts(f"fingerprints-{name}", len(encoded), _PIECE, of, pieces)["prints"])
    return np.concatenate(found)


class _Part:
    """Some of a split's encoded images, numbered from 0."""

    def __init__(self, encoded: Encoded, rows: range):
        self._encoded, self._rows = encoded, rows

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, rows: Sequence[int]) -> list[bytes]:
        return self._encoded.read([self._rows[row] for row in rows])

    def name(self, row: int) -> str:
        return self._encoded.name(self._rows[row])


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
