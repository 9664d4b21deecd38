"""Local videos in place of the web's, with labels from the names of folders or from a table."""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfcure.collect.ledger import Ledger, Row
from selfcure.collect.project import Project
from selfcure.data.readers.tabular import (
    DELIMITERS,
    LABEL_COLUMNS,
    PARQUET,
    PATH_COLUMNS,
    find_column,
    read_table,
    texts,
)
from selfcure.data.vocabulary import ClassIndex
from selfcure.errors import SelfcureError
from selfcure.faces.videos import is_video

LOCAL = "local"
"""Stands for the site of a video from a folder."""
_FACTS = ("url", "title", "uploader", "license")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class _File:
    path: Path
    labels: tuple[str, ...]
    facts: Mapping[str, str | None] = field(default_factory=dict)


def add_local(
    project: Project, source: Path, *, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Take the videos of a folder or a table into the project, each as a vote for its class.

    In a folder the first folder below ``source`` names the class. A table has a column ``path`` (relative to it) and one
    ``label``; a path in several rows has several votes; ``url``, ``title``, ``uploader`` and ``license`` are kept where
    they are there. Files of the same content are one video with the votes of all. What is taken is a hard link where the
    disk allows it, else a copy; the source is never changed.

    Returns:
        ``num_files``, ``num_new`` videos, ``num_known`` (taken before), ``num_same`` (content of another file),
        ``left_out`` (reason → files).

    Raises:
        SelfcureError: there is no source, or no video in it that belongs to a class of the plan.
    """
    left_out: Counter[str] = Counter()
    files = list(_listed(source, project, left_out))
    if not files:
        reasons = "; ".join(f"{n} × {reason}" for reason, n in left_out.most_common()) or "it is empty"
        raise SelfcureError(
            f"no video for the classes {', '.join(project.plan.class_names)} in {source}: {reasons}"
        )
    known = {
        row["stamp"]: row
        for row in project.ledger.rows("SELECT id, stamp, file FROM videos WHERE site = ?", (LOCAL,))
    }
    counts: Counter[str] = Counter()
    for number, file in enumerate(files):
        counts[_take(project, file, known)] += 1
        if progress:
            progress(number + 1, len(files))
    return {
        "num_files": len(files),
        "num_new": counts["new"],
        "num_known": counts["known"],
        "num_same": counts["same"],
        "left_out": dict(left_out.most_common()),
    }


def _listed(source: Path, project: Project, left_out: Counter[str]) -> Iterator[_File]:
    if not source.exists():
        raise SelfcureError(f"source {source} does not exist")
    index = ClassIndex(project.plan.class_names)
    if source.is_dir():
        found: Iterator[_File] = _of_folder(source)
    elif source.suffix.lower() in (*DELIMITERS, *PARQUET):
        found = _of_table(source, left_out)
    else:
        raise SelfcureError(f"source {source} must be a folder with a folder for each class, or a table")
    for file in found:
        if not is_video(file.path.name):
            left_out["not a video by its name"] += 1
        elif not file.labels:
            left_out["not in a class folder" if source.is_dir() else "without a label"] += 1
        elif any(index(label) is None for label in file.labels):
            odd = next(label for label in file.labels if index(label) is None)
            left_out[f"label {odd!r} is none of the plan's classes"] += 1
        elif not file.path.is_file():
            left_out["file is missing"] += 1
        else:
            names = [project.plan.class_names[index(label) or 0] for label in file.labels]
            yield _File(file.path, tuple(dict.fromkeys(names)), file.facts)


def _of_folder(source: Path) -> Iterator[_File]:
    for folder, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            parts = path.relative_to(source).parts
            yield _File(path, parts[:1] if len(parts) > 1 else ())


def _of_table(source: Path, left_out: Counter[str]) -> Iterator[_File]:
    rows, odd = read_table(source)
    left_out.update(skip.reason for skip in odd)
    path_column = find_column(rows, None, PATH_COLUMNS)
    label_column = find_column(rows, None, LABEL_COLUMNS)
    if path_column is None or label_column is None:
        raise SelfcureError(f"{source} must have a column 'path' and one 'label'")
    facts = {name: texts(rows, name) for name in _FACTS if name in rows.column_names}
    labels: dict[str, list[str]] = {}
    first: dict[str, int] = {}
    pairs = zip(texts(rows, path_column), texts(rows, label_column), strict=True)
    for row, (path, label) in enumerate(pairs):
        if path:
            first.setdefault(path, row)
            labels.setdefault(path, []).extend([label] if label else [])
    for path, row in first.items():
        kept = {name: column[row] or None for name, column in facts.items()}
        yield _File(source.parent / path, tuple(labels[path]), kept)


def _take(project: Project, file: _File, known: dict[str, Row]) -> str:
    """Add one file: ``new``, ``known`` or ``same``."""
    ledger = project.ledger
    stamp = _stamp(file.path)
    votes = [(label, 0) for label in file.labels]
    if stamp in known:
        target = project.videos / known[stamp]["file"]
        if not target.exists():
            _link(file.path, target)
        _vote(ledger, known[stamp]["id"], votes)
        return "known"
    checksum = sha256(file.path)
    id_ = checksum[:16]
    before = ledger.value("SELECT checksum FROM videos WHERE id = ?", (id_,))
    if before is None:
        target = project.videos / (id_ + file.path.suffix.lower())
        _link(file.path, target)
        row = {
            "id": id_,
            "site": LOCAL,
            "site_id": checksum,
            "url": file.facts.get("url") or file.path.absolute().as_uri(),
            **{name: file.facts.get(name) for name in _FACTS[1:]},
            "state": "downloaded",
            "file": target.name,
            "bytes": target.stat().st_size,
            "checksum": checksum,
            "stamp": stamp,
        }
        with ledger.writing():
            ledger.insert("videos", row)
            ledger.vote(id_, votes)
        known[stamp] = row
        return "new"
    _vote(ledger, id_, votes)
    return "same"


def _vote(ledger: Ledger, video: str, votes: Sequence[tuple[str, int]]) -> None:
    """Write the votes that are new; most often none is."""
    there = {row["class"] for row in ledger.rows("SELECT class FROM votes WHERE video = ?", (video,))}
    new = [vote for vote in votes if vote[0] not in there]
    if new:
        with ledger.writing():
            ledger.vote(video, new)


def _stamp(path: Path) -> str:
    """Changes when the file does; so that a known one need not be read again."""
    status = path.stat()
    return f"{path.absolute()}:{status.st_size}:{status.st_mtime_ns}"


def _link(source: Path, target: Path) -> None:
    """``target`` becomes the same file, or a copy of it, in one step."""
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one without links
        partial = target.with_name(target.name + ".tmp")
        shutil.copyfile(source, partial)
        os.replace(partial, target)


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()
