"""The stage ``download``: the videos that were found, one at a time."""

import csv
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from selfcure.collect.ledger import Row
from selfcure.collect.local import LOCAL, sha256
from selfcure.collect.politeness import Enough, Visitor
from selfcure.collect.project import Project
from selfcure.collect.web import Limits, Web
from selfcure.errors import SelfcureError

SOURCES = "videos.csv"
_COLUMNS = (
    "id",
    "site",
    "site_id",
    "url",
    "title",
    "uploader",
    "license",
    "duration_sec",
    "file",
    "bytes",
    "checksum",
)


def download(
    project: Project,
    web: Web,
    *,
    license: str | None = None,
    max_disk_gb: float | None = None,
    bytes_per_sec: int | None = None,
    visitor: Visitor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> str | None:
    """Take every video that was found and is not here yet.

    What was taken, from where, by whom and under which licence is in the ledger, and in ``videos.csv`` at the end.

    Args:
        license: a key of :data:`~selfcure.collect.settings.LICENSES`; by default the plan's.
        max_disk_gb: stop when the project's videos take so much, 1 GB = 10⁹ bytes.
        bytes_per_sec: of the network.

    Returns:
        Why it ended before the last video, None if it did not.

    Raises:
        SelfcureError: an argument is out of range, or the site throttles everything.
    """
    ledger, settings = project.ledger, project.plan.download
    if license is not None:
        settings = replace(settings, license=license)
    if max_disk_gb is not None and not max_disk_gb > 0:
        raise SelfcureError(f"max_disk_gb must be positive, not {max_disk_gb}")
    if bytes_per_sec is not None and bytes_per_sec < 1:
        raise SelfcureError(f"the rate limit must be positive, not {bytes_per_sec}")

    def visit(video: Row) -> None:
        left = None
        if max_disk_gb is not None:
            left = int(max_disk_gb * 1e9) - _size(project.videos, but=video["id"])
            if left <= 0:
                raise Enough("the disk limit is reached")
        limits = Limits(project.plan.search.max_minutes * 60, left, bytes_per_sec)
        taken = web.download(video["url"], project.videos, video["id"], settings, limits=limits)
        changes = {
            "state": "downloaded",
            "failed_in": None,
            "attempts": 0,
            "error": None,
            "next_try": 0,
            "title": taken.title or video["title"],
            "uploader": taken.uploader or video["uploader"],
            "license": taken.license,
            "duration_sec": taken.duration_sec or video["duration_sec"],
            "file": taken.file.name,
            "bytes": taken.file.stat().st_size,
            "checksum": sha256(taken.file),
        }
        with ledger.writing():
            ledger.update("videos", video["id"], changes)

    visitor = visitor or Visitor(project.plan.retry, settings.pause_sec)
    try:
        visitor.visit_all(ledger, "videos", "found", visit, progress=progress)
    except Enough as reason:
        return str(reason)
    finally:
        write_sources(project)
    return None


def write_sources(project: Project) -> None:
    """``videos.csv``: where each video of the project is from, for attribution."""
    sql = f"SELECT {', '.join(_COLUMNS)} FROM videos WHERE file IS NOT NULL ORDER BY number"
    target = project.folder / SOURCES
    partial = target.with_suffix(".tmp")
    with open(partial, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for row in project.ledger.rows(sql):
            # A title that begins like a formula would run in a spreadsheet.
            writer.writerow([_inert(row[name]) for name in _COLUMNS])
    os.replace(partial, target)


def num_local(project: Project) -> int:
    """Videos that came from a folder."""
    return project.ledger.value("SELECT COUNT(*) FROM videos WHERE site = ?", (LOCAL,))


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _size(folder: Path, *, but: str) -> int:
    """Bytes in a folder, without the half-loaded video at hand."""
    return sum(entry.stat().st_size for entry in os.scandir(folder) if not entry.name.startswith(but))


def bytes_per_second(text: str) -> int:
    """A rate as people write it, with K, M or G for 10³, 10⁶, 10⁹.

    Raises:
        SelfcureError: it is none.

    >>> bytes_per_second("500K"), bytes_per_second("1.5m")
    (500000, 1500000)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgG]?)", text.strip())
    rate = int(float(found[1]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[found[2].lower()]) if found else 0
    if rate < 1:
        raise SelfcureError(f"rate limit {text!r} must be bytes a second, such as 500K or 2M")
    return rate
