"""Reviewed labels as other tools read them.

cleanlab: the table of ``cleanlab.classification.CleanLearning.get_label_issues`` (``is_label_issue``, ``label_quality``,
``given_label``, ``predicted_label``), with ``id`` and the reviewed label beside it.
fiftyone: FiftyOneImageClassificationDataset, a folder of ``data/`` and ``labels.json``.
labelstudio: a folder of ``tasks.json`` with annotations and predictions, ``images/`` and ``config.xml``.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pyarrow as pa
import pyarrow.csv

from selfcure.labels import label_table
from selfcure.review.reviewed import Reviewed

Progress = Callable[[int, int], None] | None
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp", b"BM": ".bmp"}
_CHUNK = 256


def write_cleanlab(reviewed: Reviewed, out: Path, progress: Progress = None) -> None:
    """A CSV of the training split; ``is_label_issue`` where review changed the label or, undecided, the run would."""
    table = label_table(reviewed.run)
    split = reviewed.splits["train"]
    verdicts = reviewed.verdicts["train"]
    suggested = table["suggested"].combine_chunks().indices.to_numpy()
    labels = reviewed.labels("train")
    decided = np.zeros(len(split), bool)
    decided[list(verdicts)] = True
    partial = out.with_name(out.name + ".tmp")
    quality = 1 - table["suspicion"].to_numpy()
    pyarrow.csv.write_csv(
        pa.table(
            {
                "id": split.column("id"),
                "is_label_issue": np.where(decided, labels != split.labels, suggested != split.labels),
                "label_quality": pa.array(quality, mask=np.isnan(quality)),
                "given_label": split.labels,
                "predicted_label": suggested,
                "reviewed_label": pa.array(labels, mask=~decided | (labels < 0)),
                "rejected": labels < 0,
            }
        ),
        partial,
    )
    partial.replace(out)


def write_fiftyone(reviewed: Reviewed, out: Path, progress: Progress = None) -> None:
    """A folder that ``fiftyone.Dataset.from_dir(dataset_type=fo.types.FiftyOneImageClassificationDataset)`` reads."""
    targets: dict[str, Any] = {}
    labels = {split: reviewed.labels(split) for split in reviewed.splits}
    work = _work_folder(out, "data")
    for split, row, name, id_ in _images(reviewed, work / "data", progress):
        targets[Path(name).stem] = _fiftyone_target(reviewed, split, row, int(labels[split][row]), id_)
    document = {"classes": list(reviewed.dataset.class_names), "labels": targets}
    (work / "labels.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    work.replace(out)


def write_labelstudio(reviewed: Reviewed, out: Path, progress: Progress = None) -> None:
    """A folder to import: ``tasks.json`` and the images it names, for a local storage whose root holds ``out``."""
    names = reviewed.dataset.class_names
    tasks = []
    work = _work_folder(out, "images")
    for split, row, name, id_ in _images(reviewed, work / "images", progress):
        given = names[reviewed.splits[split].labels[row]]
        task: dict[str, Any] = {
            "data": {
                "image": f"/data/local-files/?d={out.name}/images/{name}",
                "id": id_,
                "split": split,
                "given": given,
            },
            "predictions": [{"model_version": "given label", "result": [_choice([given])]}],
        }
        verdict = reviewed.verdicts[split].get(row)
        if verdict is not None:
            entry = reviewed.last[split][row]
            result = _choice([names[label] for label, _ in verdict.weights])
            task["annotations"] = [{"result": [result], "lead_time": entry.seconds}]
            task["data"] |= {"reviewer": entry.reviewer, "decided": entry.kind}
        tasks.append(task)
    (work / "tasks.json").write_text(json.dumps(tasks, ensure_ascii=False), encoding="utf-8")
    (work / "config.xml").write_text(_labelling_config(names), encoding="utf-8")
    work.replace(out)


def _fiftyone_target(reviewed: Reviewed, split: str, row: int, label: int, id_: str) -> dict[str, Any]:
    names = reviewed.dataset.class_names
    verdict = reviewed.verdicts[split].get(row)
    attributes: dict[str, Any] = {
        "id": id_,
        "split": split,
        "given": names[reviewed.splits[split].labels[row]],
    }
    if verdict is not None:
        attributes |= {
            "decided": reviewed.last[split][row].kind,
            "reviewer": reviewed.last[split][row].reviewer,
        }
        if verdict.is_soft:
            attributes["soft_label"] = {names[k]: weight for k, weight in verdict.weights}
    return {"label": names[label], "attributes": attributes}


def _images(reviewed: Reviewed, folder: Path, progress: Progress) -> Iterator[tuple[str, int, str, str]]:
    """Writes every image that is not rejected, and yields its split, row, file name and id.

    Files are numbered: an id may hold anything, a slash or the name of a device too.
    """
    done, total = 0, sum(map(len, reviewed.splits.values()))
    for split, samples in reviewed.splits.items():
        images = samples.images()
        kept = np.flatnonzero(reviewed.labels(split) >= 0).tolist()
        done += len(samples) - len(kept)
        for start in range(0, len(kept), _CHUNK):
            rows = kept[start : start + _CHUNK]
            for row, data in zip(rows, images.read(rows), strict=True):
                suffix = next((s for begin, s in _SUFFIXES.items() if data.startswith(begin)), ".img")
                name = f"{split}-{row:07d}{suffix}"
                (folder / name).write_bytes(data)
                yield split, row, name, str(samples.ids[row])
            done += len(rows)
            if progress:
                progress(done, total)


def _work_folder(out: Path, images: str) -> Path:
    work = out.with_name(out.name + ".partial")
    shutil.rmtree(work, ignore_errors=True)
    (work / images).mkdir(parents=True)
    return work


def _choice(names: list[str]) -> dict[str, Any]:
    return {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": names}}


def _labelling_config(names: tuple[str, ...]) -> str:
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in names)
    return (
        '<View>\n  <Image name="image" value="$image"/>\n'
        f'  <Choices name="label" toName="image" choice="multiple" showInline="true">\n{choices}\n  </Choices>\n</View>\n'
    )


WRITERS: dict[str, Callable[[Reviewed, Path, Progress], None]] = {
    "cleanlab": write_cleanlab,
    "fiftyone": write_fiftyone,
    "labelstudio": write_labelstudio,
}
