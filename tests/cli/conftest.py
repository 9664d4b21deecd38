"""What the tests of the command line share: it runs in this process, from a folder of its own."""

import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfcure.cli import run

TINY = "--backbone compact --size 16 --epochs 2 --set batch_size=40"
BENCH = "--set backbone=compact --set image_size_px=16 --set num_epochs=2 --set batch_size=40"


@dataclass(frozen=True)
class Result:
    """What a command left on the screen."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys, monkeypatch, place) -> Callable[[str], Result]:
    """Runs a command line in the folder ``place``; ``$TINY`` in it are options of a training that takes a second,
    ``$BENCH`` those of a benchmark of such trainings."""
    monkeypatch.chdir(place)

    def call(line: str) -> Result:
        capsys.readouterr()
        code = run(shlex.split(line.replace("$TINY", TINY).replace("$BENCH", BENCH)))
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def filled(tmp_path_factory) -> Path:
    """A folder with datasets, a finished run and all kinds of things that are neither."""
    root = tmp_path_factory.mktemp("cli")
    draw_stripes(root / "stripes", {"train": 40, "validation": 14}, 3)
    draw_stripes(root / "five", {"train": 2, "validation": 2}, 5)
    draw_stripes(root / "train only", {"train": 2}, 3)
    for line in (
        f"data import folder '{root}/stripes' --out '{root}/clean'",
        f"data noise '{root}/clean' --rate 0.3 --out '{root}/data'",
        f"data import folder '{root}/five' --out '{root}/other classes'",
        f"data import folder '{root}/train only' --out '{root}/no validation'",
        f"train '{root}/data' --out '{root}/run' {TINY}",
    ):
        assert run(shlex.split(line)) == 0
    shutil.copytree(root / "run", root / "unfinished")
    (root / "unfinished" / "model.safetensors").unlink()
    for folder in ("empty", "something", "classes/a", "classes/b"):
        (root / folder).mkdir(parents=True)
    (root / "something" / "picture.png").write_text("no picture")
    (root / "text.txt").write_text("hello")
    (root / "empty.csv").touch()
    (root / "numbers.csv").write_text("emotion,foo\n1,2\n")
    (root / "missing.csv").write_text("path,label\nnowhere.png,a\n")
    return root


@pytest.fixture
def place(filled, tmp_path) -> Path:
    """A fresh copy of ``filled``."""
    return Path(shutil.copytree(filled, tmp_path / "place"))


def draw_stripes(folder: Path, num_per_class: dict[str, int], num_classes: int) -> None:
    """A class-per-folder tree of noisy images whose bright stripe says their class."""
    rng = np.random.default_rng(0)
    for split, num in num_per_class.items():
        for label in range(num_classes):
            place = folder / split / f"stripe {label}"
            place.mkdir(parents=True)
            for index in range(num):
                pixels = rng.integers(0, 140, (16, 16, 3)).astype(np.uint8)
                height = 16 // num_classes
                pixels[label * height : (label + 1) * height] += 90
                Image.fromarray(pixels).save(place / f"{index}.png")
