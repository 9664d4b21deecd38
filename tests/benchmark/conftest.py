"""What the tests of the benchmark share: two tiny sets of synthetic faces, and a call that takes seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfcure.benchmark.api import run_benchmark
from selfcure.data.synthetic_folder import write_synthetic

TINY = {
    "backbone": "compact",
    "image_size_px": 16,
    "num_epochs": 2,
    "batch_size": 16,
    "num_threads": 1,
    "micro_batch_size": 16,
}


@pytest.fixture(scope="session")
def faces(tmp_path_factory) -> list[Path]:
    """Two folders of 32 faces each, a quarter of them wrongly labelled."""
    root = tmp_path_factory.mktemp("faces")
    for seed, name in enumerate(("first", "second")):
        write_synthetic(root / name, 32, num_validation=16, wrong=0.25, size_px=16, seed=seed)
    return [root / "first", root / "second"]


@pytest.fixture
def tiny() -> dict[str, Any]:
    """Fields of a training that takes a second."""
    return dict(TINY)


@pytest.fixture
def bench(faces, tmp_path) -> Callable[..., dict[str, Any]]:
    """Runs a suite on the first set in ``tmp_path / "bench"``, one seed."""

    def call(suite: str, **more: Any) -> dict[str, Any]:
        settings = TINY | more.pop("settings", {})
        options = {"data": faces[:1], "out": tmp_path / "bench", "seeds": 1, "num_images": 24, **more}
        return run_benchmark(suite, settings=settings, **options)

    return call
