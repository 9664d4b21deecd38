"""Who decided what: the entries of the store, folded into the state of every sample."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from selfcure.review.store import Entry
from selfcure.review.verdict import Verdict

OPEN, DECIDED, DISPUTED, SKIPPED = range(4)
STATES = ("open", "decided", "disputed", "skipped")

_PACE_SEC = 600.0


@dataclass(slots=True)
class _Reviewer:
    actions: dict[str, None] = field(default_factory=dict)
    """Actions that an undo can take back, oldest first: a set that keeps its order."""
    rows: set[int] = field(default_factory=set)
    """Samples with a verdict of this reviewer."""
    times: list[float] = field(default_factory=list)


class Book:
    """The state of N samples after any number of entries.

    A sample is *decided* where all reviewers with a verdict agree or one has settled it, *disputed* where they do not,
    *skipped* where nobody said more than that, else *open*.
    """

    def __init__(self, num_samples: int):
        self.last_seq = 0
        self.num_unknown = 0
        """Entries on samples that are not there."""
        self.state = np.zeros(num_samples, np.int8)
        self.changed_at = np.full(num_samples, -np.inf)
        """[N] when a sample was last decided, seconds since 1970."""
        self._by_row: dict[int, list[Entry]] = {}
        self._by_action: dict[str, list[tuple[int, Entry]]] = defaultdict(list)
        self._reviewers: dict[str, _Reviewer] = defaultdict(_Reviewer)

    def add(self, entries: Iterable[tuple[int | None, Entry]]) -> None:
        """Take in entries with the rows of their samples, None for a sample that is not there."""
        for row, entry in entries:
            self.last_seq = entry.seq
            if row is None:
                self.num_unknown += 1
            elif entry.kind == "undo":
                self._undo(row, entry)
            else:
                self._decide(row, entry)

    @property
    def reviewers(self) -> list[str]:
        return sorted(name for name, reviewer in self._reviewers.items() if reviewer.actions)

    def entries(self, row: int) -> list[Entry]:
        """What was decided on a sample and not undone, oldest first."""
        return self._by_row.get(row, [])

    def opinions(self, row: int) -> dict[str, Entry]:
        """Each reviewer's last word on a sample."""
        return _opinions(self.entries(row))

    def verdict(self, row: int) -> Verdict | None:
        """What holds for a sample, None where it is open, skipped or disputed."""
        if self.state[row] != DECIDED:
            return None
        return Verdict.parse(_last_word(self.entries(row))[1] or "[]")

    def verdict_of(self, reviewer: str, row: int) -> Verdict | None:
        """One reviewer's verdict on a sample."""
        entry = self.opinions(row).get(reviewer)
        return None if entry is None or entry.after is None else Verdict.parse(entry.after)

    def undoable(self, reviewer: str) -> list[tuple[int, Entry]]:
        """The reviewer's last action that is not undone: rows and entries; empty where there is none."""
        actions = self._reviewers[reviewer].actions if reviewer in self._reviewers else {}
        return self._by_action[next(reversed(actions))] if actions else []

    def rows_of(self, reviewer: str) -> set[int]:
        """Samples that the reviewer gave a verdict on."""
        return self._reviewers[reviewer].rows if reviewer in self._reviewers else set()

    def touched(self) -> list[int]:
        """Samples that anybody decided or skipped."""
        return sorted(self._by_row)

    def counts(self) -> dict[str, int]:
        """Samples in each state."""
        return dict(zip(STATES, np.bincount(self.state, minlength=len(STATES)).tolist(), strict=True))

    def pace(self, reviewer: str, now: float | None = None) -> float | None:
        """Samples per minute over the reviewer's last ten minutes of work; None before there are five."""
        times = self._reviewers[reviewer].times if reviewer in self._reviewers else []
        now = time.time() if now is None else now
        recent = [moment for moment in times[-500:] if now - moment <= _PACE_SEC]
        if len(recent) < 5:
            return None
        return 60 * (len(recent) - 1) / max(recent[-1] - recent[0], 1.0)

    def agreement(self) -> list[dict[str, object]]:
        """For each pair of reviewers: samples both decided, share with the same verdict, and Cohen's kappa of labels."""
        labels = {
            name: {row: verdict for row in sorted(r.rows) if (verdict := self.verdict_of(name, row))}
            for name, r in self._reviewers.items()
            if r.rows
        }
        names = sorted(labels)
        pairs = []
        for index, one in enumerate(names):
            for other in names[index + 1 :]:
                both = sorted(labels[one].keys() & labels[other].keys())
                if both:
                    verdicts = [(labels[one][row], labels[other][row]) for row in both]
                    same = sum(a == b for a, b in verdicts) / len(both)
                    pairs.append(
                        {
                            "reviewers": [one, other],
                            "num_both": len(both),
                            "same": same,
                            "kappa": _kappa([(a.text(), b.text()) for a, b in verdicts]),
                        }
                    )
        return pairs

    def _decide(self, row: int, entry: Entry) -> None:
        self._by_row.setdefault(row, []).append(entry)
        known = self._by_action[entry.action]
        known.append((row, entry))
        reviewer = self._reviewers[entry.reviewer]
        if len(known) == 1:
            reviewer.actions[entry.action] = None
        reviewer.times.append(entry.time)
        self._settle(row, entry)

    def _undo(self, row: int, entry: Entry) -> None:
        entries = self._by_row.get(row, [])
        taken_back = next((e for e in entries if e.seq == entry.undoes), None)
        if taken_back is None:  # two processes undid the same action; once is enough
            return
        entries.remove(taken_back)
        if not entries:
            del self._by_row[row]
        reviewer = self._reviewers[entry.reviewer]
        reviewer.actions.pop(taken_back.action, None)
        if reviewer.times:
            reviewer.times.pop()
        self._settle(row, entry)

    def _settle(self, row: int, entry: Entry) -> None:
        entries = self.entries(row)
        self.state[row] = _last_word(entries)[0]
        self.changed_at[row] = entries[-1].time if entries else -np.inf
        own = self.opinions(row).get(entry.reviewer)
        rows = self._reviewers[entry.reviewer].rows
        if own is not None and own.after is not None:
            rows.add(row)
        else:
            rows.discard(row)


