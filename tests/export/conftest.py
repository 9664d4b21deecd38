"""Two runs on the same images that differ in the method alone."""

import pytest

import selfcure
from selfcure.runs import RunFolder
from stripes import TINY


@pytest.fixture(scope="session")
def trained(stripes_folder, tmp_path_factory) -> dict[str, RunFolder]:
    """Method → run; the backbones start alike."""
    root = tmp_path_factory.mktemp("export")
    settings = {**TINY, "num_epochs": 8, "num_threads": 1}
    return {
        "plain": selfcure.train(stripes_folder, out=root / "plain", method="plain", **settings),
        "scn": selfcure.train(stripes_folder, out=root / "scn", method="scn", relabel=False, **settings),
    }
