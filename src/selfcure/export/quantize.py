"""int8 by static quantisation: ranges of the activations are measured on training images."""

import io
import logging
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from selfcure.predict.model_info import METADATA_KEY, ModelInfo
from selfcure.predict.preprocess import prepare

_BATCH = 16


def quantize(source: Path, info: ModelInfo, images: Sequence[np.ndarray], path: Path) -> None:
    """Write ``source``, an ONNX file of float32, as int8: weights by channel, activations as measured on ``images``.

    Convolutions and the classifier compute in int8 with processors' 8-bit instructions; the outputs stay float32.

    Args:
        info: what the new file's metadata say.
        images: [H, W, 3] uint8 RGB each.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._starts = iter(range(0, len(images), _BATCH))

        def get_next(self) -> dict[str, Any] | None:
            start = next(self._starts, None)
            return None if start is None else {"images": prepare(images[start : start + _BATCH], info)}

    # It tells of its progress and of what it would rather be given.
    logging.getLogger().addFilter(_nothing)
    try:
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
            ready, small = Path(folder) / "ready.onnx", Path(folder) / "int8.onnx"
            quant_pre_process(source, ready)
            quantize_static(
                ready,
                small,
                Reader(),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                # Processors without VNNI add two products in 16 bits, which 7-bit weights never overflow.
                reduce_range=True,
                # Percentiles would keep the activations of all images in memory, gigabytes at 224 px.
                calibrate_method=CalibrationMethod.MinMax,
            )
            model = onnx.load(small)
    finally:
        logging.getLogger().removeFilter(_nothing)
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, info.to_json()
    path.write_bytes(model.SerializeToString())


def _nothing(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