def _opinions(entries: list[Entry]) -> dict[str, Entry]:
    """The last entry of each reviewer; a skip takes no verdict back."""
    opinions: dict[str, Entry] = {}
    for entry in entries:
        if entry.after is not None or entry.reviewer not in opinions:
            opinions[entry.reviewer] = entry
    return opinions


def _last_word(entries: list[Entry]) -> tuple[int, str | None]:
    """State of a sample, and the verdict where it is decided."""
    if not entries:
        return OPEN, None
    opinions = _opinions(entries)
    settled = [entry for entry in opinions.values() if entry.settles and entry.after is not None]
    if settled:
        return DECIDED, max(settled, key=lambda entry: entry.seq).after
    verdicts = {entry.after for entry in opinions.values()} - {None}
    if not verdicts:
        return SKIPPED, None
    return (DECIDED, verdicts.pop()) if len(verdicts) == 1 else (DISPUTED, None)


def _kappa(pairs: list[tuple[str, str]]) -> float | None:
    """Cohen's kappa: agreement beyond what chance would give; None where chance alone would always agree.

    >>> _kappa([("a", "a"), ("b", "b"), ("a", "b"), ("b", "a")])
    0.0
    """
    total = len(pairs)
    seen = sum(a == b for a, b in pairs) / total
    left, right = (Counter(pair[side] for pair in pairs) for side in (0, 1))
    chance = sum(left[value] * right[value] for value in left) / total**2
    return None if chance >= 1 else (seen - chance) / (1 - chance)
