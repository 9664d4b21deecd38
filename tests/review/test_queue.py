"""Filters and orders against plain Python over one sample after the other."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcure.errors import SelfcureError
from selfcure.review.desk import Desk
from selfcure.review.queue import SORTS, Query, Sorter, select
from selfcure.runs import RunFolder


@pytest.fixture
def decided(desk):
    """A desk on which two reviewers have decided some samples."""
    for number, (reviewer, rows, kind) in enumerate(
        [("ann", [0, 1, 2], "keep"), ("bob", [2, 3], "reject"), ("ann", [9], "skip")]
    ):
        desk.decide(action=f"action-{number}", reviewer=reviewer, rows=rows, kind=kind)
    return desk


def rows_of(desk, **asked):
    return select(desk.samples, desk.book, Sorter(desk.samples), Query(**asked)).tolist()


def test_states(decided):
    everything = set(range(160))
    assert set(rows_of(decided, state="open")) == everything - {0, 1, 2, 3, 9}
    assert set(rows_of(decided, state="decided")) == {0, 1, 3}
    assert rows_of(decided, state="disputed") == [2]
    assert rows_of(decided, state="skipped") == [9]
    assert set(rows_of(decided, state="mine", reviewer="bob")) == {2, 3}
    assert set(rows_of(decided, state="mine_open", reviewer="bob")) == everything - {2, 3}
    assert set(rows_of(decided, state="all")) == everything


def test_filters_are_those_of_a_loop(desk):
    s = desk.samples
    for asked, keeps in [
        ({"given": 1}, lambda r: s.given[r] == 1),
        ({"suggested": 2}, lambda r: s.suggested[r] == 2),
        ({"given": 0, "suggested": 1}, lambda r: s.given[r] == 0 and s.suggested[r] == 1),
        ({"split": "validation"}, lambda r: r >= 120),
        ({"differs": True}, lambda r: s.given[r] != s.suggested[r]),
        ({"changed": True}, lambda r: s.current[r] != s.given[r]),
        ({"text": "IN-001"}, lambda r: "in-001" in s.id(r)),
        ({"rows": (5, 3, 130)}, lambda r: r in (3, 5, 130)),
    ]:
        expected = {row for row in range(len(s)) if keeps(row)}
        assert expected, asked
        assert set(rows_of(desk, **asked)) == expected, asked


def test_orders_are_those_of_a_loop(desk):
    s = desk.samples
    keys = {
        "suspicion": lambda r: -s.suspicion[r],
        "importance": lambda r: s.importance[r],
        "ambiguity": lambda r: s.confidence[r],
        "loss": lambda r: -s.loss[r],
        "class": lambda r: (s.given[r], -s.suspicion[r]),
        "changed": lambda r: (s.current[r] == s.given[r], -s.suspicion[r]),
        "order": lambda r: r,
    }
    assert {*keys, "recent", "random"} == set(SORTS)
    for sort, key in keys.items():
        assert rows_of(desk, sort=sort, split="train") == sorted(range(120), key=key), sort


def test_at_random_is_the_same_every_time_and_no_order_of_the_others(desk):
    order = rows_of(desk, sort="random")
    assert sorted(order) == list(range(160))
    assert order == rows_of(desk, sort="random")
    assert all(order != rows_of(desk, sort=sort) for sort in SORTS if sort != "random")


def test_recent_comes_first(decided):
    assert rows_of(decided, sort="recent")[0] == 9
    assert set(rows_of(decided, sort="recent")[1:5]) == {0, 1, 2, 3}


def test_samples_without_the_number_come_last_either_way(desk):
    """The network was not asked about the validation split: its samples have no suspicion."""
    assert np.isnan(desk.samples.suspicion[120:]).all()
    up, down = rows_of(desk), rows_of(desk, reverse=True)
    assert set(up[120:]) == set(down[120:]) == set(range(120, 160))
    assert up[:120] == down[:120][::-1]
    assert all(a >= b for a, b in pairwise(desk.samples.suspicion[up[:120]]))


def test_sources_are_a_filter_where_a_column_has_them(desk):
    coded = replace(desk.samples, sources=np.arange(160, dtype=np.int32) % 2, source_names=["web", "film"])
    assert select(coded, desk.book, Sorter(coded), Query(source=1, sort="order")).tolist() == list(
        range(1, 160, 2)
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"sort": "suspicoin"}, "did you mean 'suspicion'"),
        ({"state": "closed"}, "unknown state"),
        ({"given": 3}, "given must be from 0 to 2"),
        ({"suggested": -1}, "suggested must be from 0 to 2"),
        ({"source": 0}, "source must be"),
        ({"split": "test"}, "unknown split"),
        ({"rows": (160,)}, "rows must be from 0 to 159"),
    ],
)
def test_a_filter_that_there_is_not_is_refused(desk, asked, message):
    with pytest.raises(SelfcureError, match=message):
        rows_of(desk, **asked)


def test_loss_and_suspicion_are_the_runs(desk):
    last = desk.run.evidence(3)["original_prob"].to_numpy()
    np.testing.assert_allclose(desk.samples.loss[:120], -np.log(last), rtol=1e-5)
    probs = np.stack([desk.run.evidence(epoch)["original_prob"].to_numpy() for epoch in (1, 2, 3)])
    np.testing.assert_allclose(desk.samples.suspicion[:120], 1 - probs.mean(axis=0), atol=1e-6)
    assert math.isnan(desk.samples.loss[150])


def test_a_runs_own_probability_that_a_label_is_wrong_is_preferred(run):
    """What a method that reckons it leaves in its last evidence; then it is believed without any decision."""
    folder = RunFolder(run)
    last = folder.evidence(3)
    wrong = np.linspace(0, 1, 120, dtype=np.float32)
    suggested = np.arange(120, dtype=np.int32) % 3
    table = last.append_column("wrong_prob", pa.array(wrong)).append_column(
        "suggested_label", pa.array(suggested)
    )
    pq.write_table(table, run / "evidence" / "epoch-0003.parquet")
    desk = Desk(folder)
    np.testing.assert_array_equal(desk.samples.suspicion[:120], wrong)
    np.testing.assert_array_equal(desk.samples.suggested[:120], suggested)
    assert rows_of(desk, split="train") == list(range(119, -1, -1))
    assert desk.samples.calibrated
    assert desk.expected_wrong()["guess"] == pytest.approx(60, abs=0.1)
    desk.close()
