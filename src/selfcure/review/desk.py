"""The review desk without the web: what there is to review, who decided what, and what to look at next."""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from selfcure.errors import SelfcureError, check_choice
from selfcure.review.book import DECIDED, OPEN, SKIPPED, Book
from selfcure.review.expected import ENOUGH
from selfcure.review.outputs import load_prepared
from selfcure.review.pictures import Pictures
from selfcure.review.queue import Query, Sorter, select
from selfcure.review.reckoning import Reckoning
from selfcure.review.samples import RowFinder, Samples, open_data, read_samples
from selfcure.review.store import Entry, Store
from selfcure.review.verdict import KINDS, REJECTED, Verdict
from selfcure.runs import RunFolder

_LISTS = 32
"""Lists of rows that are remembered, so that a page scrolls through what it asked for, whatever changes."""
_CLAIM_SEC = 120.0
_AHEAD = 8
MOST_AT_ONCE = 5000
"""Samples that one action may decide."""


class NoSuchSample(SelfcureError):
    """A row that there is not."""


class Desk:
    """All that the page asks of a run; threads share it, and other processes may decide on the same run.

    Raises:
        SelfcureError: as :func:`~selfcure.review.samples.open_data`, :func:`~selfcure.review.samples.read_samples` and
            :class:`~selfcure.review.store.Store`.
    """

    def __init__(self, run: RunFolder, data: Path | None = None):
        self.run = run
        self.dataset = open_data(run, data)
        self.prepared = load_prepared(run, self.dataset)
        self.samples: Samples = read_samples(run, self.dataset, self.prepared)
        self.pictures = Pictures(self.dataset, self.samples)
        self.version = str(run.document["dataset"]["fingerprint"])
        self.store = Store(run.path, self.version)
        self.book = Book(len(self.samples))
        self._rows = RowFinder(self.samples)
        self._sorter = Sorter(self.samples)
        self._lists: OrderedDict[str, tuple[Query, np.ndarray]] = OrderedDict()
        self._claims: dict[int, tuple[str, float]] = {}
        self._reckoning = Reckoning(self.samples, self.book)
        self.lock = threading.RLock()
        self._label_changes: dict[int, list[tuple[int, int]]] | None = None
        self.refresh()

    def close(self) -> None:
        self.store.close()

    def refresh(self) -> None:
        """Take in what other processes have decided."""
        with self.lock:
            self._take_in(self.store.after(self.book.last_seq))

    def decide(
        self,
        *,
        action: str,
        reviewer: str,
        rows: Sequence[int],
        kind: str,
        weights: Mapping[int, float] | None = None,
        settles: bool = False,
        seconds: float | None = None,
    ) -> list[int]:
        """Save one action of a reviewer; on the disk when this returns. Saved before, it is not saved again.

        Args:
            action: the browser's name for it.
            rows: the samples decided.
            kind: one of :data:`~selfcure.review.verdict.KINDS`.
            weights: class → weight: one class for ``choose``, several for ``ambiguous``.
            settles: the last word on samples that reviewers disagree about.
            seconds: how long it took.

        Returns:
            The rows.

        Raises:
            SelfcureError: a row or class that there is not, or weights that do not fit the kind.
            sqlite3.Error: the disk does not take it; nothing was saved.
        """
        check_choice("kind of decision", kind, KINDS)
        self._check_rows(rows)
        verdict = self._same_for_all(kind, weights or {})
        with self.lock, self.store.writing():
            self._take_in(self.store.after(self.book.last_seq))
            if self.store.has(action):
                return list(rows)
            now = time.time()
            entries = []
            for row in dict.fromkeys(rows):
                split, _ = self.samples.split_of(row)
                after = self._own(kind, row) if verdict is None else verdict
                before = self.book.verdict_of(reviewer, row) or self.samples.given_verdict(row)
                entries.append(
                    Entry(
                        action=action,
                        reviewer=reviewer,
                        time=now,
                        split=split,
                        id=self.samples.id(row),
                        kind=kind,
                        before=before.text(),
                        after=None if after is None else after.text(),
                        settles=int(settles),
                        seconds=seconds,
                    )
                )
            self.store.append(entries)
        self.refresh()
        return list(rows)

    def undo(self, *, action: str, reviewer: str) -> list[int]:
        """Take back the reviewer's last action that is not taken back yet; saved when this returns.

        Returns:
            The rows that it was about; empty where there is nothing left to undo.

        Raises:
            sqlite3.Error: the disk does not take it; nothing was saved.
        """
        with self.lock, self.store.writing():
            self._take_in(self.store.after(self.book.last_seq))
            if self.store.has(action):
                saved = [e for e in self.store.after(0) if e.action == action]
                return [row for e in saved if (row := self._rows.row(e.split, e.id)) is not None]
            undone = self.book.undoable(reviewer)
            now = time.time()
            entries = [
                Entry(
                    action=action,
                    reviewer=reviewer,
                    time=now,
                    split=entry.split,
                    id=entry.id,
                    kind="undo",
                    before=entry.after or "null",
                    after=entry.before if entry.after else None,
                    undoes=entry.seq,
                )
                for _, entry in undone
            ]
            rows = [row for row, _ in undone]
            self.store.append(entries)
        self.refresh()
        return rows

    def query(self, query: Query) -> tuple[str, int]:
        """A list of samples to page through: its name, and how many there are."""
        with self.lock:
            self.refresh()
            rows = select(self.samples, self.book, self._sorter, query)
            name = uuid4().hex
            self._lists[name] = (query, rows)
            while len(self._lists) > _LISTS:
                self._lists.popitem(last=False)
        return name, len(rows)

    def rows(self, name: str) -> np.ndarray:
        """[M] the rows of a list.

        Raises:
            KeyError: it is not remembered any more.
        """
        with self.lock:
            self._lists.move_to_end(name)
            return self._lists[name][1]

    def next(self, name: str, start: int, *, reviewer: str, step: int = 1) -> tuple[int | None, list[int]]:
        """The first position of a list from ``start`` on that this reviewer should look at, and rows that come after it.

        Passed over are samples that another reviewer is looking at and those that no longer are in the state that the
        list was made for, because somebody has decided them since.

        Raises:
            KeyError: the list is not remembered any more.
        """
        with self.lock:
            self.refresh()
            query, rows = self._lists[name][0], self.rows(name)
            now = time.time()
            position = start
            while 0 <= position < len(rows):
                row = int(rows[position])
                if self._is_due(row, query, reviewer, now):
                    self._claim(row, reviewer, now)
                    return position, rows[position + 1 : position + 1 + _AHEAD].tolist()
                position += step
            return None, []

    def wrong_probability(self, row: int) -> float | None:
        """P(label wrong) of a sample by suspicion and all decisions so far, None where it cannot be told yet."""
        with self.lock:
            return self._reckoning.probability(row)

    def expected_wrong(self) -> dict[str, Any] | None:
        """As :meth:`~selfcure.review.reckoning.Reckoning.expected_wrong`."""
        with self.lock:
            return self._reckoning.expected_wrong()

    def progress(self, reviewer: str) -> dict[str, Any]:
        """Counts by state, this reviewer's part and pace, and how many wrong labels are expected among the open."""
        with self.lock:
            self.refresh()
            mine = self.book.rows_of(reviewer)
            return {
                "num_samples": len(self.samples),
                "states": self.book.counts(),
                "mine": len(mine),
                "pace": self.book.pace(reviewer),
                "expected_wrong": self.expected_wrong(),
                "enough": ENOUGH,
                "reviewers": self.book.reviewers,
                "num_lost": self.book.num_unknown,
                "can_undo": bool(self.book.undoable(reviewer)),
            }

    def label_changes(self, row: int) -> list[tuple[int, int]]:
        """(epoch, new label) of every change that training made to a sample."""
        split, position = self.samples.split_of(row)
        if split != "train":
            return []
        with self.lock:
            if self._label_changes is None:
                table = self.run.changes(["epoch", "row", "to"])
                self._label_changes = {}
                for epoch, changed, label in zip(
                    *(table[c].to_pylist() for c in table.column_names), strict=True
                ):
                    self._label_changes.setdefault(changed, []).append((epoch, label))
            return self._label_changes.get(position, [])

    def check_row(self, row: int) -> None:
        """Raise :class:`NoSuchSample` unless there is a row of this number."""
        if not 0 <= row < len(self.samples):
            raise NoSuchSample(f"there is no sample {row}; they are numbered 0 to {len(self.samples) - 1}")

    def _is_due(self, row: int, query: Query, reviewer: str, now: float) -> bool:
        match query.state:
            case "open" if self.book.state[row] != OPEN:
                return False
            case "mine_open" if row in self.book.rows_of(reviewer):
                return False
            case "disputed" if self.book.state[row] == DECIDED:
                return False
            case "skipped" if self.book.state[row] != SKIPPED:
                return False
        who, until = self._claims.get(row, ("", 0.0))
        # Asked for by everybody's own opinion, two may look at the same face at once.
        return query.state == "mine_open" or who in ("", reviewer) or until < now

    def _claim(self, row: int, reviewer: str, now: float) -> None:
        # A reviewer looks at one face at a time.
        self._claims = {r: c for r, c in self._claims.items() if c[0] != reviewer and c[1] >= now}
        self._claims[row] = (reviewer, now + _CLAIM_SEC)

    def _same_for_all(self, kind: str, weights: Mapping[int, float]) -> Verdict | None:
        """The verdict that does not depend on the sample, if there is one."""
        num_classes = len(self.samples.class_names)
        if kind not in ("choose", "ambiguous") and weights:
            raise SelfcureError(f"a decision of kind {kind!r} takes no classes")
        if kind == "ambiguous":
            return Verdict.soft(weights, num_classes)
        if kind == "choose":
            if len(weights) != 1:
                raise SelfcureError(f"choose takes one class, not {len(weights)}")
            (label,) = weights
            if not 0 <= label < num_classes:
                raise SelfcureError(
                    f"class {label} is outside the {num_classes} classes (0–{num_classes - 1})"
                )
            return Verdict.of(label)
        return REJECTED if kind == "reject" else None

    def _own(self, kind: str, row: int) -> Verdict | None:
        """The verdict that depends on the sample; None for a skip."""
        if kind == "skip":
            return None
        return (
            Verdict.of(self.samples.suggested[row]) if kind == "accept" else self.samples.given_verdict(row)
        )

    def _check_rows(self, rows: Sequence[int]) -> None:
        if not 0 < len(rows) <= MOST_AT_ONCE:
            raise SelfcureError(f"one action decides 1 to {MOST_AT_ONCE:,} samples, not {len(rows):,}")
        for row in rows:
            self.check_row(row)

    def _take_in(self, entries: list[Entry]) -> None:
        self.book.add((self._rows.row(entry.split, entry.id), entry) for entry in entries)
