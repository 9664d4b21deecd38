"""Export and its check as one call."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from selfcure.errors import SelfcureError, check_choice
from selfcure.export.halve import halve
from selfcure.export.parity import Parity, Run, compare, require
from selfcure.export.quantize import quantize as write_int8
from selfcure.export.samples import calibration_samples, check_samples, open_data
from selfcure.export.writing import write_onnx, write_torch_export
from selfcure.predict.crops import choose_crop, crop_of_dataset
from selfcure.predict.engines import EngineOutputs, OnnxEngine
from selfcure.predict.model_info import ModelInfo
from selfcure.predict.network import DeployedNetwork, load_network
from selfcure.predict.preprocess import prepare
from selfcure.runs import RunFolder

FORMATS = {"onnx": ".onnx", "torch-export": ".pt2"}
"""Format → how its files' names end."""
QUANTIZATIONS = ("float16", "int8")


@dataclass(frozen=True)
class ExportReport:
    """An exported file and what its check found."""

    path: Path
    format: str
    info: ModelInfo
    outputs: tuple[str, ...]
    """Names of the file's outputs."""
    num_bytes: int
    calibration: str | None
    """Which images int8 was calibrated on."""
    parity: Parity

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        crop = self.info.crop
        return {
            "path": str(self.path),
            "format": self.format,
            "quantization": self.info.quantization,
            "outputs": list(self.outputs),
            "class_names": list(self.info.class_names),
            "image_size_px": self.info.image_size_px,
            "crop": crop and vars(crop).copy(),
            "num_bytes": self.num_bytes,
            "calibration": self.calibration,
            "parity": self.parity.to_dict(),
        }


def export_run(
    run: str | Path | RunFolder,
    *,
    out: str | Path,
    format: str = "onnx",
    quantize: str | None = None,
    importance: bool = False,
    data: str | Path | None = None,
    align: str | None = None,
    margin: float | None = None,
    num_check: int = 256,
    num_calibrate: int = 256,
    note: Callable[[str], None] = lambda text: None,
) -> ExportReport:
    """Write a finished run's network as one file, after checking that it says what the run says.

    The file takes any number of images. Its metadata (:class:`~selfcure.predict.model_info.ModelInfo`) name classes,
    preprocessing, and how faces are to be cut out.

    Args:
        out: the file to make.
        format: a key of :data:`FORMATS`.
        quantize: for onnx. ``float16``: weights are stored in half; ``int8``: and computed in a quarter.
        importance: let the file also give the importance, if the method has it.
        data: dataset folder whose images it is checked on (and calibrated with), instead of the run's own.
        align, margin: how faces are to be cut out, if the run's dataset does not say or you know better.
        num_check, num_calibrate: images to check on, to calibrate with; at most.
        note: called with what is being done.

    Raises:
        SelfcureError: a mistake in the arguments, a run that cannot be exported, or a file that differs from the run:
            then there is none.
    """
    run = run if isinstance(run, RunFolder) else RunFolder(run)
    out = Path(out)
    _check_arguments(out, format, quantize, num_check, num_calibrate)
    dataset = open_data(run, None if data is None else Path(data))
    network, config = load_network(run, importance=importance)
    crop = crop_of_dataset(dataset.path) if dataset else None
    if align is not None or margin is not None:
        crop = choose_crop(crop, align, margin)
    info = replace(ModelInfo.of_run(run.document, crop), quantization=quantize)
    checked = check_samples(dataset, info, num_check)
    calibrated = calibration_samples(dataset, num_calibrate) if quantize == "int8" else None
    partial = out.with_name(out.name + ".partial")
    try:
        note(f"writing {format}")
        write = write_onnx if format == "onnx" else write_torch_export
        write(network, info, partial)
        if calibrated:
            note(f"calibrating int8 on {calibrated.origin}")
            write_int8(partial, info, calibrated.images, partial)
        elif quantize:
            halve(partial)
        note(f"checking on {checked.origin}")
        exported = _opened(partial, format)
        parity = compare(
            _in_torch(network, config.train.channels_last), exported, prepare(checked.images, info), checked
        )
        require(parity, quantize)
        partial.replace(out)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()
    return ExportReport(
        path=out,
        format=format,
        info=info,
        outputs=("logits", "importance") if network.importance else ("logits",),
        num_bytes=out.stat().st_size,
        calibration=calibrated.origin if calibrated else None,
        parity=parity,
    )


def _check_arguments(
    out: Path, format: str, quantize: str | None, num_check: int, num_calibrate: int
) -> None:
    check_choice("format", format, FORMATS)
    if quantize is not None:
        check_choice("quantize", quantize, QUANTIZATIONS)
        if format != "onnx":
            raise SelfcureError(f"{quantize} is for format onnx; leave --quantize out")
    if out.suffix.lower() != FORMATS[format]:
        raise SelfcureError(
            f"a file of format {format} is named *{FORMATS[format]}, not {out.name}; change --out"
        )
    if out.exists():
        raise SelfcureError(f"{out} already exists; choose another --out")
    if not out.parent.is_dir():
        raise SelfcureError(f"folder {out.parent} of --out does not exist; make it first")
    for name, value in (("num_check", num_check), ("num_calibrate", num_calibrate)):
        if value < 1:
            raise SelfcureError(f"{name} must be at least 1, not {value}")


def _in_torch(network: DeployedNetwork, channels_last: bool) -> Run:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return _torch_run(network.to(memory_format=layout), layout)


def _opened(path: Path, format: str) -> Run:
    if format == "onnx":
        return OnnxEngine(path, device="cpu").run
    # It was written a moment ago by this process, so nothing foreign is loaded.
    with open(path, "rb") as file:
        return _torch_run(torch.export.load(file).module(), torch.contiguous_format)


def _torch_run(module: Any, layout: torch.memory_format) -> Run:
    def run(images: np.ndarray) -> EngineOutputs:
        with torch.inference_mode():
            outputs = module(torch.from_numpy(images).contiguous(memory_format=layout))
        if isinstance(outputs, tuple):
            return EngineOutputs(outputs[0].numpy(), outputs[1].numpy())
        return EngineOutputs(outputs.numpy())

    return run
