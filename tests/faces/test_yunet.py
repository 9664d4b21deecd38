"""OpenCV's detector, with a model that has YuNet's inputs and outputs and takes bright squares for faces."""

from pathlib import Path

import numpy as np
import pytest

from selfcure.errors import SelfcureError
from selfcure.faces.detection import build_detector
from selfcure.faces.extraction import FaceSettings
from selfcure.faces.pipeline import extract_faces

onnx = pytest.importorskip("onnx")
pytest.importorskip("cv2")

BOX = [0.5, 0.5, np.log(4), np.log(4)]  # middle of the cell, four cells wide and high
LANDMARKS = [-1, -1, 2, -1, 0.5, 0.5, -1, 2, 2, 2]  # in cells from the cell's corner
SIDES = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Score = mean brightness of a cell of 8, 16 or 32 px."""
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array
    nodes = [helper.make_node("Conv", ["input", "mean"], ["grey"])]
    weights = [tensor(np.full((1, 3, 1, 1), 1 / 3 / 255, np.float32), "mean")]
    weights.append(tensor(np.array([1, -1, 1], np.int64), "column"))
    for cell in (8, 16, 32):
        square = [cell, cell]
        nodes += [
            helper.make_node("AveragePool", ["grey"], [f"p{cell}"], kernel_shape=square, strides=square),
            helper.make_node("Reshape", [f"p{cell}", "column"], [f"cls_{cell}"]),
            helper.make_node("Identity", [f"cls_{cell}"], [f"obj_{cell}"]),
        ]
        for name, values in (("bbox", BOX), ("kps", LANDMARKS)):
            key = f"{name}_{cell}"
            weights.append(tensor(np.zeros((1, len(values)), np.float32), f"zero_{key}"))
            weights.append(tensor(np.array(values, np.float32)[None, None], f"is_{key}"))
            nodes.append(helper.make_node("MatMul", [f"cls_{cell}", f"zero_{key}"], [f"none_{key}"]))
            nodes.append(helper.make_node("Add", [f"none_{key}", f"is_{key}"], [key]))
    outputs = [(f"{name}_{cell}", side) for name, side in SIDES.items() for cell in (8, 16, 32)]
    return _save(tmp_path_factory.mktemp("model") / "yunet.onnx", nodes, weights, outputs)


def _save(path: Path, nodes: list, weights: list, outputs: list[tuple[str, int]]) -> Path:
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("input", real, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info(name, real, [1, None, side]) for name, side in outputs],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    onnx.save(made, path)
    return path


@pytest.mark.parametrize("shape", [(320, 320), (200, 330)])
def test_boxes_landmarks_and_scores(model, shape):
    image = np.zeros((*shape, 3), np.uint8)
    image[96:128, 160:192] = 255  # one cell of 32 px
    detector = build_detector("yunet", weights=model, min_face_px=100, min_score=0.9)
    (face,), nothing = detector.detect([image, np.zeros_like(image)])
    np.testing.assert_allclose(face.box, [112, 48, 240, 176], atol=1e-3)
    np.testing.assert_allclose(face.landmarks, np.array(LANDMARKS).reshape(5, 2) * 32 + [160, 96], atol=1e-3)
    assert face.score == pytest.approx(1, abs=1e-4)
    assert nothing == []


def test_small_and_unsure_faces_are_left_out(model):
    image = np.zeros((320, 320, 3), np.uint8)
    image[96:128, 160:192] = 200
    assert build_detector("yunet", weights=model, min_face_px=129, min_score=0.1).detect([image]) == [[]]
    assert build_detector("yunet", weights=model, min_face_px=100, min_score=0.9).detect([image]) == [[]]
    (face,) = build_detector("yunet", weights=model, min_face_px=100, min_score=0.5).detect([image])[0]
    assert face.score == pytest.approx(200 / 255, abs=0.01)


def test_it_wants_blue_first(model, tmp_path):
    """The model's mean is blind to the order, so one that sees the first channel alone."""
    graph = onnx.load(model)
    (mean,) = [w for w in graph.graph.initializer if w.name == "mean"]
    mean.CopyFrom(
        onnx.numpy_helper.from_array(np.array([1 / 255, 0, 0], np.float32)[None, :, None, None], "mean")
    )
    onnx.save(graph, tmp_path / "blue.onnx")
    image = np.zeros((320, 320, 3), np.uint8)
    image[96:128, 160:192, 2] = 255
    detector = build_detector("yunet", weights=tmp_path / "blue.onnx", min_face_px=100)
    assert len(detector.detect([image])[0]) == 1
    assert len(detector.detect([image[..., ::-1]])[0]) == 0


def test_folder_of_faces(model, tmp_path):
    from PIL import Image

    image = np.zeros((320, 320, 3), np.uint8)
    image[96:128, 160:192] = 255
    (tmp_path / "in").mkdir()
    Image.fromarray(image).save(tmp_path / "in" / "a.png")
    settings = FaceSettings(detector="yunet", weights=str(model), min_face_px=100, size=32)
    assert extract_faces(tmp_path / "in", out=tmp_path / "out", settings=settings).splits == {"train": 1}


def test_not_a_model(tmp_path):
    (tmp_path / "a.onnx").write_text("no model")
    with pytest.raises(SelfcureError, match=r"a.onnx is no model that OpenCV reads: .*"):
        build_detector("yunet", weights=tmp_path / "a.onnx")
    with pytest.raises(SelfcureError, match=r"nowhere\.onnx of detector 'yunet' does not exist"):
        build_detector("yunet", weights=Path("nowhere.onnx"))
    with pytest.raises(SelfcureError, match="on the cpu"):
        build_detector("yunet", weights=tmp_path / "a.onnx", device="cuda")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_another_model_is_told_even_by_a_worker(tmp_path, tree, workers):
    node = onnx.helper.make_node("GlobalAveragePool", ["input"], ["mean"])
    other = _save(tmp_path / "other.onnx", [node], [], [("mean", 3)])
    settings = FaceSettings(detector="yunet", weights=str(other))
    with pytest.raises(SelfcureError, match=r"other\.onnx is not a YuNet model"):
        extract_faces(tree(2), out=tmp_path / "out", settings=settings, workers=workers)
