"""An exported file measured on a dataset folder: as its run is."""

import pytest

import selfcure
from selfcure.data.folder import Dataset
from selfcure.errors import SelfcureError
from selfcure.predict.evaluating import evaluate_model


def test_a_file_is_measured_as_its_run(run, exported, stripes_folder):
    seen = []
    of_file = evaluate_model(
        exported, stripes_folder, split="train", progress=lambda *state: seen.append(state)
    )
    of_run = selfcure.evaluate(run, stripes_folder, split="train")
    for target in ("given", "true"):
        assert of_file[target]["confusion"] == of_run[target]["confusion"]
        assert of_file[target]["negative_log_likelihood"] == pytest.approx(
            of_run[target]["negative_log_likelihood"], abs=1e-4
        )
    assert of_file["true"]["accuracy"] != of_file["given"]["accuracy"], "the labels are noisy"
    assert seen == [(64, 120), (120, 120)]


def test_it_is_told_what_does_not_fit(exported, stripes_folder, tmp_path):
    with pytest.raises(SelfcureError, match="no samples in split 'test'"):
        evaluate_model(exported, stripes_folder, split="test")
    other = selfcure.write_synthetic(tmp_path / "faces", num=20, num_validation=8, size_px=16)
    with pytest.raises(SelfcureError, match=r"knows the classes stripe 0, .*faces has neutral"):
        evaluate_model(exported, other.path if isinstance(other, Dataset) else tmp_path / "faces")
