"""What is in an exported file, what the check finds, and that nothing is left when it finds something."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import selfcure
from selfcure.data.folder import Dataset
from selfcure.errors import SelfcureError
from selfcure.export import api
from selfcure.export.api import export_run
from selfcure.export.parity import Parity, compare, require
from selfcure.export.samples import Samples
from selfcure.export.writing import EXTRA_FILE
from selfcure.predict.engines import EngineOutputs, OnnxEngine
from selfcure.predict.model_info import METADATA_KEY, Crop, ModelInfo
from selfcure.runs import RunFolder
from selfcure.training.api import load_run


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory):
    """Name → report of an export."""
    out = tmp_path_factory.mktemp("files")
    return {
        name: export_run(trained[method], out=out / f"{name}{suffix}", num_check=40, **options)
        for name, method, suffix, options in (
            ("plain", "plain", ".onnx", {}),
            ("scn", "scn", ".onnx", {}),
            ("importance", "scn", ".onnx", {"importance": True, "align": "box", "margin": 0.1}),
            ("float16", "plain", ".onnx", {"quantize": "float16"}),
            ("int8", "plain", ".onnx", {"quantize": "int8", "num_calibrate": 40}),
            ("torch", "scn", ".pt2", {"format": "torch-export"}),
        )
    }


def nodes(report) -> list[tuple]:
    """What the graph computes: operation and attributes of each node."""
    graph = onnx.load(report.path).graph
    return [
        (node.op_type, len(node.input), sorted(str(attribute) for attribute in node.attribute))
        for node in graph.node
    ]


def shapes(report) -> list[tuple]:
    return sorted(tuple(weight.dims) for weight in onnx.load(report.path).graph.initializer)


def test_scn_costs_nothing_the_graph_is_that_of_a_plain_network(files):
    assert nodes(files["scn"]) == nodes(files["plain"])
    assert shapes(files["scn"]) == shapes(files["plain"])
    more = [node for node, *_ in nodes(files["importance"])]
    assert "Sigmoid" in more
    assert len(more) > len(nodes(files["scn"]))


@pytest.mark.parametrize("name", ["plain", "scn", "importance", "int8"])
def test_files_are_valid_and_take_any_batch(name, files):
    report = files[name]
    onnx.checker.check_model(report.path, full_check=True)
    engine = OnnxEngine(report.path, device="cpu")
    rng = np.random.default_rng(0)
    images = rng.normal(size=(7, 3, 16, 16)).astype(np.float32)
    whole = engine.run(images)
    assert whole.logits.shape == (7, 3)
    assert (whole.importance is None) == (name != "importance")
    alone = np.concatenate([engine.run(image[None]).logits for image in images])
    np.testing.assert_allclose(whole.logits, alone, atol=1e-4)


@pytest.mark.parametrize("name", ["plain", "scn", "importance", "int8"])
def test_files_do_not_tell_of_the_machine_that_wrote_them(name, files):
    assert str(Path(selfcure.__file__).parent).encode() not in files[name].path.read_bytes()


def test_the_metadata_say_how_to_use_the_file(files, trained, stripes_folder):
    entries = {entry.key: entry.value for entry in onnx.load(files["importance"].path).metadata_props}
    facts = json.loads(entries[METADATA_KEY])
    assert facts["class_names"] == ["stripe 0", "stripe 1", "stripe 2"]
    assert facts["image_size_px"] == 16
    assert (facts["mean"], facts["std"]) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert (facts["resize"], facts["method"], facts["recipe"]) == ("bilinear", "scn", "paper")
    assert facts["dataset"] == "stripes"
    assert facts["crop"] == {"mode": "box", "margin": 0.1, "size_px": None}
    assert str(stripes_folder.parent) not in entries[METADATA_KEY]
    info = ModelInfo.from_json(entries[METADATA_KEY], files["importance"].path)
    assert info == files["importance"].info
    assert files["plain"].info.crop is None
    assert files["int8"].info.quantization == "int8"


def test_torch_export_holds_the_same(files, trained):
    extra = {EXTRA_FILE: ""}
    with open(files["torch"].path, "rb") as file:
        program = torch.export.load(file, extra_files=extra)
    assert json.loads(extra[EXTRA_FILE])["class_names"] == list(trained["scn"].class_names)
    images = torch.randn(5, 3, 16, 16)
    module = load_run(trained["scn"])[0].module.eval()
    with torch.no_grad():
        torch.testing.assert_close(program.module()(images), module(images)["logits"], atol=1e-5, rtol=1e-5)


def test_the_check_was_on_validation_images(files, trained, stripes_folder):
    parity = files["plain"].parity
    assert parity.origin == "40 validation images of stripes"
    assert parity.max_difference < 1e-5
    assert parity.agreement == 1
    labels = Dataset(stripes_folder).split("validation").true_labels
    assert parity.accuracy_run == parity.accuracy_file
    assert round(parity.accuracy_run * len(labels)) == pytest.approx(parity.accuracy_run * len(labels))
    assert parity.accuracy_run > 0.5  # it has learned, so an agreement says something


def test_int8_is_smaller_and_says_what_it_lost(files):
    small, large = files["int8"], files["plain"]
    assert small.num_bytes < 0.45 * large.num_bytes
    assert small.calibration == "40 training images of stripes"
    assert small.parity.agreement >= 0.95
    assert large.parity.max_difference < small.parity.max_difference < 0.2
    kinds = {weight.data_type for weight in onnx.load(small.path).graph.initializer if len(weight.dims) == 4}
    assert kinds == {onnx.TensorProto.INT8}


def test_float16_halves_the_file_and_hardly_changes_what_it_says(files):
    small, large = files["float16"], files["plain"]
    assert small.num_bytes < 0.6 * large.num_bytes
    assert small.calibration is None
    assert small.parity.agreement == 1
    assert large.parity.max_difference < small.parity.max_difference < 5e-3
    model = onnx.load(small.path)
    onnx.checker.check_model(model, full_check=True)
    stored = {weight.data_type for weight in model.graph.initializer if len(weight.dims) == 4}
    assert stored == {onnx.TensorProto.FLOAT16}
    assert OnnxEngine(small.path).info.quantization == "float16"


def test_without_its_dataset_images_are_generated_and_int8_refused(trained, stripes_folder, tmp_path):
    run = RunFolder(shutil.copytree(trained["plain"].path, tmp_path / "run"))
    run.document["dataset"]["path"] = str(tmp_path / "gone")
    report = export_run(run, out=tmp_path / "x.onnx", num_check=20)
    assert report.parity.origin == "20 generated images"
    assert report.parity.accuracy_run is None
    with pytest.raises(SelfcureError, match="the run's dataset folder is gone; name one as data"):
        export_run(run, out=tmp_path / "y.onnx", quantize="int8")
    again = export_run(run, out=tmp_path / "z.onnx", data=stripes_folder, num_check=20)
    assert again.parity.origin == "20 validation images of stripes"


@pytest.mark.parametrize("worse", [lambda x: x * 1.01, lambda x: x * np.nan, lambda x: x - x[:1]])
@pytest.mark.parametrize("format", ["onnx", "torch-export"])
def test_a_file_that_differs_is_an_error_and_is_not_left(worse, format, trained, tmp_path, monkeypatch):
    opened = api._opened

    def spoiled(path, format):
        run = opened(path, format)
        return lambda images: EngineOutputs(worse(run(images).logits))

    monkeypatch.setattr(api, "_opened", spoiled)
    with pytest.raises(SelfcureError, match="not kept"):
        export_run(trained["plain"], out=tmp_path / f"x{api.FORMATS[format]}", format=format, num_check=20)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_quantisation_that_changes_too_many_classes_is_an_error(kind, trained, tmp_path, monkeypatch):
    opened = api._opened

    def spoiled(path, format):
        run = opened(path, format)
        return lambda images: EngineOutputs(-run(images).logits)

    monkeypatch.setattr(api, "_opened", spoiled)
    with pytest.raises(SelfcureError, match=rf"{kind} changes the class of .* of 20 validation images"):
        export_run(trained["plain"], out=tmp_path / "x.onnx", quantize=kind, num_check=20, num_calibrate=20)
    assert not list(tmp_path.iterdir())


def test_parity_by_hand():
    inputs = np.zeros((4, 3, 2, 2), np.float32)
    inputs[:, 0, 0, 0] = range(4)
    logits = np.log(np.array([[0.7, 0.3], [0.6, 0.4], [0.5, 0.5], [0.1, 0.9]]))
    other = np.log(np.array([[0.7, 0.3], [0.4, 0.6], [0.499999, 0.500001], [0.2, 0.8]]))

    def lookup(table):
        return lambda batch: EngineOutputs(table[batch[:, 0, 0, 0].astype(int)])

    found = compare(lookup(logits), lookup(other), inputs, Samples("4", [], np.array([0, 0, 1, 0])))
    assert found.max_difference == pytest.approx(0.2)
    assert found.mean_difference == pytest.approx((0.2 + 0.1) / 4, abs=1e-5)
    assert found.agreement == 0.75  # the tie may fall either way
    assert (found.accuracy_run, found.accuracy_file) == (0.5, 0.5)
    with pytest.raises(SelfcureError, match=r"a probability by 0.2, 25.0% of the classes"):
        require(found, None)
    with pytest.raises(SelfcureError, match=r"25.0% of 4, more than 5%"):
        require(found, "int8")
    require(Parity("4", 4, 0.1, 0.1, 0.96, None, None), "int8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "x.pt"}, r"named \*.onnx, not x.pt"),
        ({"out": "x.onnx", "format": "torch-export"}, r"named \*.pt2"),
        ({"out": "x.onnx", "format": "onx"}, "unknown format 'onx'; did you mean 'onnx'"),
        ({"out": "x.onnx", "quantize": "int4"}, "unknown quantize 'int4'"),
        ({"out": "x.pt2", "format": "torch-export", "quantize": "int8"}, "int8 is for format onnx"),
        ({"out": "no/x.onnx"}, "folder .*no of --out does not exist"),
        ({"out": "x.onnx", "importance": True}, "method plain, whose network gives no importance"),
        ({"out": "x.onnx", "num_check": 0}, "num_check must be"),
        ({"out": "x.onnx", "margin": 7.0}, "margin must be"),
        ({"out": "x.onnx", "data": "no"}, "dataset folder .*no does not exist"),
    ],
)
def test_mistakes(options, message, trained, tmp_path):
    given = {**options, "out": tmp_path / options["out"]}
    if "data" in given:
        given["data"] = tmp_path / given["data"]
    with pytest.raises(SelfcureError, match=message):
        export_run(trained["plain"], **given)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(trained, tmp_path):
    (tmp_path / "x.onnx").write_text("mine")
    with pytest.raises(SelfcureError, match="already exists"):
        export_run(trained["plain"], out=tmp_path / "x.onnx")
    assert (tmp_path / "x.onnx").read_text() == "mine"


def test_crops_travel(trained, tmp_path, stripes_folder):
    data = shutil.copytree(stripes_folder, tmp_path / "faces")
    manifest = json.loads((data / "dataset.json").read_text())
    manifest |= {"layout": "faces", "options": {"align": "similarity", "margin": 0.2, "size": 64}}
    (data / "dataset.json").write_text(json.dumps(manifest))
    run = RunFolder(shutil.copytree(trained["plain"].path, tmp_path / "run"))
    run.document["dataset"]["path"] = str(data)
    report = export_run(run, out=tmp_path / "x.onnx", num_check=10)
    assert report.info.crop == Crop("similarity", 0.2, 64)
    assert OnnxEngine(report.path).info.crop == Crop("similarity", 0.2, 64)
