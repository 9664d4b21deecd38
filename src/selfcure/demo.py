"""The main job on embedded data: plain training, SCN and cure on synthetic faces whose truth is known.

Data, noise and schedule were fixed on plain training; the result is printed whoever wins.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from selfcure.data.folder import Dataset, Split
from selfcure.data.images import ImageStore
from selfcure.data.synthetic_folder import write_synthetic
from selfcure.errors import SelfcureError
from selfcure.labels import label_table
from selfcure.report.figures import BAD, GOOD, INK, MUTED, Face, face_sheet, save, score_histogram
from selfcure.runs import RunFolder, write_text
from selfcure.training.api import evaluate, train
from selfcure.training.reporter import Reporter

METHODS = ("plain", "scn", "cure")
DATA: dict[str, Any] = {"num": 4000, "wrong": 0.25, "ambiguous": 0.1, "low_quality": 0.1, "seed": 0}
SCHEDULE: dict[str, Any] = {
    "recipe": "paper",
    "backbone": "compact",
    "image_size_px": 48,
    "num_epochs": 9,
    "batch_size": 32,
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "lr_schedule": "cosine",
    "warmup_epochs": 1,
    "seed": 0,
}


def run_demo(
    out: str | Path,
    *,
    reporter: Callable[[str], Reporter] = lambda method: Reporter(),
    drawing: Callable[[int, int], None] | None = None,
    data: dict[str, Any] = DATA,
    schedule: dict[str, Any] = SCHEDULE,
) -> dict[str, Any]:
    """Draw faces, train plainly, SCN and cure, measure and draw; all under ``out``, which a second call finishes or reuses.

    Args:
        reporter: method name → who hears of its training.
        drawing: called with (done, total) while faces are drawn.

    Returns:
        Plain JSON, also in ``result.json``: per method its validation accuracy, cure, detection and estimate of the
        noise, and the pictures.

    Raises:
        SelfcureError: ``out`` holds something else.
    """
    out = Path(out)
    if out.exists() and (
        not out.is_dir()
        or ({p.name for p in out.iterdir()}.isdisjoint(("data", "data.partial")) and any(out.iterdir()))
    ):
        raise SelfcureError(f"{out} exists and is no demo's folder; choose another --out")
    folder = out / "data"
    dataset = Dataset(folder) if folder.exists() else write_synthetic(folder, **data, progress=drawing)
    rows = {}
    for method in METHODS:
        run = train(
            folder,
            out=out / method,
            method=method,
            resume=(out / method / "config.json").exists(),
            reporter=reporter(method),
            **schedule,
        )
        last = run.metrics()[-1]
        rows[method] = {
            "validation": evaluate(run, folder)["given"],
            "accuracy_true": last["accuracy_true"],
            "cure": last["cure"],
            "detection": last["detection"],
            "label_noise": last.get("label_noise"),
        }
    split = dataset.split("train")
    pictures = [
        *draw_pictures(RunFolder(out / "scn"), split, out),
        draw_judged(RunFolder(out / "cure"), split, out),
    ]
    result = {
        "out": str(out),
        "data": data,
        "schedule": schedule,
        "methods": rows,
        "pictures": [str(p) for p in pictures],
    }
    write_text(out / "result.json", json.dumps(result, indent=2) + "\n")
    return result


def draw_pictures(run: RunFolder, split: Split, out: Path) -> list[Path]:
    """The importance of each kind of sample, the least and most trusted faces, and relabelled faces."""
    kinds = np.array(split.column("kind").to_pylist())
    importance = label_table(run)["importance"].to_numpy()
    histogram = score_histogram(
        _by_kind(kinds, importance), "importance α", "How far SCN trusts each kind of sample"
    )
    return [
        save(histogram, out / "importance.png"),
        save(_trust_sheet(split, kinds, importance), out / "trust.png"),
        save(_relabel_sheet(run, split), out / "relabelled.png"),
    ]


def draw_judged(run: RunFolder, split: Split, out: Path) -> Path:
    """P(label wrong) of each kind of sample, as cure has it after the last epoch."""
    kinds = np.array(split.column("kind").to_pylist())
    wrong_prob = run.evidence(run.metrics()[-1]["epoch"])["wrong_prob"].to_numpy()
    title = "How likely cure holds each kind of sample's label to be wrong"
    return save(score_histogram(_by_kind(kinds, wrong_prob), "P(label wrong)", title), out / "judged.png")


def _by_kind(kinds: np.ndarray, scores: np.ndarray) -> dict[str, np.ndarray]:
    names = ("clean", "wrong", "ambiguous", "low-quality")
    return {kind: scores[kinds == kind] for kind in names if (kinds == kind).any()}


def _trust_sheet(split: Split, kinds: np.ndarray, importance: np.ndarray, num: int = 16) -> Any:
    order = np.argsort(importance, kind="stable")
    names = split.dataset.class_names

    def faces(rows: np.ndarray) -> list[Face]:
        images = _thumbnails(split, rows)
        return [
            Face(
                image,
                (names[split.labels[row]], kinds[row], f"α {importance[row]:.3f}"),
                (INK, GOOD if kinds[row] == "clean" else BAD, MUTED),
            )
            for row, image in zip(rows, images, strict=True)
        ]

    sections = {
        "least trusted: given label, what was planted, importance": faces(order[:num]),
        "most trusted": faces(order[::-1][:num]),
    }
    return face_sheet(sections, "The faces that SCN trusts least and most")


def _relabel_sheet(run: RunFolder, split: Split, num: int = 24) -> Any:
    table = label_table(run)
    current = table["current"].combine_chunks().indices.to_numpy()
    original, truth = split.labels, split.true_labels
    names = split.dataset.class_names
    changed = np.flatnonzero(current != original)
    repaired = (current == truth)[changed]
    broken = (original == truth)[changed]
    other = ~repaired & ~broken
    shown = np.sort(np.random.default_rng(0).permutation(changed)[:num])
    images = _thumbnails(split, shown)
    faces = [
        Face(
            image,
            (f"{names[original[row]]} →", names[current[row]], f"true: {names[truth[row]]}"),
            (MUTED, GOOD if current[row] == truth[row] else BAD, INK),
        )
        for row, image in zip(shown, images, strict=True)
    ]
    heading = (
        f"{len(changed):,} of {len(original):,} labels changed: {repaired.sum():,} repaired, {broken.sum():,} broken, "
        f"{other.sum():,} from one wrong label to another; {len(shown)} of them at random"
    )
    return face_sheet({heading: faces}, "What SCN relabelled")


def _thumbnails(split: Split, rows: np.ndarray) -> np.ndarray:
    """[n, 96, 96, 3] uint8."""
    store = ImageStore(split.images(), 96, cache_bytes=0)
    return store.batch(torch.from_numpy(np.ascontiguousarray(rows))).permute(0, 2, 3, 1).numpy()
