"""What a project has come to: the funnel, why things went no further, and the numbers of the paper's Table 1."""

import json
import os
import time
from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq

from selfcure.collect.ledger import Ledger
from selfcure.collect.project import DATASET, STATISTICS, Project
from selfcure.data.folder import MANIFEST, Dataset


def describe(project: Project, *, now: float | None = None) -> dict[str, Any]:
    """What ``selfcure collect status`` says, in plain JSON.

    Returns:
        ``queries``, ``videos``, ``clips`` (state → number), ``num_shots``, ``num_tracks``, ``num_with_several_classes``
        (videos with votes of several), ``retrying`` (number, ``seconds`` until the next attempt, reason → number),
        ``failed`` and ``skipped`` (stage → reason → number), ``notes`` (reason → videos that were used all the same),
        ``num_bytes``, and ``statistics`` of the dataset folder, None before there is one.
    """
    ledger, now = project.ledger, time.time() if now is None else now
    waiting = ledger.rows(
        "SELECT error, next_try FROM queries WHERE state = 'waiting' AND attempts > 0 "
        "UNION ALL SELECT error, next_try FROM videos WHERE state = 'found' AND attempts > 0"
    )
    soonest = min((row["next_try"] for row in waiting), default=now)
    return {
        "project": str(project.folder),
        "plan": project.plan.name,
        "queries": ledger.count("queries"),
        "videos": ledger.count("videos"),
        "num_by_site": {
            row["site"]: row["n"]
            for row in ledger.rows("SELECT site, COUNT(*) AS n FROM videos GROUP BY site ORDER BY site")
        },
        "num_shots": ledger.value("SELECT COALESCE(SUM(num_shots), 0) FROM videos"),
        "clips": ledger.count("clips"),
        "num_tracks": ledger.value(
            "SELECT COUNT(*) FROM tracks t JOIN clips c ON c.id = t.clip WHERE c.state = 'kept'"
        ),
        "num_with_several_classes": ledger.value(
            "SELECT COUNT(*) FROM (SELECT video FROM votes GROUP BY video HAVING COUNT(DISTINCT class) > 1)"
        ),
        "num_bytes": ledger.value("SELECT COALESCE(SUM(bytes), 0) FROM videos"),
        "retrying": {
            "num": len(waiting),
            "seconds": max(0.0, soonest - now),
            "reasons": _counted([row["error"] for row in waiting]),
        },
        "failed": {
            "search": _reasons(ledger, "queries", "failed"),
            "download": _reasons(ledger, "videos", "failed", "download"),
            "clips": _reasons(ledger, "videos", "failed", "clips"),
        },
        "skipped": {"download": _reasons(ledger, "videos", "skipped")},
        "notes": _counted([r["note"] for r in ledger.rows("SELECT note FROM videos WHERE note IS NOT NULL")]),
        "statistics": statistics(project),
    }


def statistics(project: Project) -> dict[str, Any] | None:
    """Videos, clips and faces of each class in the dataset folder, as the paper's Table 1 has them; also a file.

    Returns:
        ``classes`` (name → ``videos``, ``clips``, ``faces``), ``total`` (the same), ``splits`` (name → the same), and
        ``skipped`` (reason → crops); None where there is no dataset.
    """
    folder = project.folder / DATASET
    if not (folder / MANIFEST).is_file():
        return None
    dataset = Dataset(folder)
    rows: list[tuple[str, str, str, str]] = []
    for split in dataset.splits:
        for file in sorted(folder.glob(f"{split}-*.parquet")):
            columns = pq.read_table(file, columns=["label", "video", "clip"]).to_pydict()
            names = [dataset.class_names[label] for label in columns["label"]]
            rows += zip([split] * len(names), names, columns["video"], columns["clip"], strict=True)
    found = {
        "classes": {name: _numbers([r for r in rows if r[1] == name]) for name in dataset.class_names},
        "total": _numbers(rows),
        "splits": {split: _numbers([r for r in rows if r[0] == split]) for split in dataset.splits},
        "skipped": dataset.manifest["skipped"],
    }
    return found


def save_statistics(project: Project) -> dict[str, Any] | None:
    """Write them to ``statistics.json``."""
    found = statistics(project)
    if found is not None:
        target = project.folder / STATISTICS
        partial = target.with_suffix(".tmp")
        partial.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(partial, target)
    return found


def _numbers(rows: Sequence[tuple[str, str, str, str]]) -> dict[str, int]:
    return {
        "videos": len({video for *_, video, _ in rows}),
        "clips": len({clip for *_, clip in rows}),
        "faces": len(rows),
    }


def _reasons(ledger: Ledger, table: str, state: str, stage: str | None = None) -> dict[str, int]:
    where = " AND failed_in = ?" if stage else ""
    rows = ledger.rows(
        f"SELECT error, attempts FROM {table} WHERE state = ?{where}", (state, stage) if stage else (state,)
    )
    return _counted(
        [r["error"] + (f" ({r['attempts']} attempts)" if r["attempts"] > 1 else "") for r in rows]
    )


def _counted(reasons: Sequence[str]) -> dict[str, int]:
    """Reason → how often, the most frequent first."""
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
