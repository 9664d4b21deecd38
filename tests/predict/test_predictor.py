"""Predictions against training's own evaluation, for every kind of model and of input."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from predict.fakes import BrightSquares
from selfcure import models, runs
from selfcure.data.folder import Dataset
from selfcure.data.images import ImageStore, decode
from selfcure.data.transforms import AUGMENTATIONS, Draws
from selfcure.errors import SelfcureError
from selfcure.faces.alignment import align
from selfcure.faces.photos import UnreadableImage, read_upright
from selfcure.predict import engines
from selfcure.predict.crops import choose_crop, crop_of_dataset
from selfcure.predict.model_info import Crop, ModelInfo
from selfcure.predict.predictor import Predictor
from selfcure.predict.preprocess import prepare
from selfcure.predict.results import columns, to_dataframe
from selfcure.training.api import load_run
from selfcure.training.inference import predict
from selfcure.training.network import Network


@pytest.fixture(scope="module")
def encoded(stripes_folder) -> list[bytes]:
    return Dataset(stripes_folder).split("validation").images().read(list(range(40)))


@pytest.fixture(scope="module")
def expected(run, stripes_folder):
    """What training's own evaluation computes: probabilities [40, 3] and importance [40]."""
    method, config = load_run(runs.RunFolder(run))
    store = ImageStore(Dataset(stripes_folder).split("validation").images(), 16)
    outputs = predict(Network(method.module, config.train, torch.device("cpu")), store)
    return outputs["logits"].softmax(1).numpy(), outputs["importance"].numpy()


def probs_of(readings) -> np.ndarray:
    return np.array([list(reading.faces[0].probabilities.values()) for reading in readings])


@pytest.mark.parametrize("size", [(16, 16), (48, 48), (40, 23), (7, 9)])
def test_preprocessing_is_that_of_training_bit_for_bit(size, tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.7)
    info = ModelInfo(
        class_names=("a",),
        image_size_px=16,
        mean=mean,
        std=std,
        method="",
        recipe="",
        backbone="",
        dataset="",
    )
    batch = torch.from_numpy(decode((tmp_path / "x.png").read_bytes(), 16).copy())[None]
    trained = AUGMENTATIONS["none"](batch, Draws(0, 1), mean, std)
    np.testing.assert_array_equal(prepare([read_upright(tmp_path / "x.png")], info), trained.numpy())


def test_a_network_of_grey_images_is_shown_no_colour():
    info = ModelInfo(
        class_names=("a",),
        image_size_px=2,
        mean=(0.5, 0.4, 0.3),
        std=(1.0, 1.0, 1.0),
        method="",
        recipe="",
        backbone="",
        dataset="",
        grey=True,
    )
    red, grey = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 77, np.uint8)
    red[..., 0] = 255
    found = prepare([red, grey], info)
    expected = np.array([76, 77]) / 255  # 0.299 · 255
    for channel, mean in enumerate(info.mean):
        np.testing.assert_allclose(found[:, channel, 0, 0], expected - mean, atol=1e-6)
    assert ModelInfo.from_json(info.to_json(), Path("x")) == info


def test_whether_it_saw_colour_is_in_the_run(run, tmp_path):
    assert runs.RunFolder(run).document["dataset"]["grey"] is False
    document = {**runs.RunFolder(run).document}
    document["dataset"] = {**document["dataset"], "grey": True}
    assert ModelInfo.of_run(document).grey
    del document["dataset"]["grey"]  # of an earlier version
    assert not ModelInfo.of_run(document).grey


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_whole_images_read_as_in_evaluation(engine, run, exported, encoded, expected):
    predictor = Predictor(run if engine == "torch" else exported, faces=False, engine=engine)
    assert predictor.engine.name == engine
    readings = predictor.read([read_upright(data) for data in encoded])
    np.testing.assert_allclose(probs_of(readings), expected[0], atol=1e-5)
    np.testing.assert_allclose([r.faces[0].importance for r in readings], expected[1], atol=1e-5)
    names = np.array(predictor.info.class_names)
    assert [r.faces[0].expression for r in readings] == names[expected[0].argmax(1)].tolist()
    assert {(r.faces[0].box, r.faces[0].landmarks, r.faces[0].score) for r in readings} == {
        ((0.0, 0.0, 16.0, 16.0), None, None)
    }


