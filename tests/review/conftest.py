"""A tiny run of striped images to review, and a server of its own."""

import shutil
from pathlib import Path

import pytest

from stripes import TINY


@pytest.fixture(scope="session")
def tiny_run(stripes_folder, tmp_path_factory) -> Path:
    """SCN on 120 stripes for 3 epochs, labels changed from the first one on; never written to."""
    import selfcure

    out = tmp_path_factory.mktemp("review") / "run"
    settings = {**TINY, "num_epochs": 3, "num_threads": 1, "relabel_epoch": 1, "relabel_margin": 0.02}
    selfcure.train(stripes_folder, out=out, **settings)
    return out


@pytest.fixture(scope="session")
def prepared_run(tiny_run, stripes_folder, tmp_path_factory) -> Path:
    """The same with probabilities, neighbours and duplicates; never written to."""
    import selfcure
    from selfcure.review.outputs import prepare

    out = Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("prepared") / "run"))
    prepare(selfcure.RunFolder(out), selfcure.Dataset(stripes_folder), device="cpu")
    return out


@pytest.fixture
def run(tiny_run, tmp_path) -> Path:
    """A fresh copy of the tiny run."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


@pytest.fixture
def desk(run):
    from selfcure.review.desk import Desk
    from selfcure.runs import RunFolder

    opened = Desk(RunFolder(run))
    yield opened
    opened.close()


@pytest.fixture
def prepared_desk(prepared_run, tmp_path):
    from selfcure.review.desk import Desk
    from selfcure.runs import RunFolder

    opened = Desk(RunFolder(shutil.copytree(prepared_run, tmp_path / "prepared")))
    yield opened
    opened.close()


@pytest.fixture
def client(desk):
    """Talks to the guarded application as our page does."""
    from starlette.testclient import TestClient

    from selfcure.review.app import make_app
    from selfcure.review.guard import Guard

    return TestClient(
        Guard(make_app(desk)), base_url="http://localhost:8765", headers={"X-Selfcure": "review"}
    )


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, without a window."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium here; 'apt-get install -y chromium' installs it")
    with sync_api.sync_playwright() as playwright:
        # Without a sandbox of its own: in a container it may not have one, and it opens nothing but our page.
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()
