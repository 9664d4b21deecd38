"""Evaluation against a slow computation by hand, and a clear error for every run and dataset that do not fit."""

import io
import json
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import selfcure
from selfcure.data.folder import Dataset
from selfcure.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from selfcure.errors import SelfcureError
from selfcure.methods import METHODS
from selfcure.runs import RunFolder
from selfcure.training.api import build_method, load_run
from selfcure.training.config import resolve
from stripes import TINY, write_stripes

SETTINGS = {**TINY, "num_epochs": 2, "num_threads": 1}


@pytest.fixture(scope="module", params=METHODS)
def run(request, stripes_folder, tmp_path_factory) -> RunFolder:
    out = tmp_path_factory.mktemp(f"evaluate-{request.param}") / "run"
    return selfcure.train(stripes_folder, out=out, method=request.param, **SETTINGS)


@pytest.fixture
def copy(run, tmp_path) -> RunFolder:
    shutil.copytree(run.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def naive(run: RunFolder, samples) -> np.ndarray:
    """[N, K] probabilities: each image alone, decoded and normalised by hand."""
    method = run.document["config"]["method"]
    module = build_method(resolve(method, "paper", backbone="compact"), 3).module.eval()
    weights = load_file(run.model)
    module.load_state_dict({name.removeprefix("module/"): value for name, value in weights.items()})
    probs = []
    for record in samples.column("image").to_pylist():
        pixels = np.asarray(Image.open(io.BytesIO(record["bytes"])).convert("RGB")) / 255
        image = torch.tensor((pixels - IMAGENET_MEAN) / IMAGENET_STD, dtype=torch.float32).permute(2, 0, 1)
        with torch.no_grad():
            logits = module(image[None])["logits"][0].tolist()
        exponentials = [math.exp(value) for value in logits]
        probs.append([value / sum(exponentials) for value in exponentials])
    return np.array(probs)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_evaluate_matches_the_slow_way(run, stripes_folder, split):
    samples = Dataset(stripes_folder).split(split)
    result, probs = selfcure.evaluate(run.path, stripes_folder, split=split), naive(run, samples)
    for kind, labels in (("given", samples.labels), ("true", samples.true_labels)):
        found = result[kind]
        confusion = np.zeros((3, 3), int)
        losses = []
        for label, row in zip(labels, probs, strict=True):
            confusion[label, row.argmax()] += 1
            losses.append(-math.log(row[label]))
        assert found["num_samples"] == len(samples)
        assert found["confusion"] == confusion.tolist()
        assert found["accuracy"] == pytest.approx(np.trace(confusion) / len(samples))
        assert found["mean_class_accuracy"] == pytest.approx(np.mean(np.diag(confusion) / confusion.sum(1)))
        assert found["negative_log_likelihood"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert (result["given"]["confusion"] != result["true"]["confusion"]) == (split == "train")


def test_result_is_plain_json_that_names_what_was_measured(run, stripes_folder):
    result = selfcure.evaluate(run, str(stripes_folder))
    assert json.loads(json.dumps(result)) == result
    assert (result["split"], result["recipe"], result["weights"]) == ("validation", "paper", "epoch 2 (last)")
    assert result["method"] == run.document["config"]["method"]
    assert result["class_names"] == ["stripe 0", "stripe 1", "stripe 2"]


def test_without_truth_only_the_given_labels_are_measured(run, tmp_path):
    data = write_stripes(tmp_path / "data", truth="absent").path
    assert "true" not in selfcure.evaluate(run, data)


def test_evaluate_changes_nothing_in_the_run(run, stripes_folder):
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*")}
    first, second = (selfcure.evaluate(run, stripes_folder) for _ in range(2))
    assert first == second
    assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*")} == before


def test_a_run_on_other_classes_is_refused(run, tmp_path):
    other = write_stripes(tmp_path / "four", num_classes=4).path
    with pytest.raises(
        SelfcureError, match=r"was trained on the classes stripe 0, stripe 1, stripe 2; .* has stripe 0, .*3"
    ):
        selfcure.evaluate(run, other)


def test_an_unfinished_run_is_refused(copy, stripes_folder):
    copy.model.unlink()
    with pytest.raises(SelfcureError, match=r"run is not finished: 2 of 2 epochs; go on with .*--resume"):
        selfcure.evaluate(copy, stripes_folder)


def test_what_is_no_run_or_no_dataset_is_refused(run, stripes_folder, tmp_path):
    with pytest.raises(SelfcureError, match=r"run folder .* does not exist"):
        selfcure.evaluate(tmp_path / "none", stripes_folder)
    with pytest.raises(SelfcureError, match=r"is not a run folder \(no config.json\)"):
        selfcure.evaluate(stripes_folder, stripes_folder)
    with pytest.raises(SelfcureError, match="is not a dataset folder"):
        selfcure.evaluate(run, run.path)


def test_a_split_without_samples_is_refused(run, stripes_folder):
    with pytest.raises(SelfcureError, match="has no samples in split 'test'; it has: train, validation"):
        selfcure.evaluate(run, stripes_folder, split="test")
    with pytest.raises(SelfcureError, match="unknown split 'valdation'; did you mean 'validation'"):
        selfcure.evaluate(run, stripes_folder, split="valdation")


def test_an_unknown_device_is_refused(run, stripes_folder):
    with pytest.raises(SelfcureError, match="device must be auto, cpu or cuda, not 'tpu'"):
        selfcure.evaluate(run, stripes_folder, device="tpu")


def rewrite(run: RunFolder, change) -> None:
    tensors = load_file(run.model)
    change(tensors)
    save_file(tensors, run.model, metadata={"state": "{}"})


def conv(tensors: dict[str, torch.Tensor]) -> str:
    """Name of a first convolution; some methods have several networks."""
    return next(name for name in sorted(tensors) if name.endswith("layers.0.weight"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(conv(t)), r"Missing key\(s\).*layers.0.weight"),
        (lambda t: t.update({"module/more": torch.zeros(1)}), r"Unexpected key\(s\).*more"),
        (lambda t: t.update({conv(t): torch.zeros(1)}), r"size mismatch for \S+layers.0.weight"),
        # The public code's loader: all key prefixes differ, nothing is loaded, and nobody is told.
        (lambda t: [t.update({"other/" + k: t.pop(k)}) for k in list(t)], r"Missing key\(s\)"),
        (lambda t: t.update({"loose": torch.zeros(1)}), "damaged or no checkpoint"),
    ],
    ids=["missing", "unexpected", "shape", "prefix", "no group"],
)
def test_weights_that_do_not_fit_are_never_loaded(copy, stripes_folder, change, message):
    rewrite(copy, change)
    with pytest.raises(SelfcureError, match=message) as error:
        selfcure.evaluate(copy, stripes_folder)
    assert "model.safetensors" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"not weights", None], ids=["empty", "text", "cut"])
