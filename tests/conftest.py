"""Small dataset folders that the tests draw themselves, and the real data where it is."""

import os
import signal
from pathlib import Path

import pytest

from stripes import write_stripes

# Before torch is imported: tiny networks lose more to a second thread than they gain, much more on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# A shell starts what it runs in the background deaf to Ctrl-C, and every program inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED_DATA = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def ferplus_zip() -> Path:
    path = SHARED_DATA / "ferplus.zip"
    if not path.exists():
        pytest.skip(f"real data absent: {path}")
    return path


@pytest.fixture(scope="session")
def stripes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 training and 40 validation images of 3 classes, 30 % of the training labels wrong, truth known."""
    return write_stripes(tmp_path_factory.mktemp("data") / "stripes").path
