"""The size of the pieces that a batch is computed in."""

import json
from dataclasses import replace

import pytest
import torch

import selfcure
from selfcure.training import memory
from selfcure.training.api import build_method
from selfcure.training.config import TrainConfig, resolve
from stripes import TINY

CPU = torch.device("cpu")


CONFIG = TrainConfig(backbone="compact", image_size_px=32, batch_size=100)


@pytest.fixture
def module():
    return build_method(resolve("scn", backbone="compact"), 3).module


def test_measuring_changes_nothing(module):
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.get_rng_state()
    memory.bytes_per_image(module, CONFIG, CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_bytes_grow_with_the_image_and_cover_the_known_part(module):
    small, large = (
        memory.bytes_per_image(module, replace(CONFIG, image_size_px=size), CPU) for size in (32, 64)
    )
    # The first convolution's input and output alone, which its own and batch norm's backward keep.
    assert large > 64 * 64 * (3 + 16) * 4
    assert large / small == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(
    ("images_that_fit", "expected"), [(1000, 100), (100, 100), (99, 50), (40, 34), (0, 2)]
)
def test_pieces_are_equal_and_fit(module, monkeypatch, images_that_fit, expected):
    need = memory.bytes_per_image(module, CONFIG, CPU)
    monkeypatch.setattr(memory, "available_memory", lambda: 2 * need * images_that_fit)
    assert memory.choose_micro_batch(module, CONFIG, CPU) == expected


def test_processes_share_the_batch_and_the_memory(module, monkeypatch):
    need = memory.bytes_per_image(module, CONFIG, CPU)
    monkeypatch.setattr(memory, "available_memory", lambda: 2 * need * 40)
    assert memory.choose_micro_batch(module, CONFIG, CPU, num_processes=4) == 25
    assert memory.choose_micro_batch(module, CONFIG, CPU, num_processes=4, num_local=4) == 9


def test_less_is_kept_in_bf16_and_more_in_float64(module):
    large = replace(CONFIG, image_size_px=96)
    # float64 last: it makes the parameters float64.
    bf16, float32, float64 = (
        memory.bytes_per_image(module, replace(large, precision=p), CPU)
        for p in ("bf16", "float32", "float64")
    )
    assert bf16 < 0.8 * float32
    assert float64 > 1.8 * float32


def test_a_run_settles_its_pieces_and_resumes_with_them(stripes_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 0)
    out = tmp_path / "run"
    selfcure.train(stripes_folder, out=out, **{**TINY, "num_epochs": 1, "batch_size": 8})
    assert json.loads((out / "config.json").read_text())["config"]["micro_batch_size"] == 2
    monkeypatch.undo()
    (out / "model.safetensors").unlink()
    selfcure.train(stripes_folder, out=out, resume=True, micro_batch_size=0)
    assert json.loads((out / "config.json").read_text())["config"]["micro_batch_size"] == 2
