"""The model in the box, and what is said where there is none."""

import pytest

from selfcure import models
from selfcure.backbones import build_backbone, load_weights
from selfcure.errors import SelfcureError
from selfcure.predict.engines import open_engine


def test_names():
    assert models.is_packaged("selfcure:ferplus")
    assert not models.is_packaged("ferplus.onnx")
    with pytest.raises(
        SelfcureError, match=r"no selfcure:raf; the model that comes with .* is selfcure:ferplus"
    ):
        open_engine("selfcure:raf")
    with pytest.raises(SelfcureError, match="no selfcure:raf"):
        load_weights(build_backbone("small")[0], "selfcure:raf")


def test_a_missing_file_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "ONNX", tmp_path / "ferplus.onnx")
    with pytest.raises(SelfcureError, match=r"brings no selfcure:ferplus: ferplus.onnx is missing"):
        open_engine("selfcure:ferplus")


def test_it_is_small_enough_for_the_wheel():
    sizes = [file.stat().st_size for file in (models.ONNX, models.WEIGHTS)]
    assert sum(sizes) <= 6e6


def test_its_weights_fill_the_backbone():
    report = load_weights(build_backbone("small")[0], models.FERPLUS, min_share=1.0)
    assert not report.missing
    assert not report.misshapen
    assert all(name.startswith("classifier") for name in report.unexpected)
