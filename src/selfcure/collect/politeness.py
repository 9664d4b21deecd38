"""One request after the other, with pauses; and what becomes of those that fail."""

import random
import time
from collections.abc import Callable

from selfcure.collect.ledger import Ledger, Row
from selfcure.collect.settings import RetrySettings
from selfcure.errors import SelfcureError

MOST_THROTTLED = 8
"""Refusals in a row after which the stage ends: the site has had enough for today."""


class SiteError(Exception):
    """A request failed for now; another attempt may succeed."""

    def __init__(self, reason: str, *, wait_sec: float = 0.0):
        super().__init__(reason)
        self.wait_sec = wait_sec
        """What the site asks for, at least."""


class Throttled(SiteError):
    """The site asks for fewer requests."""


class Gone(SiteError):
    """No further attempt can succeed."""


class Unwanted(SiteError):
    """There, but not what the plan asks for."""


class Enough(Exception):
    """The stage ends here, with nothing wrong: the disk limit, say. The message says why."""


class Visitor:
    """Goes through what waits in a table of the ledger.

    A failed item waits ``wait_sec``, twice as long after each further failure, half of that more or less at random so that
    not all come back at once, and never less than the site asks for. After ``attempts`` it has failed. Where the site
    throttles, nothing else is asked either until then.

    Args:
        pause_sec: between two requests, give or take a half.
        sleep, clock, chance: the world, for tests.
    """

    def __init__(
        self,
        retry: RetrySettings,
        pause_sec: float,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        chance: random.Random | None = None,
    ):
        self._retry, self._pause_sec = retry, pause_sec
        self._sleep, self._clock = sleep, clock
        self._chance = chance or random.Random()
        self._num_throttled = 0
        self._not_before = 0.0

    def visit_all(
        self,
        ledger: Ledger,
        table: str,
        state: str,
        visit: Callable[[Row], None],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Call ``visit`` with each row in ``state`` until none is left; it writes its own success.

        Raises:
            SelfcureError: the site throttled :data:`MOST_THROTTLED` requests in a row.
            Enough: as ``visit`` raises it.
        """
        total = ledger.value(f"SELECT COUNT(*) FROM {table} WHERE state = ?", (state,))
        while True:
            left = ledger.value(f"SELECT COUNT(*) FROM {table} WHERE state = ?", (state,))
            if progress:
                progress(total - left, total)
            item = self._next(ledger, table, state)
            if item is None:
                return
            try:
                visit(item)
                self._num_throttled = 0
            except SiteError as error:
                self._failed(ledger, table, item, error)
            self._not_before = max(self._not_before, self._clock() + self._about(self._pause_sec))

    def _next(self, ledger: Ledger, table: str, state: str) -> Row | None:
        """The item to visit now, waited for if need be."""
        while True:
            rows = ledger.rows(
                f"SELECT * FROM {table} WHERE state = ? ORDER BY next_try, rowid LIMIT 1", (state,)
            )
            if not rows:
                return None
            wait = max(rows[0]["next_try"], self._not_before) - self._clock()
            if wait <= 0:
                return rows[0]
            self._sleep(wait)

    def _failed(self, ledger: Ledger, table: str, item: Row, error: SiteError) -> None:
        attempts = item["attempts"] + 1
        changes: dict[str, object] = {"attempts": attempts, "error": str(error)}
        if isinstance(error, Unwanted):
            changes["state"] = "skipped"
        elif isinstance(error, Gone) or attempts >= self._retry.attempts:
            changes["state"] = "failed"
        doubled = self._retry.wait_sec * 2 ** (attempts - 1)
        wait = max(self._about(min(doubled, self._retry.longest_wait_sec)), error.wait_sec)
        changes["next_try"] = self._clock() + wait
        if table == "videos":
            changes["failed_in"] = "download"
        with ledger.writing():
            ledger.update(table, item["id"], changes)
        if not isinstance(error, Throttled):
            self._num_throttled = 0
            return
        self._num_throttled += 1
        self._not_before = self._clock() + wait
        if self._num_throttled == MOST_THROTTLED:
            raise SelfcureError(
                f"the site asked for fewer requests {MOST_THROTTLED} times in a row ({error}); what was found is kept: "
                "repeat the command in some hours, with a longer pause_sec in collect.yaml"
            )

    def _about(self, seconds: float) -> float:
        return seconds * self._chance.uniform(0.5, 1.5)


def retry_failed(ledger: Ledger, stage: str) -> int:
    """Let what failed, or was left out, in a stage (``search``, ``download``, ``clips``) wait again; the number of rows."""
    with ledger.writing():
        if stage == "search":
            return ledger.run(
                "UPDATE queries SET state = 'waiting', attempts = 0, next_try = 0 WHERE state = 'failed'"
            )
        state = {"download": "found", "clips": "downloaded"}[stage]
        return ledger.run(
            "UPDATE videos SET state = ?, attempts = 0, next_try = 0 "
            "WHERE state IN ('failed', 'skipped') AND failed_in = ?",
            (state, stage),
        )
