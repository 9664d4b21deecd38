"""The detector against facenet-pytorch's own, image by image."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from selfcure.errors import SelfcureError
from selfcure.faces import mtcnn as mtcnn_module
from selfcure.faces.detection import DETECTORS, Face, build_detector
from selfcure.faces.mtcnn import Mtcnn, scales, suppress
from selfcure.faces.networks import SHAPES, CascadeNetwork
from selfcure.faces.photos import read_upright
from selfcure.faces.videos import sample_frames


@pytest.fixture(scope="module")
def library():
    """Finds (boxes, landmarks, scores), the surest first, as facenet-pytorch does."""
    from facenet_pytorch import MTCNN

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        network = MTCNN(keep_all=True, min_face_size=40)

    def detect(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        boxes, scores, landmarks = network.detect(image, landmarks=True)
        if boxes is None:
            return np.zeros((0, 4)), np.zeros((0, 5, 2)), np.zeros(0)
        order = np.argsort(-scores.astype(float))
        return tuple(array[order].astype(float) for array in (boxes, landmarks, scores))

    return detect


def assert_same(faces: list[Face], expected: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    boxes, landmarks, scores = expected
    assert len(faces) == len(boxes)
    for face, box, points, score in zip(faces, boxes, landmarks, scores, strict=True):
        np.testing.assert_allclose(face.box, box, atol=0.01)  # pixels
        np.testing.assert_allclose(face.landmarks, points, atol=0.01)
        assert face.score == pytest.approx(score, abs=1e-4)


everything = Mtcnn(min_score=0)


def test_portrait_and_group(library, portrait, group):
    for image, num in ((portrait, 1), (group, 3)):
        faces = everything.detect([image])[0]
        assert sum(face.score > 0.95 for face in faces) == num
        assert_same(faces, library(image))


@pytest.mark.parametrize("shape", [(40, 40), (41, 300), (97, 203), (11, 200), (1, 1)])
def test_odd_sizes_and_noise(library, portrait, shape):
    rng = np.random.default_rng(0)
    image = np.asarray(Image.fromarray(portrait[0:260, 90:350]).resize(shape[::-1]))
    for picture in (image, rng.integers(0, 256, (*shape, 3), np.uint8)):
        faces = everything.detect([picture])[0]
        if min(shape) >= 40:  # the library fails on images with no room for a face
            assert_same(faces, library(picture))
        else:
            assert faces == []


def test_a_face_that_the_edge_cuts(library, portrait):
    for image in (portrait[:, 190:], portrait[90:], portrait[:150, :230]):
        assert_same(everything.detect([image])[0], library(image))


def test_batches_of_mixed_sizes_are_the_images_one_by_one(portrait, group):
    images = [portrait, group, portrait[:, ::-1], portrait[100:], group[:, ::-1], np.zeros_like(portrait)]
    together = everything.detect(images)
    for faces, image in zip(together, images, strict=True):
        alone = everything.detect([image])[0]
        assert_same(
            faces, tuple(np.array([getattr(f, n) for f in alone]) for n in ("box", "landmarks", "score"))
        )
    assert together[-1] == []
    assert everything.detect([]) == []


def test_landmarks_are_where_the_image_shows_them(face):
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert left_eye[1] < nose[1] < left_mouth[1]
    left, top, right, bottom = face.box
    assert (face.landmarks > [left, top]).all()
    assert (face.landmarks < [right, bottom]).all()


def test_real_photographs(library, photos):
    num = 0
    for path in photos:
        image = read_upright(path)
        faces = everything.detect([image])[0]
        num += len(faces)
        assert_same(faces, library(image))
    assert num >= len(photos)


@pytest.mark.slow
def test_frames_of_a_real_video(library, real_video):
    frames = [frame.pixels for frame in sample_frames(real_video, 2)]
    for faces, image in zip(everything.detect(frames), frames, strict=True):
        assert_same(faces, library(image))


@given(st.integers(0, 999), st.sampled_from([1, 12, 40]))
@settings(max_examples=40, deadline=None)
def test_suppression_is_that_of_the_libraries(seed, num):
    from facenet_pytorch.models.utils.detect_face import nms_numpy
    from torchvision.ops import nms

    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (num, 2)).astype(np.float32)
    boxes = np.concatenate([corner, corner + rng.uniform(5, 60, (num, 2)).astype(np.float32)], 1)
    scores = rng.permutation(num).astype(np.float32)
    for block in (5, 512):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mtcnn_module, "_NMS_BLOCK", block)
            usual = suppress(boxes, scores, 0.5).tolist()
            assert usual == nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.5).tolist()
            smaller = suppress(boxes, scores, 0.7, of_smaller=True).tolist()
            assert smaller == nms_numpy(boxes, scores, 0.7, "Min").tolist()


def test_nothing_to_suppress():
    assert suppress(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5).tolist() == []


@pytest.mark.parametrize("name", SHAPES)
def test_networks_are_those_of_the_library(name):
    from facenet_pytorch.models import mtcnn as theirs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = {"pnet": theirs.PNet, "rnet": theirs.RNet, "onet": theirs.ONet}[name]()
    side = {"pnet": 37, "rnet": 24, "onet": 48}[name]
    pixels = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        *others, probs = expected(pixels)
        got = CascadeNetwork(name)(pixels)
    for a, b in zip(got, [probs[:, 1], *others], strict=True):
        torch.testing.assert_close(a, b)


def test_torchvision_is_not_imported():
    code = (
        "import numpy as np, sys; from selfcure.faces.detection import build_detector;"
        "build_detector().detect([np.zeros((60, 60, 3), np.uint8)]);"
        "sys.exit(' '.join({'torchvision', 'facenet_pytorch', 'cv2'} & set(sys.modules)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_min_score_and_min_face(group, portrait):
    assert len(build_detector(min_score=0.9999).detect([group])[0]) < 3
    assert build_detector(min_face_px=500).detect([portrait]) == [[]]
    assert scales(512, 512, 200)[0] == 0.06
    assert scales(39, 512, 40) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "mtcn"}, "unknown detector 'mtcn'; did you mean 'mtcnn'"),
        ({"min_face_px": 5}, "min_face_px must be at least 12, not 5"),
        ({"min_score": 1.5}, "min_score must be from 0 to 1, not 1.5"),
        ({"weights": "a.pt"}, "'mtcnn' brings its weights"),
        ({"device": "gpu"}, "device 'gpu' cannot be used"),
        ({"name": "yunet"}, "'yunet' needs its model file"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(SelfcureError, match=message):
        build_detector(**arguments)


def test_detectors_are_listed():
    assert set(DETECTORS) == {"mtcnn", "yunet"}
