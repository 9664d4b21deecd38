"""Decisions on disk: one append-only table in the run folder, safe before anything is shown as done.

SQLite in WAL mode with ``synchronous=FULL``: a commit is on the disk when it returns, whatever is killed afterwards.
Nothing is ever updated or deleted (triggers refuse it); an undo is one more row that names what it takes back.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from selfcure.errors import SelfcureError

NAME = "review.sqlite"
_FORMAT = 1
_BUSY_SEC = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS decision (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  action TEXT NOT NULL,     -- one key press; the browser's name for it, so that a repeated save is one row
  reviewer TEXT NOT NULL,
  time REAL NOT NULL,       -- seconds since 1970, UTC
  split TEXT NOT NULL,
  id TEXT NOT NULL,
  kind TEXT NOT NULL,       -- accept, keep, choose, ambiguous, reject, skip; undo
  before TEXT NOT NULL,     -- what held for this reviewer: [[class, weight], …]
  after TEXT,               -- what holds from now on; [] rejected, NULL for a skip
  settles INTEGER NOT NULL, -- 1: the last word on a face that reviewers disagree about
  undoes INTEGER REFERENCES decision (seq),
  seconds REAL,             -- how long the face was looked at
  UNIQUE (action, split, id)
) STRICT;
CREATE TRIGGER IF NOT EXISTS decision_stays BEFORE UPDATE ON decision
  BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END;
CREATE TRIGGER IF NOT EXISTS decision_is_kept BEFORE DELETE ON decision
  BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END;
"""
_COLUMNS = "action, reviewer, time, split, id, kind, before, after, settles, undoes, seconds"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table of decisions; the columns are explained there."""

    action: str
    reviewer: str
    time: float
    split: str
    id: str
    kind: str
    before: str
    after: str | None
    settles: int = 0
    undoes: int | None = None
    seconds: float | None = None
    seq: int = 0
    """Set by the database."""


class Store:
    """The decisions of one run folder; threads and processes may share the file.

    Args:
        fingerprint: of the samples that are reviewed; a file made for others is refused.
        read_only: for reading what there is; the file must exist.

    Raises:
        SelfcureError: the file cannot be opened, is damaged, or belongs to other samples.
    """

    def __init__(self, folder: Path, fingerprint: str, *, read_only: bool = False):
        self.path = folder / NAME
        self._lock = threading.RLock()
        if read_only and not self.path.is_file():
            raise SelfcureError(
                f"{folder} has no decisions yet ({NAME}); make some with 'selfcure review {folder}'"
            )
        try:
            self._db = sqlite3.connect(
                self.path, timeout=_BUSY_SEC, isolation_level=None, check_same_thread=False
            )
            if not read_only:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.executescript(_SCHEMA)
            self._check(fingerprint, read_only)
        except sqlite3.Error as error:
            raise SelfcureError(
                f"{self.path} cannot be used: {error}; mend that, or move the file away"
            ) from error

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction that no other writer is in: all of it is on the disk afterwards, or none.

        Raises:
            sqlite3.Error: the disk does not take it; nothing was written.
        """
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def append(self, entries: Sequence[Entry]) -> None:
        """Add rows; inside :meth:`writing`."""
        marks = ", ".join("?" * 11)
        rows = [astuple(entry)[:-1] for entry in entries]
        self._db.executemany(f"INSERT INTO decision ({_COLUMNS}) VALUES ({marks})", rows)

    def after(self, seq: int) -> list[Entry]:
        """All rows that came after ``seq``, oldest first."""
        with self._lock:
            rows = self._db.execute(
                f"SELECT {_COLUMNS}, seq FROM decision WHERE seq > ? ORDER BY seq", (seq,)
            ).fetchall()
        return [Entry(*row) for row in rows]

    def has(self, action: str) -> bool:
        """Whether an action is saved."""
        with self._lock:
            found = self._db.execute("SELECT 1 FROM decision WHERE action = ? LIMIT 1", (action,)).fetchone()
        return found is not None

    def _check(self, fingerprint: str, read_only: bool) -> None:
        ours = {"format": _FORMAT, "fingerprint": fingerprint}
        if not read_only:
            self._db.execute("INSERT OR IGNORE INTO about VALUES ('made for', ?)", (json.dumps(ours),))
        row = self._db.execute("SELECT value FROM about WHERE name = 'made for'").fetchone()
        theirs = json.loads(row[0]) if row else {}
        if theirs.get("format") != _FORMAT:
            raise SelfcureError(f"{self.path} was written by another version of selfcure; use that one")
        if theirs.get("fingerprint") != fingerprint:
            raise SelfcureError(
                f"{self.path} holds decisions on other samples or labels than this run has; move it away to start over"
            )
