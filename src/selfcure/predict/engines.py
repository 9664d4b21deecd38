"""What computes a network's outputs: onnxruntime, OpenVINO or torch. Only the last imports torch."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from selfcure.errors import SelfcureError, check_choice
from selfcure.models import is_packaged, packaged_model
from selfcure.predict.model_info import METADATA_KEY, ModelInfo

_RUN_CONFIG = "config.json"
"""What makes a folder a run folder; :mod:`selfcure.runs` has it too, but imports torch."""

ENGINES = ("auto", "onnxruntime", "openvino", "torch")


@dataclass(frozen=True)
class EngineOutputs:
    """``logits`` [B, K] float32, and ``importance`` [B] in (0, 1) where the network has it."""

    logits: np.ndarray
    importance: np.ndarray | None = None


class Engine(Protocol):
    """A network, ready to compute."""

    name: str
    info: ModelInfo

    def run(self, images: np.ndarray) -> EngineOutputs:
        """Of normalised images [B, 3, S, S] float32, B ≥ 1."""


def is_model(path: Path) -> bool:
    """Whether ``path`` looks like a model and not like something to look at: a run folder, an exported file, a name."""
    return is_packaged(path) or path.suffix.lower() in (".onnx", ".pt2") or (path / _RUN_CONFIG).is_file()


def open_engine(
    model: str | Path, *, engine: str = "auto", device: str = "auto", num_threads: int = 0
) -> Engine:
    """Open a run folder, an exported ``.onnx`` file, or the model in the box by its name, ``selfcure:ferplus``.

    Args:
        engine: of :data:`ENGINES`. ``auto``: torch for a run folder, onnxruntime for a file. ``openvino`` computes in
            bfloat16 where the processor can, so the third digit of a probability may differ.
        device: ``auto`` (the GPU if the engine sees one), ``cpu`` or ``cuda``.
        num_threads: threads of the CPU; 0: as many as the engine takes.

    Raises:
        SelfcureError: no model of ours, an engine that does not fit it or is not installed, no such device.
    """
    path = packaged_model(str(model)) if is_packaged(model) else Path(model)
    check_choice("engine", engine, ENGINES)
    check_choice("device", device, ("auto", "cpu", "cuda"))
    if num_threads < 0:
        raise SelfcureError(f"num_threads must be at least 0, not {num_threads}")
    if path.suffix.lower() == ".pt2":
        raise SelfcureError(
            f"{path}: a torch-export file can run code when it is loaded, so predict takes run folders and .onnx files; "
            "load it yourself with torch.export.load"
        )
    if path.suffix.lower() != ".onnx":
        if engine not in ("auto", "torch"):
            raise SelfcureError(
                f"engine {engine} needs an exported file; 'selfcure export {path} --out {path.name}.onnx' makes one"
            )
        from selfcure.predict.torch_engine import TorchEngine

        return TorchEngine(path, device=device, num_threads=num_threads)
    if not path.is_file():
        raise SelfcureError(f"{path} {'is no file' if path.exists() else 'does not exist'}")
    match engine:
        case "torch":
            raise SelfcureError(f"{path} is an exported file; engine torch takes run folders")
        case "openvino":
            return OpenvinoEngine(path, device=device, num_threads=num_threads)
    return OnnxEngine(path, device=device, num_threads=num_threads)


class OnnxEngine:
    """An exported file in onnxruntime."""

    name = "onnxruntime"

    def __init__(self, path: Path, *, device: str = "auto", num_threads: int = 0):
        self._session = _session(path, device, num_threads, optimize=True)
        self.info = _info(self._session, path)
        self._outputs = [output.name for output in self._session.get_outputs()]
        if "logits" not in self._outputs:
            raise SelfcureError(f"{path}: it has no output 'logits'; export the run again")

    def run(self, images: np.ndarray) -> EngineOutputs:
        outputs = dict(zip(self._outputs, self._session.run(None, {"images": images}), strict=True))
        return EngineOutputs(outputs["logits"], outputs.get("importance"))


class OpenvinoEngine:
    """An exported file in OpenVINO, in bfloat16 where the processor computes in it."""

    name = "openvino"

    def __init__(self, path: Path, *, device: str = "auto", num_threads: int = 0):
        try:
            import openvino
        except ImportError as error:
            raise SelfcureError(
                "engine openvino is not installed; pip install 'selfcure[openvino]'"
            ) from error
        if device == "cuda":
            raise SelfcureError("engine openvino computes on the cpu, not on cuda")
        # The metadata are read by onnxruntime, so that one file is refused by all engines alike.
        self.info = _info(_session(path, "cpu", 1, optimize=False), path)
        core = openvino.Core()
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "bf16"}
        if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            options["INFERENCE_PRECISION_HINT"] = "f32"
        if num_threads:
            options["INFERENCE_NUM_THREADS"] = num_threads
        self._model = core.compile_model(str(path), "CPU", options)
        self._outputs = [output.get_any_name() for output in self._model.outputs]

    def run(self, images: np.ndarray) -> EngineOutputs:
        values = self._model(images)
        # The tensors are reused by the next call.
        outputs = {name: np.array(values[index]) for index, name in enumerate(self._outputs)}
        return EngineOutputs(outputs["logits"], outputs.get("importance"))


def _session(path: Path, device: str, num_threads: int, *, optimize: bool) -> Any:
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if device == "cuda" and "CUDAExecutionProvider" not in available:
        raise SelfcureError(
            "device cuda was asked for, but this onnxruntime has no CUDA; pip install onnxruntime-gpu"
        )
    wanted = (
        ["CPUExecutionProvider"] if device == "cpu" else ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if num_threads or os.environ.get("OMP_NUM_THREADS", "").isdigit():
        options.intra_op_num_threads = num_threads or int(os.environ["OMP_NUM_THREADS"])
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=[name for name in wanted if name in available]
        )
    except Exception as error:  # its errors have no common class but this one
        reason = str(error).splitlines()[0].split(" failed:")[-1].rsplit(":", 1)[-1].strip().rstrip(".")
        raise SelfcureError(
            f"{path} cannot be opened as an ONNX file ({reason}); export the run again"
        ) from error


def _info(session: Any, path: Path) -> ModelInfo:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise SelfcureError(
            f"{path} is an ONNX file, but not of selfcure: its metadata name no classes and no preprocessing; "
            "'selfcure export RUN' makes one that predict can use"
        )
    return ModelInfo.from_json(text, path)