def test_openvino_reads_the_same_class(exported, encoded, expected):
    pytest.importorskip("openvino")
    predictor = Predictor(exported, faces=False, engine="openvino", num_threads=1)
    found = probs_of(predictor.read([read_upright(data) for data in encoded]))
    np.testing.assert_allclose(found, expected[0], atol=0.03)  # bfloat16 has three digits
    clear = np.sort(expected[0], 1)
    clear = clear[:, -1] - clear[:, -2] > 0.1
    assert clear.sum() > 10
    np.testing.assert_array_equal(found.argmax(1)[clear], expected[0].argmax(1)[clear])


def test_every_kind_of_input_gives_one_reading(exported, encoded, tmp_path):
    pixels = read_upright(encoded[0])
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path)
    predictor = Predictor(exported, faces=False)
    kinds = [pixels, path, str(path), Image.fromarray(pixels)]
    alone, together = [predictor(kind) for kind in kinds], predictor(kinds)
    assert {tuple(r.faces[0].probabilities.items()) for r in alone} == {
        tuple(alone[0].faces[0].probabilities.items())
    }
    np.testing.assert_allclose(probs_of(together), probs_of(alone), atol=1e-6)
    assert [r.source for r in together] == [None, str(path), str(path), None]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_faces_are_cut_out_as_align_does_whatever_the_batch(batch_size, exported):
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 150, (60, 80, 3), dtype=np.uint8) for _ in range(3)]
    images[0][5:35, 10:40, 0] = 255
    images[0][30:55, 50:75, 2] = 240
    images[2][0:20, 0:20, 1] = 230
    predictor = Predictor(exported, detector=BrightSquares(), margin=0.2, batch_size=batch_size)
    readings = predictor(images)
    assert [len(r.faces) for r in readings] == [2, 0, 1]
    whole = Predictor(exported, faces=False)
    for image, one, faces in zip(images, readings, BrightSquares().detect(images), strict=True):
        assert (one.width, one.height) == (80, 60)
        for face, found in zip(one.faces, faces, strict=True):
            assert face.box == tuple(found.box.tolist())
            crop = whole(align(image, found, size=16, margin=0.2, mode="box")).faces[0]
            np.testing.assert_allclose(
                list(face.probabilities.values()), list(crop.probabilities.values()), atol=1e-5
            )


def test_the_portrait_of_scikit_image_has_one_face(exported):
    skimage_data = pytest.importorskip("skimage.data")
    reading = Predictor(exported)(skimage_data.astronaut())
    (face,) = reading.faces
    left, top, right, bottom = face.box
    # Where the face of the picture is, to a few pixels.
    assert 160 < left < 190
    assert 55 < top < 85
    assert 260 < right < 290
    assert 160 < bottom < 200
    assert face.score > 0.99
    assert abs(sum(face.probabilities.values()) - 1) < 1e-6


def test_tables_and_json_hold_what_the_readings_do(exported, encoded):
    pd = pytest.importorskip("pandas")
    readings = Predictor(exported, faces=False)([read_upright(data) for data in encoded[:3]])
    frame = to_dataframe(readings)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == columns(readings[0].faces[0].probabilities)
    assert frame["expression"].tolist() == [r.faces[0].expression for r in readings]
    assert frame["p_stripe 1"].tolist() == [r.faces[0].probabilities["stripe 1"] for r in readings]
    assert len(readings[0].to_dataframe()) == 1
    assert (
        json.loads(json.dumps(readings[0].to_dict()))["faces"][0]["probability"]
        == readings[0].faces[0].probability
    )


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"not \[4, 4\] uint8"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), r"\[0, 4, 3\]"),
        (Image.new("I;16", (4, 4)), "8 bits, not mode I;16"),
    ],
)
def test_pixels_that_are_no_image_are_refused(image, message, exported):
    with pytest.raises(SelfcureError, match=message):
        Predictor(exported, faces=False)(image)


def test_a_bomb_is_refused(exported, tmp_path):
    Image.new("RGB", (200, 200)).save(tmp_path / "x.png")
    with pytest.raises(UnreadableImage, match="more than 100 pixels"):
        Predictor(exported, faces=False, max_pixels=100)(tmp_path / "x.png")


