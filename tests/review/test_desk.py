"""Deciding: saved before it counts, once, undone without end, by several people and processes."""

import shutil
import sqlite3
import threading

import numpy as np
import pytest

from selfcure.errors import SelfcureError
from selfcure.review.desk import Desk, NoSuchSample
from selfcure.review.queue import Query
from selfcure.review.samples import open_data
from selfcure.review.verdict import REJECTED, Verdict
from selfcure.runs import RunFolder


def decide(desk, number, rows, kind, reviewer="ann", **more):
    return desk.decide(action=f"action-{number}", reviewer=reviewer, rows=rows, kind=kind, **more)


def test_each_kind_means_what_it_says(desk):
    s = desk.samples
    row = int(np.flatnonzero(s.given != s.suggested)[0])
    for number, (kind, weights, verdict) in enumerate(
        [
            ("accept", None, Verdict.of(s.suggested[row])),
            ("keep", None, Verdict.of(s.given[row])),
            ("choose", {2: 1}, Verdict.of(2)),
            ("ambiguous", {0: 1, 2: 3}, Verdict(((0, 0.25), (2, 0.75)))),
            ("reject", None, REJECTED),
        ]
    ):
        decide(desk, number, [row], kind, weights=weights)
        assert desk.book.verdict(row) == verdict, kind
    before = [entry.before for entry in desk.store.after(0)]
    assert before[0] == Verdict.of(s.given[row]).text()
    assert before[1] == Verdict.of(s.suggested[row]).text(), "before is what this reviewer had said"


def test_undo_goes_back_to_the_beginning_and_is_only_ever_appended(desk):
    decide(desk, 1, [5], "choose", weights={1: 1})
    decide(desk, 2, [5, 6], "reject")
    assert desk.undo(action="undo-1", reviewer="ann") == [5, 6]
    assert desk.book.verdict(5) == Verdict.of(1)
    assert desk.undo(action="undo-2", reviewer="ann") == [5]
    assert desk.undo(action="undo-3", reviewer="ann") == []
    assert desk.book.counts()["open"] == 160
    assert [e.kind for e in desk.store.after(0)] == ["choose", "reject", "reject", "undo", "undo", "undo"]


def test_an_action_that_is_sent_twice_counts_once(desk):
    for _ in range(2):
        decide(desk, 1, [5], "reject")
    decide(desk, 2, [6], "reject")
    for _ in range(2):
        assert desk.undo(action="undo-1", reviewer="ann") == [6]
    assert [e.kind for e in desk.store.after(0)] == ["reject", "reject", "undo"]
    assert desk.book.counts()["decided"] == 1


def test_a_desk_opened_later_knows_everything(desk, run):
    decide(desk, 1, [5, 150], "reject")
    again = Desk(RunFolder(run))
    assert again.book.verdict(5) == again.book.verdict(150) == REJECTED
    decide(again, 2, [7], "reject", "bob")  # and the first one learns of it
    desk.refresh()
    assert desk.book.verdict(7) == REJECTED
    again.close()


def test_two_reviewers_who_differ_make_a_dispute_and_one_settles_it(desk):
    decide(desk, 1, [5], "choose", weights={1: 1})
    decide(desk, 2, [5], "choose", "bob", weights={2: 1})
    assert desk.book.counts()["disputed"] == 1
    name, num = desk.query(Query(state="disputed"))
    assert (num, desk.rows(name).tolist()) == (1, [5])
    decide(desk, 3, [5], "choose", "eve", weights={0: 1}, settles=True)
    assert desk.book.verdict(5) == Verdict.of(0)
    desk.undo(action="undo-1", reviewer="eve")
    assert desk.book.counts()["disputed"] == 1


def test_reviewers_are_not_shown_the_same_face(desk):
    name, _ = desk.query(Query(state="open", split="train"))
    rows = desk.rows(name).tolist()
    assert desk.next(name, 0, reviewer="ann")[0] == 0
    assert desk.next(name, 0, reviewer="bob")[0] == 1
    position, ahead = desk.next(name, 1, reviewer="ann")  # bob looks at 1; ann lets go of 0
    assert (position, ahead[:2]) == (2, rows[3:5])
    assert desk.next(name, 0, reviewer="eve")[0] == 0
    decide(desk, 1, [rows[3]], "keep", "eve")
    assert desk.next(name, 3, reviewer="bob")[0] == 4, "decided meanwhile"
    assert desk.next(name, 119, reviewer="bob")[0] == 119
    assert desk.next(name, 120, reviewer="bob") == (None, [])


