"""A network as an ONNX or torch-export file, with what must be known of it in its metadata."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from selfcure.errors import SelfcureError
from selfcure.predict.model_info import METADATA_KEY, ModelInfo
from selfcure.predict.network import DeployedNetwork

EXTRA_FILE = f"{METADATA_KEY}.json"
"""Name of the metadata in a torch-export file: ``torch.export.load(FILE, extra_files={EXTRA_FILE: ""})``."""

_OPSET = 18
"""Of onnxruntime 1.14 (2023) and later."""


def write_onnx(network: DeployedNetwork, info: ModelInfo, path: Path) -> None:
    """Write one ONNX file with any batch size.

    Raises:
        SelfcureError: the exporter is not installed, or cannot express this network.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise SelfcureError(f"export needs {error.name}; pip install 'selfcure[export]'") from error
    names = ["logits", *(["importance"] if network.importance else [])]
    with _quiet():
        program = torch.onnx.export(
            _exported(network, info),
            input_names=["images"],
            output_names=names,
            opset_version=_OPSET,
            verbose=False,
            dynamo=True,
        )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:  # the exporter notes in which file of this machine each was written
        del node.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, info.to_json()
    path.write_bytes(model.SerializeToString())


def write_torch_export(network: DeployedNetwork, info: ModelInfo, path: Path) -> None:
    """Write what ``torch.export.load`` reads, with any batch size.

    Raises:
        SelfcureError: torch.export cannot express this network.
    """
    with _quiet():
        program = _exported(network, info)
        # From a file object: the name need not end in .pt2 yet.
        with open(path, "wb") as file:
            torch.export.save(program, file, extra_files={EXTRA_FILE: info.to_json()})


def _exported(network: DeployedNetwork, info: ModelInfo) -> Any:
    size = info.image_size_px
    images = torch.zeros(2, 3, size, size)  # one image would fix the batch at one
    try:
        return torch.export.export(
            network.cpu(), (images,), dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}}
        )
    except Exception as error:  # the tracer has dozens
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SelfcureError(
            f"backbone {info.backbone} cannot be exported: {reason}; choose another, such as resnet18"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of their own insides."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
