"""Pauses, back-off, and what becomes of queries and videos that fail."""

import random
from itertools import pairwise

import pytest

from collect.conftest import WEB_PLAN
from selfcure.collect.politeness import (
    MOST_THROTTLED,
    Enough,
    Gone,
    SiteError,
    Throttled,
    Unwanted,
    Visitor,
    retry_failed,
)
from selfcure.collect.project import open_project
from selfcure.collect.settings import RetrySettings
from selfcure.errors import SelfcureError

RETRY = RetrySettings(attempts=4, wait_sec=10.0, longest_wait_sec=35.0)


class World:
    """A clock that only sleeping moves, and a list of videos whose visits fail as told."""

    def __init__(self, folder, plans: dict[str, list[Exception]]):
        self.now = 1000.0
        self.visits: list[tuple[float, str]] = []
        self.plans = plans
        self.folder = folder

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def run(self, pause_sec: float = 0.0) -> dict[str, dict]:
        visitor = Visitor(RETRY, pause_sec, sleep=self.sleep, clock=lambda: self.now, chance=random.Random(0))
        with open_project(self.folder) as project:
            ledger = project.ledger
            with ledger.writing():
                for name in self.plans:
                    row = {"id": name, "site": "s", "site_id": name, "url": name, "state": "found"}
                    ledger.insert("videos", row, or_ignore=True)

            def visit(video):
                self.visits.append((self.now, video["id"]))
                if self.plans[video["id"]]:
                    raise self.plans[video["id"]].pop(0)
                with ledger.writing():
                    ledger.update("videos", video["id"], {"state": "downloaded"})

            try:
                visitor.visit_all(ledger, "videos", "found", visit)
            finally:
                self.rows = {row["id"]: row for row in ledger.rows("SELECT * FROM videos")}
        return self.rows


@pytest.fixture
def world(project):
    return lambda **plans: World(project(WEB_PLAN), plans)


def test_waits_grow_and_scatter(world):
    place = world(a=[SiteError("HTTP 500")] * 4)
    row = place.run()["a"]
    assert (row["state"], row["attempts"], row["error"], row["failed_in"]) == (
        "failed",
        4,
        "HTTP 500",
        "download",
    )
    waits = [
        later - earlier for (earlier, _), (later, _) in zip(place.visits, place.visits[1:], strict=False)
    ]
    assert [5 <= waits[0] <= 15, 10 <= waits[1] <= 30, 17.5 <= waits[2] <= 52.5] == [True] * 3
    assert len({w / base for w, base in zip(waits, (10, 20, 35), strict=True)}) == 3


def test_others_go_on_while_one_waits(world):
    place = world(a=[SiteError("cut")], b=[], c=[])
    rows = place.run()
    assert {row["state"] for row in rows.values()} == {"downloaded"}
    assert [name for _, name in place.visits] == ["a", "b", "c", "a"]
    assert [time for time, _ in place.visits[:3]] == [1000.0] * 3


def test_nothing_is_asked_while_the_site_throttles(world):
    place = world(a=[Throttled("HTTP 429", wait_sec=100.0)], b=[])
    place.run()
    assert [name for _, name in place.visits] == ["a", "b", "a"]
    assert place.visits[1][0] >= 1100.0


def test_a_site_that_always_throttles_ends_the_stage(world):
    plans = {f"v{k}": [Throttled("HTTP 429")] * 9 for k in range(20)}
    place = world(**plans)
    with pytest.raises(SelfcureError, match="8 times in a row"):
        place.run()
    assert len(place.visits) == MOST_THROTTLED
    assert {row["state"] for row in place.rows.values()} == {"found"}


def test_gone_is_final_and_unwanted_is_skipped(world):
    place = world(a=[Gone("HTTP 404")], b=[Unwanted("live")])
    rows = place.run()
    assert [(rows[k]["state"], rows[k]["error"]) for k in "ab"] == [
        ("failed", "HTTP 404"),
        ("skipped", "live"),
    ]
    assert len(place.visits) == 2


def test_pauses_between_requests(world):
    place = world(a=[], b=[], c=[])
    place.run(pause_sec=6.0)
    times = [time for time, _ in place.visits]
    assert all(3 <= later - earlier <= 9 for earlier, later in pairwise(times))


def test_failed_ones_can_be_tried_again(world):
    place = world(a=[Gone("HTTP 404")], b=[Unwanted("licence")])
    place.run()
    with open_project(place.folder) as project:
        assert retry_failed(project.ledger, "clips") == 0
        assert retry_failed(project.ledger, "download") == 2
    assert [row["state"] for row in place.run().values()] == ["downloaded"] * 2


def test_enough_ends_it(world):
    place = world(a=[], b=[Enough("full")], c=[])
    with pytest.raises(Enough):
        place.run()
    assert [row["state"] for row in place.rows.values()] == ["downloaded", "found", "found"]