def test_a_damaged_weights_file_is_named(copy, stripes_folder, data):
    copy.model.write_bytes(copy.model.read_bytes()[:-100] if data is None else data)
    with pytest.raises(SelfcureError, match=r"model.safetensors is damaged or no checkpoint of ours"):
        selfcure.evaluate(copy, stripes_folder)


def test_a_changed_configuration_is_noticed(copy, stripes_folder):
    document = {**copy.document, "config": {**copy.document["config"], "bias": True}}
    (copy.path / "config.json").write_text(json.dumps(document))
    with pytest.raises(SelfcureError, match=r"does not hold the weights of .*config.json.*classifier.bias"):
        selfcure.evaluate(copy.path, stripes_folder)


def test_load_run_gives_back_the_trained_weights(run):
    trained, config = load_run(run)
    saved = load_file(run.model)
    assert {f"module/{name}" for name in trained.module.state_dict()} == saved.keys()
    for name, value in trained.module.state_dict().items():
        assert torch.equal(value, saved[f"module/{name}"])
    assert config.as_dict() == run.document["config"]


def test_a_run_on_grey_images_is_shown_no_colour(tmp_path):
    """As its exported file is: a folder in colour gives what the same folder without colour gives."""
    coloured, grey = (write_stripes(tmp_path / f"{grey}", grey=grey).path for grey in (False, True))
    for trained, same in ((grey, True), (coloured, False)):
        run = selfcure.train(trained, out=tmp_path / f"run-{same}", **SETTINGS)
        losses = [
            selfcure.evaluate(run.path, data)["given"]["negative_log_likelihood"] for data in (grey, coloured)
        ]
        assert (losses[0] == losses[1]) == same, "a network that knows colour looks at it"