def test_without_torch_from_file_to_reading(exported, tmp_path):
    Image.new("RGB", (20, 20), "red").save(tmp_path / "x.png")
    code = f"""
import sys
from selfcure.predict.predictor import Predictor
reading = Predictor({str(exported)!r}, faces=False)({str(tmp_path / "x.png")!r})
assert 0 <= reading.faces[0].importance <= 1
from selfcure.cli import run
assert run(["predict", {str(exported)!r}, {str(tmp_path / "x.png")!r}, "--whole"]) == 0
assert run(["predict", {str(exported)!r}, {str(tmp_path / "x.png")!r}, "--whole", "--annotate", "--out",
    {str(tmp_path / "out")!r}]) == 0
heavy = [name for name in ("torch", "torchvision", "timm", "matplotlib", "pandas") if name in sys.modules]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_run_folder_is_what_runs_says_it_is():
    assert engines._RUN_CONFIG == runs.CONFIG


def test_files_that_are_no_model(exported, run, tmp_path):
    onnx = pytest.importorskip("onnx")
    foreign = onnx.load(exported)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    foreign.metadata_props.add(key="selfcure", value='{"format": 99}')
    onnx.save(foreign, tmp_path / "future.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "cut.onnx").write_bytes(exported.read_bytes()[:5000])
    for name, message in {
        "foreign.onnx": "is an ONNX file, but not of selfcure",
        "future.onnx": "not those of this version",
        "text.onnx": "cannot be opened as an ONNX file",
        "empty.onnx": "cannot be opened as an ONNX file",
        "cut.onnx": "cannot be opened as an ONNX file",
        "nowhere.onnx": "does not exist",
        "x.pt2": "can run code when it is loaded",
    }.items():
        with pytest.raises(SelfcureError, match=message) as caught:
            Predictor(tmp_path / name, faces=False)
        assert "\n" not in str(caught.value)
    for model, options, message in (
        (run, {"engine": "onnxruntime"}, "needs an exported file"),
        (exported, {"engine": "torch"}, "takes run folders"),
        (exported, {"engine": "tensorrt"}, "unknown engine 'tensorrt'"),
        (exported, {"device": "tpu"}, "unknown device"),
        (exported, {"device": "cuda", "engine": "openvino"}, "not on cuda"),
        (exported, {"num_threads": -1}, "num_threads must be"),
        (exported, {"batch_size": 0}, "batch_size must be"),
        (exported, {"align": "boxx"}, "unknown align 'boxx'"),
        (exported, {"margin": 9}, "margin must be"),
        (exported, {"detector": "mtcn", "faces": True}, "unknown detector 'mtcn'"),
    ):
        with pytest.raises(SelfcureError, match=message):
            Predictor(model, **{"faces": False, **options})


def test_without_a_model_that_of_the_installation(exported, monkeypatch, tmp_path):
    monkeypatch.setattr(models, "ONNX", exported)
    assert Predictor(faces=False).model == exported
    monkeypatch.setattr(models, "ONNX", tmp_path / "nowhere.onnx")
    with pytest.raises(SelfcureError, match="this installation brings no selfcure:ferplus"):
        Predictor(faces=False)


def test_the_crop_is_that_of_the_training_images(tmp_path):
    made = {"layout": "faces", "options": {"align": "similarity", "margin": 0.3, "size": 112}}
    for name, manifest in {
        "made": made,
        "noisy": {"layout": "faces", "parent": {"path": "made", **made}},
        "photos": {"layout": "folder", "options": {"align": "x"}},
        "joined": {"layout": "join"},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset.json").write_text(json.dumps(manifest))
    known = Crop("similarity", 0.3, 112)
    assert crop_of_dataset(tmp_path / "made") == crop_of_dataset(tmp_path / "noisy") == known
    assert crop_of_dataset(tmp_path / "photos") is crop_of_dataset(tmp_path / "joined") is None
    assert crop_of_dataset(tmp_path / "gone") is None
    assert choose_crop(None, None, None) == Crop("box", 0.0)
    assert choose_crop(known, None, 0.1) == Crop("similarity", 0.1, 112)
    assert choose_crop(known, "box", None) == Crop("box", 0.0, 112)
