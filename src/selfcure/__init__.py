"""Train on labels you cannot trust, and end with cleaner ones."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfcure.benchmark.api import run_benchmark as run_benchmark
    from selfcure.data.folder import Dataset as Dataset
    from selfcure.data.importing import import_dataset as import_dataset
    from selfcure.data.join import join as join
    from selfcure.data.noise import add_noise as add_noise
    from selfcure.data.sample import sample as sample
    from selfcure.data.split import split as split
    from selfcure.data.synthetic_folder import write_synthetic as write_synthetic
    from selfcure.demo import run_demo as run_demo
    from selfcure.detection import Detection as Detection
    from selfcure.detection import detect as detect
    from selfcure.errors import SelfcureError as SelfcureError
    from selfcure.export.api import export_run as export_run
    from selfcure.faces.pipeline import extract_faces as extract_faces
    from selfcure.labels import export_labels as export_labels
    from selfcure.labels import label_table as label_table
    from selfcure.predict.predictor import Predictor as Predictor
    from selfcure.report.api import write_report as write_report
    from selfcure.review.desk import Desk as Desk
    from selfcure.review.difference import diff_labels as diff_labels
    from selfcure.review.export import export_reviewed as export_reviewed
    from selfcure.runs import RunFolder as RunFolder
    from selfcure.training.api import evaluate as evaluate
    from selfcure.training.api import train as train

# Heavy modules load at first use, so that `import selfcure` and the command line answer at once.
_HOMES = {
    "Dataset": "selfcure.data.folder",
    "Detection": "selfcure.detection",
    "Desk": "selfcure.review.desk",
    "Predictor": "selfcure.predict.predictor",
    "RunFolder": "selfcure.runs",
    "SelfcureError": "selfcure.errors",
    "add_noise": "selfcure.data.noise",
    "detect": "selfcure.detection",
    "diff_labels": "selfcure.review.difference",
    "evaluate": "selfcure.training.api",
    "export_labels": "selfcure.labels",
    "export_reviewed": "selfcure.review.export",
    "export_run": "selfcure.export.api",
    "extract_faces": "selfcure.faces.pipeline",
    "import_dataset": "selfcure.data.importing",
    "join": "selfcure.data.join",
    "label_table": "selfcure.labels",
    "run_benchmark": "selfcure.benchmark.api",
    "run_demo": "selfcure.demo",
    "sample": "selfcure.data.sample",
    "split": "selfcure.data.split",
    "train": "selfcure.training.api",
    "write_report": "selfcure.report.api",
    "write_synthetic": "selfcure.data.synthetic_folder",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'selfcure' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
