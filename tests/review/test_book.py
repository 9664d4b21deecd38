"""The fold of decisions, against a replay of the whole list from the beginning."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfcure.review.book import DECIDED, DISPUTED, OPEN, SKIPPED, Book
from selfcure.review.store import Entry
from selfcure.review.verdict import Verdict

ONE, TWO = "[[1,1.0]]", "[[2,1.0]]"


class Writer:
    """Writes entries as a desk would."""

    def __init__(self, num_samples: int):
        self.book, self.entries, self.num = Book(num_samples), [], 0

    def decide(self, reviewer, rows, after, settles=0):
        self.num += 1
        made = [
            (
                row,
                Entry(
                    f"a{self.num}",
                    reviewer,
                    self.num,
                    "train",
                    str(row),
                    "choose",
                    "[]",
                    after,
                    settles,
                    None,
                    None,
                    self._seq(k),
                ),
            )
            for k, row in enumerate(rows)
        ]
        self._add(made)

    def undo(self, reviewer):
        self.num += 1
        undone = self.book.undoable(reviewer)
        self._add(
            [
                (
                    row,
                    Entry(
                        f"u{self.num}",
                        reviewer,
                        self.num,
                        "train",
                        str(row),
                        "undo",
                        "[]",
                        None,
                        0,
                        e.seq,
                        None,
                        self._seq(k),
                    ),
                )
                for k, (row, e) in enumerate(undone)
            ]
        )

    def _seq(self, k):
        return len(self.entries) + k + 1

    def _add(self, made):
        self.entries += made
        self.book.add(made)


def naive_state(entries, row):
    """State and verdict of a sample from its list of entries alone."""
    undone = {e.undoes for _, e in entries if e.kind == "undo"}
    opinions = {}
    for other, entry in entries:
        if other != row or entry.kind == "undo" or entry.seq in undone:
            continue
        if entry.after is None:
            opinions.setdefault(entry.reviewer, (None, 0, 0))
        else:
            opinions[entry.reviewer] = (entry.after, entry.settles, entry.seq)
    if not opinions:
        return OPEN, None
    verdicts = [o for o in opinions.values() if o[0] is not None]
    if not verdicts:
        return SKIPPED, None
    if any(settles for _, settles, _ in verdicts):
        return DECIDED, max((o for o in verdicts if o[1]), key=lambda o: o[2])[0]
    if len({after for after, _, _ in verdicts}) == 1:
        return DECIDED, verdicts[0][0]
    return DISPUTED, None


ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("decide"),
            st.sampled_from("ab"),
            st.sets(st.integers(0, 3), min_size=1),
            st.sampled_from([ONE, TWO, "[]", None]),
            st.booleans(),
        ),
        st.tuples(st.just("undo"), st.sampled_from("ab")),
    ),
    max_size=25,
)


@given(ACTIONS)
@settings(deadline=None)
def test_any_history_gives_the_state_of_its_replay(actions):
    writer = Writer(4)
    for name, reviewer, *rest in actions:
        if name == "undo":
            writer.undo(reviewer)
        else:
            writer.decide(reviewer, sorted(rest[0]), rest[1], int(rest[2]))
    replayed = Book(4)
    replayed.add(writer.entries)
    for row in range(4):
        state, verdict = naive_state(writer.entries, row)
        for book in (writer.book, replayed):
            assert book.state[row] == state
            assert book.verdict(row) == (None if verdict is None else Verdict.parse(verdict))


@given(ACTIONS)
@settings(deadline=None)
def test_undoing_everything_opens_everything(actions):
    writer = Writer(4)
    for name, reviewer, *rest in actions:
        if name == "decide":
            writer.decide(reviewer, sorted(rest[0]), rest[1])
    for reviewer in "ab":
        while writer.book.undoable(reviewer):
            writer.undo(reviewer)
    assert writer.book.counts() == {"open": 4, "decided": 0, "disputed": 0, "skipped": 0}
    assert writer.book.touched() == []
    assert writer.book.reviewers == []


def test_an_undo_takes_back_ones_own_last_action_whole():
    writer = Writer(5)
    writer.decide("ann", [0, 1], ONE)
    writer.decide("bob", [2], ONE)
    writer.decide("ann", [3, 4], TWO)
    assert [row for row, _ in writer.book.undoable("ann")] == [3, 4]
    writer.undo("ann")
    assert [row for row, _ in writer.book.undoable("ann")] == [0, 1]
    writer.undo("ann")
    assert writer.book.undoable("ann") == []
    assert writer.book.counts()["decided"] == 1


def test_a_skip_takes_no_verdict_back():
    writer = Writer(1)
    writer.decide("ann", [0], ONE)
    writer.decide("ann", [0], None)
    assert writer.book.verdict(0) == Verdict.of(1)


def test_agreement_of_two_reviewers():
    writer = Writer(5)
    writer.decide("ann", [0, 1], ONE)
    writer.decide("ann", [2, 3], TWO)
    writer.decide("bob", [0, 2, 4], ONE)
    writer.decide("bob", [3], TWO)
    (pair,) = writer.book.agreement()
    # Of three both decided (0, 2, 3) two are the same. Chance: 1/3 · 2/3 + 2/3 · 1/3 = 4/9; (2/3 − 4/9) / (5/9) = 0.4.
    assert pair == {
        "reviewers": ["ann", "bob"],
        "num_both": 3,
        "same": pytest.approx(2 / 3),
        "kappa": pytest.approx(0.4),
    }


def test_pace_counts_the_last_ten_minutes():
    writer = Writer(40)
    for row in range(20):
        writer.decide("ann", [row], ONE)  # one a second
    assert writer.book.pace("ann", now=20) == pytest.approx(60)
    assert writer.book.pace("ann", now=10_000) is None
    assert writer.book.pace("nobody") is None


def test_entries_on_samples_that_are_gone_are_counted():
    book = Book(1)
    book.add([(None, Entry("a", "ann", 1.0, "train", "gone", "choose", "[]", ONE, seq=7))])
    assert (book.num_unknown, book.last_seq) == (1, 7)
    assert book.counts()["open"] == 1
