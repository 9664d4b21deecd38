"""The labels as they stand after review: as a new dataset folder, a table, or in other tools' formats."""

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from selfcure.data.folder import SOFT_LABEL, Dataset
from selfcure.data.folder_writer import FolderWriter, Skip
from selfcure.data.rewrite import Change, changed, extra_fields, write_shards
from selfcure.errors import SelfcureError, check_choice
from selfcure.review.formats import WRITERS
from selfcure.review.reviewed import Reviewed, read_reviewed
from selfcure.review.store import Entry
from selfcure.runs import RunFolder

FORMATS = ("dataset", "csv", "parquet", "cleanlab", "fiftyone", "labelstudio")
DECISIONS = "decisions.csv"
"""In a dataset folder that was reviewed: every entry of the run's ``review.sqlite``, undone ones and undos too."""

GIVEN, REVIEW = "label_before_review", "review"
_ADDED = (
    pa.field(SOFT_LABEL, pa.list_(pa.float32())),
    pa.field(GIVEN, pa.int64()),
    pa.field(REVIEW, pa.string()),
)
_INHERITED = ("layout", "source", "options", "parent", "noise", "review")


def export_reviewed(
    run: str | Path | RunFolder,
    out: str | Path,
    *,
    format: str = "dataset",
    data: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write the labels as they stand after review: the twin of ``selfcure labels export --reviewed``.

    ``dataset``: a new dataset folder that names its parent. ``label`` is the reviewed one; ambiguous faces have their
    weights in the added column ``soft_label`` ([K] float32, null elsewhere) and the largest as ``label``; rejected images
    are left out and listed in ``skipped.csv``; ``label_before_review`` and ``review`` (how it was decided, null where it
    was not) are added, and ``decisions.csv`` holds every decision. ``csv`` and ``parquet``: one row a sample. The
    other formats are those of the tools they are named after. Faces that reviewers disagree about stay as given.

    Args:
        out: what to make; it must not exist.
        data: the dataset folder that the run was trained on, if it was moved.
        progress: called with (done, total) samples.

    Returns:
        Counts, as plain JSON.

    Raises:
        SelfcureError: nothing was decided yet, or ``out`` is in the way.
    """
    check_choice("format", format, FORMATS)
    run = run if isinstance(run, RunFolder) else RunFolder(run)
    reviewed = read_reviewed(run, None if data is None else Path(data))
    out = Path(out)
    if format == "dataset":
        made = _write_dataset(reviewed, out, progress)
        return {"out": str(out), **reviewed.counts, "splits": made.splits}
    if out.exists():
        raise SelfcureError(f"{out} already exists; choose another --out or delete it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if format in ("csv", "parquet"):
            _write_table(reviewed, out, format)
        else:
            WRITERS[format](reviewed, out, progress)
    except OSError as error:
        raise SelfcureError(f"cannot write {out}: {error.strerror or error}") from error
    return {"out": str(out), **reviewed.counts}


def reviewed_table(reviewed: Reviewed) -> pa.Table:
    """One row for every sample: id, split, labels before and after by name, and by whom, how and when it was decided.

    ``label`` is null and ``rejected`` true where the image was rejected; ``soft_label`` [K] is null where one class was
    chosen.
    """
    names = np.array([*reviewed.dataset.class_names, None], object)
    parts = []
    for name, split in reviewed.splits.items():
        verdicts, last = reviewed.verdicts[name], reviewed.last[name]
        rows = range(len(split))
        parts.append(
            pa.table(
                {
                    "id": split.column("id"),
                    "split": pa.array([name] * len(split)),
                    "given": pa.array(names[split.labels].tolist(), pa.string()),
                    "label": pa.array(names[reviewed.labels(name)].tolist(), pa.string()),
                    SOFT_LABEL: pa.array(reviewed.soft_labels(name), pa.list_(pa.float32())),
                    "rejected": pa.array([row in verdicts and verdicts[row].rejected for row in rows]),
                    "decided": pa.array(
                        [last[row].kind if row in last else None for row in rows], pa.string()
                    ),
                    "reviewer": pa.array(
                        [last[row].reviewer if row in last else None for row in rows], pa.string()
                    ),
                    "time": pa.array(
                        [int(last[row].time * 1e3) if row in last else None for row in rows],
                        pa.timestamp("ms", "UTC"),
                    ),
                }
            )
        )
    return pa.concat_tables(parts)


def _write_table(reviewed: Reviewed, out: Path, format: str) -> None:
    table = reviewed_table(reviewed)
    partial = out.with_name(out.name + ".tmp")
    if format == "parquet":
        pq.write_table(table, partial)
    else:
        soft = [
            None if w is None else " ".join(f"{value:g}" for value in w)
            for w in table[SOFT_LABEL].to_pylist()
        ]
        place = table.column_names.index(SOFT_LABEL)
        pyarrow.csv.write_csv(table.set_column(place, SOFT_LABEL, pa.array(soft, pa.string())), partial)
    os.replace(partial, out)


def _write_dataset(reviewed: Reviewed, out: Path, progress: Callable[[int, int], None] | None) -> Dataset:
    parent, splits = reviewed.dataset, reviewed.splits
    first = next(iter(splits.values()))
    origin = {
        "path": str(parent.path),
        "fingerprint": {name: split.fingerprint() for name, split in splits.items()},
    }
    seq = reviewed.entries[-1].seq
    kept = [field for field in extra_fields(first) if field.name not in {f.name for f in _ADDED}]
    writer = FolderWriter(
        out,
        class_names=parent.class_names,
        # More decisions since an interrupted export make another folder.
        plan={"review": str(reviewed.run.path), "last_decision": seq, "parent": origin},
        num_shards={name: len(split.files) for name, split in splits.items()},
        extra=[*kept, *_ADDED],
    )
    names = [field.name for field in writer.schema]
    shards = {name: changed(split, _relabelled(reviewed, name, names)) for name, split in splits.items()}
    write_shards(writer, shards, progress)
    _write_decisions(writer.work / DECISIONS, reviewed.entries)
    manifest = {
        "layout": "review",
        "source": str(parent.path),
        "parent": origin | {key: parent.manifest[key] for key in _INHERITED if key in parent.manifest},
        "review": {
            "run": str(reviewed.run.path),
            "reviewers": sorted({entry.reviewer for entry in reviewed.entries}),
            "last_decision": seq,
            **reviewed.counts,
        },
    }
    return writer.finish(manifest, _rejected(reviewed))


def _relabelled(reviewed: Reviewed, name: str, columns: list[str]) -> Change:
    """What review does to the rows of a split."""
    before, after, soft = reviewed.splits[name].labels, reviewed.labels(name), reviewed.soft_labels(name)
    last = reviewed.last[name]

    def relabel(table: pa.Table, rows: slice) -> pa.Table:
        decided = [last[row].kind if row in last else None for row in range(rows.start, rows.stop)]
        made = {
            "label": pa.array(after[rows]),
            SOFT_LABEL: pa.array(soft[rows], pa.list_(pa.float32())),
            REVIEW: pa.array(decided, pa.string()),
            GIVEN: pa.array(before[rows]),
        }
        if REVIEW in table.column_names:  # of a face not decided now an earlier review has the last word
            earlier = pa.array([kind is None for kind in decided])
            for column in (REVIEW, GIVEN):
                made[column] = pc.if_else(earlier, table[column], made[column])
        whole = pa.table({column: made[column] if column in made else table[column] for column in columns})
        return whole.filter(pa.array(after[rows] >= 0))

    return relabel


def _rejected(reviewed: Reviewed) -> list[Skip]:
    return [
        Skip(f"{name}/{split.ids[row]}", f"rejected in review by {reviewed.last[name][row].reviewer}")
        for name, split in reviewed.splits.items()
        for row, verdict in sorted(reviewed.verdicts[name].items())
        if verdict.rejected
    ]


def _write_decisions(path: Path, entries: list[Entry]) -> None:
    fields = [name for name in Entry.__slots__ if name != "action"]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(fields)
        writer.writerows([getattr(entry, name) for name in fields] for entry in entries)
