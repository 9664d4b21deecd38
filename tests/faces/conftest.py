"""One real portrait, that of scikit-image, and what is made of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfcure.faces.detection import Detector, Face, build_detector

SHARED_DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """[512, 512, 3] uint8: one face of about 100 px."""
    from skimage import data

    return data.astronaut()


@pytest.fixture(scope="session")
def group(portrait) -> np.ndarray:
    """[300, 700, 3] uint8: the face three times, upright, mirrored and smaller, before grey."""
    face = Image.fromarray(portrait[0:260, 90:350])
    picture = Image.new("RGB", (700, 300), (90, 90, 90))
    picture.paste(face, (0, 20))
    picture.paste(face.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (260, 20))
    picture.paste(face.resize((160, 160)), (530, 60))
    return np.asarray(picture)


@pytest.fixture(scope="session")
def mtcnn() -> Detector:
    return build_detector("mtcnn")


@pytest.fixture(scope="session")
def face(mtcnn, portrait) -> Face:
    """The portrait's."""
    (found,) = mtcnn.detect([portrait])[0]
    return found


@pytest.fixture(scope="session")
def photos() -> list[Path]:
    found = sorted((SHARED_DATA / "photos").glob("*"))
    if not found:
        pytest.skip(f"real data absent: {SHARED_DATA / 'photos'}")
    return found


@pytest.fixture(scope="session")
def real_video() -> Path:
    path = SHARED_DATA / "faces.mp4"
    if not path.exists():
        pytest.skip(f"real data absent: {path}")
    return path


@pytest.fixture(scope="session")
def small(portrait) -> np.ndarray:
    """[130, 130, 3] uint8: the head alone, small enough to be found in milliseconds."""
    return np.asarray(Image.fromarray(portrait[0:260, 90:350]).resize((130, 130), Image.Resampling.BICUBIC))


@pytest.fixture
def tree(tmp_path, small) -> Callable[..., Path]:
    """Makes a folder with ``num`` different photographs, in class folders or not, and files that are none."""

    def make(num: int = 6, classes: tuple[str, ...] = ("happy", "sad"), name: str = "photos") -> Path:
        root = tmp_path / name
        for index in range(num):
            folder = root / classes[index % len(classes)] if classes else root
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.roll(small, index % 8, axis=1)).save(folder / f"{index}.png")
        return root

    return make
