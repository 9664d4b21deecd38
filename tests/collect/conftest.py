"""Projects, and videos made once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from collect.made_videos import PLAN, write_tree
from selfcure.collect.project import make_plan
from selfcure.faces.detection import Detector, build_detector

SHARED_DATA = Path(__file__).parents[2].parent / "shared" / "data"

WEB_PLAN = """\
name: web
query: "{age} {word}"
classes: {happiness: [happy, glad], sadness: [sad, gloomy]}
ages: [man, woman]
search: {results: 5, pause_sec: 0}
download: {pause_sec: 0, request_pause_sec: 0, timeout_sec: 5}
retry: {wait_sec: 0.01, longest_wait_sec: 0.02, attempts: 3}
clips: {min_face_sec: 2.0}
frames: {fps: 2.0, size: 32, validation: 0.3}
"""


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    """Class folders of videos; see :func:`~collect.made_videos.write_tree`."""
    return write_tree(tmp_path_factory.mktemp("videos") / "source")


@pytest.fixture
def project(tmp_path) -> Callable[..., Path]:
    """Makes a project folder."""

    def make(plan: str = PLAN, name: str = "project") -> Path:
        file = tmp_path / f"{name}.yaml"
        file.write_text(plan)
        make_plan(tmp_path / name, file)
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def mtcnn() -> Detector:
    return build_detector("mtcnn")


@pytest.fixture(scope="session")
def real_video() -> Path:
    path = SHARED_DATA / "faces.mp4"
    if not path.exists():
        pytest.skip(f"real data absent: {path}")
    return path
