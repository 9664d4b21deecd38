"""A run, and files exported from it."""

from pathlib import Path

import pytest

import selfcure
from selfcure.export.api import export_run
from stripes import TINY


@pytest.fixture(scope="session")
def run(stripes_folder, tmp_path_factory) -> Path:
    """Of SCN, on three classes of striped images of 16 px."""
    out = tmp_path_factory.mktemp("predict") / "run"
    settings = {**TINY, "num_epochs": 12, "relabel": False, "rank_weight": 0.1}  # it shall learn something
    return selfcure.train(stripes_folder, out=out, method="scn", num_threads=1, **settings).path


@pytest.fixture(scope="session")
def exported(run) -> Path:
    """``run`` as ONNX, with its importance."""
    return export_run(run, out=run.parent / "run.onnx", importance=True, num_check=40).path
