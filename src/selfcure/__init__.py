"""Train on labels you cannot trust, and end with cleaner ones."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfcure.data.importing import import_dataset as import_dataset
    from selfcure.data.noise import add_noise as add_noise
    from selfcure.training.api import evaluate as evaluate
    from selfcure.training.api import train as train

# Heavy modules load at first use, so that `import selfcure` and the command line answer at once.
_HOMES = {
    "train": "selfcure.training.api",
    "evaluate": "selfcure.training.api",
    "import_dataset": "selfcure.data.importing",
    "add_noise": "selfcure.data.noise",
    "label_table": "selfcure.labels",
    "write_synthetic": "selfcure.data.synthetic_folder",
    "Dataset": "selfcure.data.folder",
    "RunFolder": "selfcure.runs",
    "SelfcureError": "selfcure.errors",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'selfcure' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
