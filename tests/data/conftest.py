"""Small sources in the published layouts, drawn on the fly."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sources import VOTES, png, write_files


@pytest.fixture
def ferplus(tmp_path: Path) -> Path:
    """FERPlus in small, with ``label.csv`` files alone."""
    files: dict[str, bytes | str] = {}
    for folder, votes in VOTES.items():
        rows = (f'{name},"(0, 0, 48, 48)",{",".join(map(str, v))}\n' for name, v in votes.items())
        files[f"{folder}/label.csv"] = "".join(rows)
        files |= {f"{folder}/{name}": png(int(name[3:10])) for name in votes}
    return write_files(tmp_path / "ferplus", files)


@pytest.fixture
def classes(tmp_path: Path) -> Callable[..., Path]:
    """Makes a class-per-folder tree of three classes and the given number of images in each."""

    def make(num_per_class: int = 3, name: str = "classes") -> Path:
        names = ("anger", "fear", "happiness")
        files = {
            f"{c}/{i}.png": png(i + 100 * k, 8) for k, c in enumerate(names) for i in range(num_per_class)
        }
        return write_files(tmp_path / name, files)

    return make
