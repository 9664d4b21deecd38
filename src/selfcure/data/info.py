"""What a dataset folder holds, in plain JSON."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from selfcure.data.folder import UNKNOWN, Dataset, Split
from selfcure.data.noise_kinds import noise_rate

_FILES_SAMPLED, _IMAGES_PER_FILE = 8, 32


def describe(dataset: Dataset) -> dict[str, Any]:
    """The facts of ``selfcure data info``.

    Returns:
        ``path``, ``layout``, ``source``, ``options``, ``parent``, ``noise``, ``class_names``, ``columns`` (beyond the
        core ones), ``num_samples``, ``num_bytes`` (on disk), ``num_skipped``, ``skipped`` (reason → number), and
        ``splits``: name → ``num_samples``, ``num_bytes``, ``num_shards``, ``given`` and ``true`` (class → number; None
        where no truth is known), ``num_unlabelled``, ``num_true``, ``noise_rate`` (share of label ≠ truth where known, else None),
        ``image_size_px`` (ranges over a sample of images).

    Raises:
        SelfcureError: a split is damaged.
    """
    splits = {name: dataset.split(name) for name in dataset.splits}
    facts = {name: _describe_split(split, dataset.class_names) for name, split in splits.items()}
    manifest = dataset.manifest
    return {
        "path": str(dataset.path),
        **{key: manifest.get(key) for key in ("layout", "source", "options", "parent", "noise")},
        "class_names": list(dataset.class_names),
        "columns": next((split.extra_columns for split in splits.values()), []),
        "num_samples": sum(split["num_samples"] for split in facts.values()),
        "num_bytes": sum(split["num_bytes"] for split in facts.values()),
        "num_skipped": manifest.get("num_skipped", 0),
        "skipped": manifest.get("skipped", {}),
        "splits": facts,
    }


def _describe_split(split: Split, class_names: Sequence[str]) -> dict[str, Any]:
    given, true = split.labels_if_given, split.true_labels
    known, labelled = true != UNKNOWN, given != UNKNOWN
    return {
        "num_samples": len(split),
        "num_bytes": sum(file.stat().st_size for file in split.files),
        "num_shards": len(split.files),
        "given": _class_counts(given[labelled], class_names),
        "num_unlabelled": int((~labelled).sum()),
        "true": _class_counts(true[known], class_names) if known.any() else None,
        "num_true": int(known.sum()),
        "noise_rate": noise_rate(given[labelled], true[labelled]),
        "image_size_px": _image_sizes(split),
    }


def _class_counts(labels: np.ndarray, class_names: Sequence[str]) -> dict[str, int]:
    return dict(zip(class_names, np.bincount(labels, minlength=len(class_names)).tolist(), strict=True))


def _image_sizes(split: Split) -> dict[str, Any]:
    """Smallest and largest sides of images from a few row groups: all of them would be the whole dataset."""
    sizes = []
    for file in split.files[:: -(-len(split.files) // _FILES_SAMPLED)]:
        parquet = pq.ParquetFile(file)
        if not parquet.metadata.num_rows:
            continue
        column = parquet.read_row_group(0, columns=["image.bytes"]).column("image")
        for row in range(0, len(column), -(-len(column) // _IMAGES_PER_FILE)):
            sizes.append(Image.open(io.BytesIO(column[row]["bytes"].as_py())).size)
    widths, heights = zip(*sizes, strict=True)
    return {
        "width": [min(widths), max(widths)],
        "height": [min(heights), max(heights)],
        "num_sampled": len(sizes),
    }
