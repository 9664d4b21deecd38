"""How well an exported file reads the images of a dataset folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from selfcure import metrics
from selfcure.data.folder import Dataset
from selfcure.data.vocabulary import listed
from selfcure.errors import SelfcureError
from selfcure.faces.photos import read_upright
from selfcure.predict.engines import open_engine
from selfcure.predict.preprocess import prepare, softmax

_BATCH = 64


def evaluate_model(
    model: str | Path,
    data: str | Path,
    *,
    split: str = "validation",
    engine: str = "auto",
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Measure a model on a split, whose images are taken whole: against given labels and, where known, true ones.

    Args:
        model, engine, device: see :func:`selfcure.predict.engines.open_engine`.
        progress: called with (done, total) images.

    Returns:
        Plain JSON: ``given`` and, where at least one true label is known, ``true``: each as
        :func:`selfcure.metrics.classification`.

    Raises:
        SelfcureError: no such model, other classes, or no samples in the split.
    """
    opened = open_engine(model, engine=engine, device=device)
    dataset = Dataset(data)
    samples = dataset.split(split)
    if dataset.class_names != opened.info.class_names:
        raise SelfcureError(
            f"{model} knows the classes {listed(opened.info.class_names)}; {dataset.path} has "
            f"{listed(dataset.class_names)}"
        )
    images, logits = samples.images(), []
    for start in range(0, len(samples), _BATCH):
        rows = range(start, min(start + _BATCH, len(samples)))
        batch = prepare([read_upright(data) for data in images.read(rows)], opened.info)
        logits.append(opened.run(batch).logits)
        progress(rows.stop, len(samples))
    probs = softmax(np.concatenate(logits))
    result = {
        "model": str(model),
        "data": str(dataset.path),
        "split": split,
        "method": opened.info.method,
        "recipe": opened.info.recipe,
        "class_names": list(opened.info.class_names),
        "weights": f"{model}, computed by {opened.name}",
        "given": metrics.classification(samples.labels, probs),
    }
    known = samples.true_labels >= 0
    if known.any():
        result["true"] = metrics.classification(samples.true_labels[known], probs[known])
    return result
