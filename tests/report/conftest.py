"""What the tests of reports share: a tiny benchmark on synthetic faces, and runs on striped images."""

import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from selfcure.benchmark.api import run_benchmark
from selfcure.data.noise import add_noise
from selfcure.data.synthetic_folder import write_synthetic
from selfcure.training.api import train
from stripes import write_stripes

TINY = {
    "backbone": "compact",
    "image_size_px": 16,
    "num_epochs": 2,
    "batch_size": 16,
    "num_threads": 1,
    "micro_batch_size": 16,
}


class Page(HTMLParser):
    """The texts and attributes of a page, and whether its elements are nested as they should be."""

    _VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, html: str):
        super().__init__()
        self.html, self.open, self.texts = html, [], []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self._VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All that is read, in one line."""
        return re.sub(r"\s+", " ", "".join(self.texts))

    def count(self, tag: str, **attributes: str) -> int:
        return sum(
            name == tag and all(found.get(key) == value for key, value in attributes.items())
            for name, found in self.elements
        )


def run_tiny(data: Path, out: Path, **more: Any) -> dict[str, Any]:
    """``noise`` with two methods, two rates and two seeds."""
    options = {"methods": ["plain", "scn"], "rates": [0.0, 0.3], "seeds": 2, "num_images": 24, **more}
    return run_benchmark("noise", [data], out=out, settings=TINY, **options)


@pytest.fixture(scope="session")
def faces(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("faces") / "first"
    write_synthetic(out, 32, num_validation=16, wrong=0.25, size_px=16)
    return out


@pytest.fixture(scope="session")
def finished(faces, tmp_path_factory) -> Path:
    """A finished benchmark; not to be changed."""
    out = tmp_path_factory.mktemp("finished") / "bench"
    run_tiny(faces, out)
    return out


@pytest.fixture
def bench(finished, tmp_path) -> Path:
    """A copy of it."""
    copy = Path(shutil.copytree(finished, tmp_path / "bench"))
    _move(copy, finished)
    return copy


def _move(copy: Path, original: Path) -> None:
    """Runs of a copied folder know the copied datasets, not the original ones."""
    for config in copy.rglob("config.json"):
        config.write_text(config.read_text().replace(str(original), str(copy)))


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """Two datasets of the same images, one of them noisy, with runs ``clean``, ``noisy`` and ``plain``."""
    root = tmp_path_factory.mktemp("trained")
    settings = TINY | {"batch_size": 20, "relabel_epoch": 1, "relabel_margin": 0.0}
    write_stripes(root / "data-clean", num=60, num_validation=20, noise=0.0)
    add_noise(root / "data-clean", out=root / "data-noisy", kind="symmetric", rate=0.3, seed=0)
    train(root / "data-clean", out=root / "clean", **settings)
    train(root / "data-noisy", out=root / "noisy", **settings)
    train(root / "data-noisy", out=root / "plain", method="plain", **TINY)
    return root


@pytest.fixture
def runs(trained, tmp_path) -> Path:
    """A copy of it that knows its own datasets."""
    copy = Path(shutil.copytree(trained, tmp_path / "runs"))
    _move(copy, trained)
    return copy


@pytest.fixture
def page(tmp_path) -> Callable[..., Page]:
    """Writes a report and reads it."""
    from selfcure.report.api import write_report

    def call(*paths: Path, **more: Any) -> Page:
        out = tmp_path / "report.html"
        write_report(paths, [out], **more)
        return Page(out.read_text())

    return call
