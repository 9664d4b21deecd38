"""What a project knows: queries, videos, votes, clips and tracks, in one SQLite file.

Every change of a state is one transaction, on the disk before it counts: a kill at any moment leaves each query and each
video either before a step or after it.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selfcure.errors import SelfcureError

_FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS queries (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL, class TEXT NOT NULL, word TEXT NOT NULL, country TEXT, age TEXT,
    state TEXT NOT NULL DEFAULT 'waiting',  -- waiting, done, failed
    attempts INTEGER NOT NULL DEFAULT 0, error TEXT, next_try REAL NOT NULL DEFAULT 0,
    num_found INTEGER, num_left_out INTEGER, checksum TEXT,  -- of the ids that it found, in order
    UNIQUE (text, class)
);
CREATE TABLE IF NOT EXISTS videos (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,                -- ours, safe as a file name
    site TEXT NOT NULL, site_id TEXT NOT NULL, url TEXT NOT NULL,
    title TEXT, uploader TEXT, license TEXT, duration_sec REAL,
    state TEXT NOT NULL,                    -- found, downloaded, clipped, skipped, failed
    failed_in TEXT, attempts INTEGER NOT NULL DEFAULT 0, error TEXT, next_try REAL NOT NULL DEFAULT 0,
    file TEXT, bytes INTEGER, checksum TEXT, stamp TEXT,
    num_shots INTEGER, note TEXT
);
CREATE INDEX IF NOT EXISTS videos_by_state ON videos (state, next_try);
CREATE TABLE IF NOT EXISTS votes (
    video TEXT NOT NULL REFERENCES videos (id), class TEXT NOT NULL, query INTEGER NOT NULL,  -- 0: a folder or table
    PRIMARY KEY (video, class, query)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clips (
    id TEXT PRIMARY KEY, video TEXT NOT NULL REFERENCES videos (id), number INTEGER NOT NULL,
    start_sec REAL NOT NULL, end_sec REAL NOT NULL, checksum BLOB NOT NULL,  -- how it looks
    state TEXT NOT NULL DEFAULT 'kept',     -- kept, duplicate
    same_as TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tracks (
    clip TEXT NOT NULL REFERENCES clips (id), number INTEGER NOT NULL,
    start_sec REAL NOT NULL, end_sec REAL NOT NULL, seen BLOB NOT NULL,  -- float32: time, box, score of each sight
    PRIMARY KEY (clip, number)
) WITHOUT ROWID;
"""

Row = Mapping[str, Any]


class Ledger:
    """The ledger of one project.

    Raises:
        SelfcureError: the file cannot be opened, or is another program's or version's.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            self._db.execute("INSERT OR IGNORE INTO about VALUES ('format', ?)", (str(_FORMAT),))
            format_ = self.about("format")
        except sqlite3.Error as error:
            raise SelfcureError(
                f"{path} cannot be used: {error}; mend that, or move the file away"
            ) from error
        if format_ != str(_FORMAT):
            raise SelfcureError(f"{path} was written by another version of selfcure; use that one")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator["Ledger"]:
        """A transaction: all of it is on the disk afterwards, or none."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """What a SELECT gives."""
        return [dict(row) for row in self._db.execute(sql, values)]

    def value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The one value of a SELECT, None where there is no row."""
        row = self._db.execute(sql, values).fetchone()
        return row[0] if row else None

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Change something, inside :meth:`writing`; the number of rows that it touched."""
        return self._db.execute(sql, values).rowcount

    def insert(self, table: str, row: Mapping[str, Any], *, or_ignore: bool = False) -> bool:
        """Add a row, inside :meth:`writing`; whether it is new."""
        marks = ", ".join("?" * len(row))
        verb = "INSERT OR IGNORE" if or_ignore else "INSERT"
        sql = f"{verb} INTO {table} ({', '.join(row)}) VALUES ({marks})"
        return self.run(sql, list(row.values())) == 1

    def update(self, table: str, id: int | str, changes: Mapping[str, Any]) -> None:
        """Change the row of that ``id``, inside :meth:`writing`."""
        assignments = ", ".join(f"{name} = ?" for name in changes)
        self.run(f"UPDATE {table} SET {assignments} WHERE id = ?", [*changes.values(), id])

    def vote(self, video: str, votes: Iterable[tuple[str, int]]) -> None:
        """Add (class, query) votes for a video, inside :meth:`writing`; those that are there stay."""
        for class_name, query in votes:
            self.run("INSERT OR IGNORE INTO votes VALUES (?, ?, ?)", (video, class_name, query))

    def votes(self) -> dict[str, dict[str, int]]:
        """Video → class → queries that found it."""
        found: dict[str, dict[str, int]] = {}
        for row in self.rows("SELECT video, class, COUNT(*) AS num FROM votes GROUP BY video, class"):
            found.setdefault(row["video"], {})[row["class"]] = row["num"]
        return found

    def count(self, table: str) -> dict[str, int]:
        """State → rows."""
        return {
            r["state"]: r["n"] for r in self.rows(f"SELECT state, COUNT(*) AS n FROM {table} GROUP BY state")
        }

    def about(self, name: str) -> str | None:
        """A fact about the project."""
        return self.value("SELECT value FROM about WHERE name = ?", (name,))

    def note(self, name: str, value: str) -> None:
        """Set a fact about the project, inside :meth:`writing`."""
        self.run("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))
