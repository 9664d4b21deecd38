"""Synthetic faces as a dataset folder."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from selfcure.data.folder import Dataset
from selfcure.data.folder_writer import FolderWriter
from selfcure.data.synthetic import CLASS_NAMES, synthesize
from selfcure.errors import SelfcureError

_SHARD = 1000
_EXTRA = (
    pa.field("kind", pa.string()),
    pa.field("second_label", pa.int64()),
    pa.field("blend_weight", pa.float32()),
    pa.field("degradation", pa.string()),
    pa.field("identity", pa.int64()),
)


def write_synthetic(
    out: str | Path,
    num: int = 4000,
    *,
    num_validation: int | None = None,
    wrong: float = 0.2,
    ambiguous: float = 0.1,
    low_quality: float = 0.1,
    size_px: int = 64,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Draw synthetic faces with planted uncertainties and known truth into a dataset folder.

    Training and validation share no identity. Validation has the same shares of ambiguous and low-quality faces, and
    no wrong label. Interrupted, the same call goes on after the last finished shard.

    Args:
        num: training images.
        num_validation: validation images, a quarter of ``num`` by default.
        wrong, ambiguous, low_quality: shares of the training images, as in
            :func:`~selfcure.data.synthetic.synthesize`.

    Raises:
        SelfcureError: an argument is out of range, or ``out`` is in the way.
    """
    totals = {"train": num, "validation": num // 4 if num_validation is None else num_validation}
    for name, value in totals.items():
        if value < (name == "train"):
            raise SelfcureError(f"the number of {name} images must be positive, not {value}")
    options = {
        "wrong": wrong,
        "ambiguous": ambiguous,
        "low_quality": low_quality,
        "size_px": size_px,
        "seed": seed,
    }
    synthesize(0, **options)  # type: ignore[arg-type]  # refuses what is out of range before anything is written
    shards = {split: -(-total // _SHARD) for split, total in totals.items() if total}
    plan = {"layout": "synthetic", "options": options, "num": totals}
    writer = FolderWriter(Path(out), class_names=CLASS_NAMES, plan=plan, num_shards=shards, extra=_EXTRA)
    done = 0
    for split, num_shards in shards.items():
        for index in range(num_shards):
            start, stop = index * _SHARD, min((index + 1) * _SHARD, totals[split])
            if not writer.has(split, index):
                # Another seed would be another set of people; 200 identities each, none in both.
                table = _draw(
                    split,
                    start,
                    stop,
                    first_identity=0 if split == "train" else 200,
                    seed=seed,
                    size_px=size_px,
                    wrong=wrong if split == "train" else 0.0,
                    ambiguous=ambiguous,
                    low_quality=low_quality,
                )
                writer.write(split, index, table)
            done += stop - start
            if progress:
                progress(done, sum(totals.values()))
    return writer.finish({"layout": "synthetic", "source": "selfcure.data.synthetic", "options": options})


def _draw(split: str, start: int, stop: int, **arguments: float) -> pa.Table:
    faces = synthesize(stop - start, start=start, **arguments)  # type: ignore[arg-type]
    names = [f"{split}-{index:06d}" for index in range(start, stop)]
    return pa.table(
        {
            "image": [
                {"bytes": _png(image), "path": f"{name}.png"}
                for name, image in zip(names, faces.images, strict=True)
            ],
            "id": names,
            "label": faces.given_labels,
            "true_label": faces.true_labels,
            "kind": faces.kinds.tolist(),
            "second_label": faces.second_labels,
            "blend_weight": faces.blend_weights,
            "degradation": faces.degradations.tolist(),
            "identity": faces.identities,
        }
    )


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=1)
    return buffer.getvalue()