def test_everybodys_own_opinion_is_asked_of_everybody(desk):
    name, _ = desk.query(Query(state="mine_open", reviewer="ann"))
    row = int(desk.rows(name)[0])
    decide(desk, 1, [row], "keep", "bob")
    assert desk.next(name, 0, reviewer="bob")[0] == 1
    assert desk.next(name, 0, reviewer="ann")[0] == 0


def test_lists_stay_as_they_were_asked_for_and_old_ones_are_forgotten(desk):
    name, num = desk.query(Query(state="open"))
    rows = desk.rows(name).tolist()
    decide(desk, 1, rows[:3], "keep")
    assert desk.rows(name).tolist() == rows
    assert desk.query(Query(state="open"))[1] == num - 3
    for _ in range(40):
        desk.query(Query())
    with pytest.raises(KeyError):
        desk.rows(name)


def test_threads_lose_nothing(desk):
    def work(who):
        for number in range(25):
            desk.decide(action=f"{who}-{number}", reviewer=who, rows=[number, 100], kind="keep")

    threads = [threading.Thread(target=work, args=(who,)) for who in ("ann", "bob", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(desk.store.after(0)) == 3 * 50
    assert desk.book.counts()["decided"] == 26


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "agree"}, "unknown kind"),
        ({"rows": []}, "1 to 5,000 samples"),
        ({"kind": "choose"}, "takes one class"),
        ({"kind": "choose", "weights": {7: 1}}, "class 7 is outside the 3 classes"),
        ({"kind": "ambiguous", "weights": {1: 1}}, "at least two classes"),
        ({"kind": "ambiguous", "weights": {1: 1, 2: -1}}, "must be positive"),
        ({"kind": "ambiguous", "weights": {1: 1, 2: float("nan")}}, "must be positive"),
        ({"kind": "ambiguous", "weights": {1: 1, 3: 1}}, "class 3 is outside"),
        ({"kind": "keep", "weights": {1: 1}}, "takes no classes"),
        ({"rows": [160]}, "no sample 160"),
        ({"rows": [-1]}, "no sample -1"),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused_whole(desk, wrong, message):
    with pytest.raises(SelfcureError, match=message):
        desk.decide(**{"action": "action-1", "reviewer": "ann", "rows": [0], "kind": "keep", **wrong})
    assert desk.store.after(0) == []


def test_what_the_disk_does_not_take_is_not_decided(desk):
    desk.store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.Error):
        decide(desk, 1, [5], "keep")
    assert desk.book.counts()["open"] == 160
    desk.store._db.execute("PRAGMA query_only = OFF")
    decide(desk, 1, [5], "keep")
    assert desk.book.counts()["decided"] == 1


def test_the_number_of_wrong_labels_is_told_from_thirty_decisions_on(desk):
    """A reviewer who knows the truth decides the most suspicious ones."""
    truth = desk.dataset.split("train").true_labels
    name, _ = desk.query(Query(split="train"))
    order = desk.rows(name)
    assert desk.progress("ann")["expected_wrong"] is None
    for row in order[:29].tolist():
        decide(desk, row, [row], "choose", weights={int(truth[row]): 1})
    assert desk.expected_wrong() is None
    assert desk.wrong_probability(int(order[-1])) is None
    for row in order[29:60].tolist():
        decide(desk, row, [row], "choose", weights={int(truth[row]): 1})
    left, expected = order[60:], desk.progress("ann")["expected_wrong"]
    actual = (truth[left] != desk.samples.given[left]).sum()
    assert expected["num_samples"] == 60, "of the validation split nothing is known"
    assert abs(expected["guess"] - actual) < 8, (expected, actual)
    assert 0 <= expected["low"] <= expected["guess"] <= expected["high"]
    assert desk.wrong_probability(int(order[0])) > desk.wrong_probability(int(order[-1]))


def test_open_data_says_where_it_looked(run, tmp_path, stripes_folder):
    folder = RunFolder(run)
    other = shutil.copytree(stripes_folder, tmp_path / "moved")
    assert len(open_data(folder, tmp_path / "moved").split("train")) == 120
    folder.document["dataset"]["path"] = str(tmp_path / "gone")
    with pytest.raises(SelfcureError, match="say where it is with --data"):
        open_data(folder)
    folder.document["dataset"]["fingerprint"] = "another"
    with pytest.raises(SelfcureError, match="other samples or labels"):
        open_data(folder, other)


def test_rows_are_checked(desk):
    with pytest.raises(NoSuchSample, match="numbered 0 to 159"):
        desk.check_row(160)
