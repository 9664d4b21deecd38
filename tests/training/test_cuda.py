"""The same on a GPU, where there is one."""

import os
import signal

import pytest
import torch

import selfcure
from selfcure.data.images import ImageStore
from selfcure.methods import METHODS
from selfcure.training.interrupt import Interrupted
from selfcure.training.reporter import Reporter
from stripes import TINY

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
SETTINGS = {**TINY, "method": "scn", "num_epochs": 2, "precision": "float64", "augmentation": "flip-shift"}


def losses(run) -> list[float]:
    return [record["loss"] for record in run.metrics()]


@pytest.mark.parametrize("method", METHODS)
def test_a_gpu_trains_as_the_cpu_does(stripes_folder, tmp_path, method):
    settings = {**SETTINGS, "method": method, "num_epochs": 1}
    gpu = selfcure.train(stripes_folder, out=tmp_path / "gpu", device="cuda", **settings)
    cpu = selfcure.train(stripes_folder, out=tmp_path / "cpu", device="cpu", **settings)
    assert gpu.document["environment"]["device"] == torch.cuda.get_device_name()
    # Dropout and what a method draws on the device differ; a loss of the same size is what those can promise.
    random_on_device = method in ("rul",)
    assert losses(gpu) == pytest.approx(losses(cpu), rel=0.2 if random_on_device else 1e-6)


@pytest.mark.parametrize(
    "option", [{"precision": "bf16"}, {"precision": "float32"}, {"compile": True, "precision": "float32"}]
)
def test_options_change_rounding_alone(stripes_folder, tmp_path, option):
    settings = {**SETTINGS, "backbone": "resnet10t", "image_size_px": 32, "num_epochs": 1}
    exact = selfcure.train(stripes_folder, out=tmp_path / "a", device="cuda", **settings)
    other = selfcure.train(stripes_folder, out=tmp_path / "b", device="cuda", **settings | option)
    assert losses(other) == pytest.approx(losses(exact), rel=0.03)


def test_images_come_alike_from_gpu_and_host_and_disk(stripes_folder, tmp_path, monkeypatch):
    resident = selfcure.train(stripes_folder, out=tmp_path / "gpu", device="cuda", **SETTINGS)
    disk = selfcure.train(stripes_folder, out=tmp_path / "disk", device="cuda", max_cache_gb=0, **SETTINGS)
    monkeypatch.setattr(ImageStore, "move_to", lambda *_: None)
    host = selfcure.train(stripes_folder, out=tmp_path / "host", device="cuda", **SETTINGS)
    assert losses(disk) == pytest.approx(losses(resident), rel=1e-9)
    assert losses(host) == pytest.approx(losses(resident), rel=1e-9)


def test_an_interrupt_loses_nothing(stripes_folder, tmp_path):
    class Stops(Reporter):
        def step(self, epoch, samples_done, means):
            if epoch == 2 and samples_done > 40:
                os.kill(os.getpid(), signal.SIGINT)

    whole = selfcure.train(stripes_folder, out=tmp_path / "whole", device="cuda", **SETTINGS)
    with pytest.raises(Interrupted):
        selfcure.train(stripes_folder, out=tmp_path / "run", device="cuda", reporter=Stops(), **SETTINGS)
    run = selfcure.train(stripes_folder, out=tmp_path / "run", resume=True)
    assert losses(run) == pytest.approx(losses(whole), rel=1e-9)
    assert run.changes().equals(whole.changes())
