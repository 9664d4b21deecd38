"""What is said of the training samples after an epoch."""

import numpy as np
import pytest
import torch

from selfcure.metrics import expected_confusion
from selfcure.training.measures import measure_training

LABELS = np.array([0, 1, 1, 0])
TRUTH = np.array([0, 0, 1, -1])
COLUMNS = {
    "prediction": np.array([0, 0, 1, 0]),
    "original_prob": np.array([0.9, 0.2, 0.8, 0.7]),
    "wrong_prob": np.array([0.1, 0.7, 0.1, 0.3]),
}


def measured(columns=COLUMNS, truth=TRUTH):
    return measure_training(columns, COLUMNS["original_prob"], original=LABELS, current=LABELS, truth=truth)


def test_noise_as_a_method_tells_it_is_held_against_the_truth():
    # Two at 0.1 that are right, one at 0.7 that is wrong: (2·0.1 + 0.3) / 3; the sample without a truth counts for the
    # estimate alone.
    noise = measured()["label_noise"]
    assert noise["estimated"] == pytest.approx(0.3)
    assert noise["calibration_error"] == pytest.approx(0.5 / 3)
    assert measured()["detection"]["wrong_prob"]["auroc"] == 1.0


def test_without_a_truth_there_is_the_estimate_alone():
    result = measured(truth=np.full(4, -1))
    assert set(result["label_noise"]) == {"estimated"}
    assert "detection" not in result


def test_what_is_left_after_the_cure_is_told_too():
    noise = measured({**COLUMNS, "wrong_prob_after": np.array([0.1, 0.1, 0.1, 0.3])})["label_noise"]
    assert noise["estimated_after"] == pytest.approx(0.15)


def test_expected_confusion_stands_beside_the_estimate():
    noise = measure_training(
        COLUMNS,
        COLUMNS["original_prob"],
        original=LABELS,
        current=LABELS,
        truth=TRUTH,
        confusion=torch.tensor([[1.5, 0.5], [0.25, 1.75]]),
    )["label_noise"]
    assert noise["confusion"] == [[1.5, 0.5], [0.2, 1.8]]
    many = torch.eye(101) * 5
    many[7, 9], many[3, 100] = 2.0, 4.0
    assert expected_confusion(many.numpy())["most_confused"][:2] == [
        {"label": 3, "prediction": 100, "num_samples": 4.0},
        {"label": 7, "prediction": 9, "num_samples": 2.0},
    ]


def test_a_method_that_tells_nothing_has_no_estimate():
    columns = {name: values for name, values in COLUMNS.items() if name != "wrong_prob"}
    result = measured(columns)
    assert "label_noise" not in result
    assert "wrong_prob" not in result["detection"]
