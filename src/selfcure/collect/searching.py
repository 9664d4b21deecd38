"""The stage ``search``: what each query finds, as metadata alone."""

import hashlib
import random
from collections.abc import Callable

from selfcure.collect.ledger import Ledger, Row
from selfcure.collect.politeness import Gone, SiteError, Unwanted, Visitor
from selfcure.collect.project import Project
from selfcure.collect.web import Found, Web


def search(
    project: Project,
    web: Web,
    *,
    visitor: Visitor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Ask every query that waits, and keep what it finds under the plan's length.

    Queries are asked in random order, so that a search that is stopped has some of every class. A video that several
    queries find is one video with a vote of each.

    Raises:
        SelfcureError: the site throttles everything.
    """
    ledger, settings = project.ledger, project.plan.search
    _shuffle(ledger)

    def visit(query: Row) -> None:
        try:
            found = web.search(query["text"], settings)
        except (Gone, Unwanted) as error:
            raise SiteError(str(error)) from error  # of a search this is as passing as any other trouble
        _keep(ledger, query, found, settings.max_minutes * 60)

    visitor = visitor or Visitor(project.plan.retry, settings.pause_sec)
    visitor.visit_all(ledger, "queries", "waiting", visit, progress=progress)


def video_id(site: str, site_id: str) -> str:
    """Our name of a video: safe as a file name whatever the site calls it.

    >>> video_id("Youtube", "../../etc/passwd")
    'ff5f5efbf448ec53'
    """
    return hashlib.sha256(f"{site} {site_id}".encode()).hexdigest()[:16]


def _keep(ledger: Ledger, query: Row, found: list[Found], max_sec: float) -> None:
    """All that a query found, and that it is done, at once."""
    wanted = [v for v in found if not v.is_live and (v.duration_sec is None or v.duration_sec < max_sec)]
    ids = [video_id(v.site, v.site_id) for v in wanted]
    with ledger.writing():
        for id_, video in zip(ids, wanted, strict=True):
            row = {
                "id": id_,
                "site": video.site,
                "site_id": video.site_id,
                "url": video.url,
                "title": video.title,
                "uploader": video.uploader,
                "duration_sec": video.duration_sec,
                "state": "found",
            }
            ledger.insert("videos", row, or_ignore=True)
            ledger.vote(id_, [(query["class"], query["id"])])
        changes = {
            "state": "done",
            "attempts": query["attempts"] + 1,
            "error": None,
            "num_found": len(set(ids)),
            "num_left_out": len(found) - len(wanted),
            "checksum": hashlib.sha256(" ".join(ids).encode()).hexdigest()[:16],
        }
        ledger.update("queries", query["id"], changes)


def _shuffle(ledger: Ledger) -> None:
    """Give new queries a place in a random order, by small times of their next attempt."""
    rows = ledger.rows("SELECT id FROM queries WHERE state = 'waiting' AND next_try = 0 ORDER BY id")
    if not rows:
        return
    order = list(range(1, len(rows) + 1))
    random.Random(0).shuffle(order)
    with ledger.writing():
        for row, place in zip(rows, order, strict=True):
            ledger.run("UPDATE queries SET next_try = ? WHERE id = ?", (float(place), row["id"]))
