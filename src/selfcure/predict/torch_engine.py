"""A run folder in torch."""

from pathlib import Path

import numpy as np
import torch

from selfcure.predict.crops import crop_of
from selfcure.predict.engines import EngineOutputs
from selfcure.predict.model_info import ModelInfo
from selfcure.predict.network import load_network
from selfcure.runs import RunFolder
from selfcure.training.api import pick_device


class TorchEngine:
    """A finished run; see :func:`selfcure.predict.engines.open_engine`."""

    name = "torch"

    def __init__(self, path: Path, *, device: str = "auto", num_threads: int = 0):
        run = RunFolder(path)
        self._device = pick_device(device)
        if num_threads:
            torch.set_num_threads(num_threads)
        network, config = load_network(run, importance=None)
        self._layout = torch.channels_last if config.train.channels_last else torch.contiguous_format
        self._network = network.to(self._device).to(memory_format=self._layout)
        self.info = ModelInfo.of_run(run.document, crop_of(run))

    @torch.inference_mode()
    def run(self, images: np.ndarray) -> EngineOutputs:
        batch = torch.from_numpy(images).to(self._device).contiguous(memory_format=self._layout)
        outputs = self._network(batch)
        if isinstance(outputs, tuple):
            logits, importance = outputs
            return EngineOutputs(logits.cpu().numpy(), importance.cpu().numpy())
        return EngineOutputs(outputs.cpu().numpy())
