"""The model in the box, and what is said where there is none."""

import numpy as np
import pytest
from PIL import Image

from selfcure import models
from selfcure.backbones import build_backbone, load_weights
from selfcure.data.readers.ferplus import read
from selfcure.data.synthetic import synthesize
from selfcure.errors import SelfcureError
from selfcure.faces.photos import read_upright
from selfcure.predict.engines import open_engine
from selfcure.predict.preprocess import prepare


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


def test_it_reads_faces_as_well_as_its_card_says(ferplus_zip):
    listing = read(ferplus_zip)
    faces = [entry for entry in listing.entries if entry.split == "validation"][:600]
    engine = open_engine(models.FERPLUS, num_threads=1)
    assert engine.info.grey
    assert engine.info.class_names == tuple(listing.class_names)
    logits = engine.run(
        prepare([read_upright(listing.read_bytes(face)) for face in faces], engine.info)
    ).logits
    accuracy = np.mean(logits.argmax(axis=1) == [face.label for face in faces])
    assert accuracy > 0.84  # 86.8 % on all 3,199


def test_colour_does_not_matter_to_it():
    """Of a network that saw no colour: a tinted face is read as the grey one."""
    faces = synthesize(16, seed=3, size_px=48).images
    assert (faces[..., 0] != faces[..., 2]).any()
    grey = [np.asarray(Image.fromarray(face).convert("L").convert("RGB")) for face in faces]
    engine = open_engine(models.FERPLUS, num_threads=1)
    colour, without = (engine.run(prepare(images, engine.info)).logits for images in (list(faces), grey))
    np.testing.assert_allclose(colour, without, atol=1e-4)
