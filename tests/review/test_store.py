"""Decisions on disk: append-only, once each, and there after a kill."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from selfcure.errors import SelfcureError
from selfcure.review.store import NAME, Entry, Store

ENTRY = Entry("action-1", "ann", 1.0, "train", "a", "choose", "[[0,1.0]]", "[[1,1.0]]")


def test_what_is_appended_is_read_back_by_another_opener(tmp_path):
    store, other = Store(tmp_path, "f"), Store(tmp_path, "f")
    with store.writing():
        store.append([ENTRY, replace(ENTRY, id="b", after=None, seconds=2.5, settles=1)])
    entries = other.after(0)
    assert [replace(e, seq=0) for e in entries] == [
        ENTRY,
        replace(ENTRY, id="b", after=None, seconds=2.5, settles=1),
    ]
    assert other.after(entries[0].seq) == entries[1:]
    assert other.has("action-1")
    assert not other.has("action-2")


@pytest.mark.parametrize("change", ["UPDATE decision SET reviewer = 'eve'", "DELETE FROM decision"])
def test_nothing_is_changed_or_removed(tmp_path, change):
    store = Store(tmp_path, "f")
    with store.writing():
        store.append([ENTRY])
    with pytest.raises(sqlite3.Error, match="append-only"):
        sqlite3.connect(tmp_path / NAME, isolation_level=None).execute(change)
    assert [e.reviewer for e in store.after(0)] == ["ann"]


def test_a_failed_transaction_leaves_nothing(tmp_path):
    store = Store(tmp_path, "f")
    with pytest.raises(sqlite3.IntegrityError), store.writing():
        store.append([ENTRY, ENTRY])
    assert store.after(0) == []
    with store.writing():  # and the next one works
        store.append([ENTRY])
    assert len(store.after(0)) == 1


def test_commits_are_on_the_disk_before_they_return(tmp_path):
    store = Store(tmp_path, "f")
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_kill_loses_nothing_that_was_committed_and_keeps_nothing_that_was_not(tmp_path):
    script = """
        import os, signal, sys
        from dataclasses import replace
        from pathlib import Path
        from selfcure.review.store import Entry, Store
        entry = Entry("action-1", "ann", 1.0, "train", "a", "choose", "[]", "[]")
        store = Store(Path(sys.argv[1]), "f")
        for number in range(20):
            with store.writing():
                store.append([replace(entry, id=str(number))])
            print(number, flush=True)
        store._db.execute("BEGIN IMMEDIATE")
        store.append([replace(entry, id="never committed")])
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [e.id for e in Store(tmp_path, "f").after(0)] == [str(n) for n in range(20)]
    assert done.stdout.split() == [str(n) for n in range(20)]


def test_the_file_of_other_samples_is_refused(tmp_path):
    Store(tmp_path, "f").close()
    with pytest.raises(SelfcureError, match="other samples or labels"):
        Store(tmp_path, "g")


def test_a_damaged_file_is_the_users_to_mend(tmp_path):
    (tmp_path / NAME).write_bytes(b"this is no database at all" * 100)
    with pytest.raises(SelfcureError, match="move the file away"):
        Store(tmp_path, "f")


def test_reading_needs_a_file(tmp_path):
    with pytest.raises(SelfcureError, match="no decisions yet"):
        Store(tmp_path, "f", read_only=True)
    assert list(tmp_path.iterdir()) == []
