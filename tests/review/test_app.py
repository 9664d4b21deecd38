"""What the page asks and gets; what is malformed, strange or hostile."""

import io
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import selfcure
from selfcure.data.readers.base import Entry, Listing, write_listing
from selfcure.review.app import make_app
from selfcure.review.desk import Desk
from selfcure.review.guard import Guard
from stripes import TINY


def ask(client, **filters):
    answer = client.post("/api/query", json=filters).json()
    return answer["query"], answer["num_rows"]


def decide(client, number=1, reviewer="ann", **body):
    return client.post("/api/decide", json={"action": f"action-{number}", "reviewer": reviewer, **body})


def test_a_session(client):
    """Ask, look, decide, undo."""
    query, num = ask(client, state="open", split="train", reviewer="ann")
    assert num == 120
    cards = client.get(f"/api/query/{query}", params={"start": 0, "stop": 30, "reviewer": "ann"}).json()
    assert len(cards) == 30
    assert [card["suspicion"] for card in cards] == sorted((c["suspicion"] for c in cards), reverse=True)
    first = client.post("/api/next", json={"query": query, "start": 0, "reviewer": "ann"}).json()
    assert (first["position"], first["sample"]["row"]) == (0, cards[0]["row"])
    assert first["ahead"] == [card["row"] for card in cards[1:9]]
    answer = decide(
        client, rows=[cards[0]["row"]], kind="ambiguous", weights={"0": 1, "2": 1}, seconds=1.5
    ).json()
    assert answer["cards"][0]["verdict"] == {"rejected": False, "weights": [[0, 0.5], [2, 0.5]]}
    assert answer["progress"]["states"]["decided"] == answer["progress"]["mine"] == 1
    again = client.post("/api/next", json={"query": query, "start": 0, "reviewer": "ann"}).json()
    assert again["position"] == 1
    undone = client.post("/api/undo", json={"action": "undo-undo", "reviewer": "ann"}).json()
    assert undone["cards"][0]["row"] == cards[0]["row"]
    assert undone["progress"]["states"]["open"] == 160
    assert not undone["progress"]["can_undo"]


def test_many_at_once(client, desk):
    rows = list(range(100))
    answer = decide(client, rows=rows, kind="accept").json()
    assert [card["row"] for card in answer["cards"]] == rows
    assert all(desk.book.verdict(row).label == desk.samples.suggested[row] for row in rows)
    assert (
        len(client.post("/api/undo", json={"action": "undo-undo", "reviewer": "ann"}).json()["cards"]) == 100
    )


def test_the_history_of_a_sample_is_the_runs(client, desk):
    row = int(desk.run.changes()["row"][0].as_py())
    shown = client.get(f"/api/sample/{row}/history").json()
    assert shown["epochs"] == [1, 2, 3]
    for place, epoch in enumerate(shown["epochs"]):
        seen = desk.run.evidence(epoch).slice(row, 1).to_pylist()[0]
        assert shown["prediction"][place] == seen["prediction"]
        assert shown["given_prob"][place] == pytest.approx(seen["original_prob"], abs=1e-4)
        assert shown["importance"][place] == pytest.approx(seen["importance"], abs=1e-4)
    changes = [c for c in desk.run.changes().to_pylist() if c["row"] == row]
    assert shown["changes"] == [{"epoch": c["epoch"], "label": c["to"]} for c in changes] != []
    assert client.get("/api/sample/150/history").json()["epochs"] == [], "not in the training split"


def test_what_was_prepared_is_shown(prepared_desk):
    client = TestClient(
        Guard(make_app(prepared_desk)), base_url="http://localhost", headers={"X-Selfcure": "review"}
    )
    assert client.get("/api/about").json()["prepared"]
    shown = client.get("/api/sample/3").json()
    assert sum(p["prob"] for p in shown["probs"]) == pytest.approx(1, abs=0.01)
    assert len(shown["neighbours"]) == 12
    assert 3 not in [n["row"] for n in shown["neighbours"]]
    assert client.get("/api/sample/150").json()["suspicion"] is not None


def test_without_it_the_page_says_so(client):
    assert not client.get("/api/about").json()["prepared"]
    assert client.get("/api/sample/3").json()["probs"] is None


def test_dashboard_counts(client, desk):
    decide(client, 1, rows=[1, 2], kind="choose", weights={"1": 1})
    decide(client, 2, "bob", rows=[1], kind="choose", weights={"1": 1})
    shown = client.get("/api/dashboard").json()
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (desk.samples.given, desk.samples.suggested), 1)
    np.fill_diagonal(counts, 0)
    cells = {(c["given"], c["suggested"]): c["num_samples"] for c in shown["matrix"]["cells"]}
    assert cells == {(a, b): n for (a, b), n in np.ndenumerate(counts) if n}
    assert sum(shown["importance"]["same"]) + sum(shown["importance"]["differs"]) == 120
    assert shown["agreement"][0]["same"] == 1
    assert {r["name"]: r["num_decided"] for r in shown["reviewers"]} == {"ann": 2, "bob": 1}


def test_images_are_those_of_the_folder(client, desk):
    split = desk.dataset.split("validation")
    answer = client.get(f"/image/{desk.version}/125")
    assert answer.content == split.images().read([5])[0]
    assert answer.headers["content-type"] == "image/png"
    assert "immutable" in answer.headers["cache-control"]
    assert client.get(f"/thumbnail/{desk.version}/125").content == answer.content, "small enough as it is"
    assert client.get("/image/another-run/125").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/image/{v}/160",
        "/image/{v}/-1",
        "/image/{v}/99999999999999999999",
        "/thumbnail/{v}/160",
        "/api/sample/160",
        "/api/sample/160/history",
    ],
)
def test_a_sample_that_there_is_not_is_not_found(client, desk, path):
    answer = client.get(path.format(v=desk.version))
    assert answer.status_code == 404
    assert "no sample" in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/....//app.py",
        "/image/../../app.py",
        "/image/x/%2e%2e%2f%2e%2e%2fapp.py",
    ],
)
def test_no_path_leads_out_of_the_page(client, path):
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    assert "import" not in answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"action": "a", "reviewer": "ann", "rows": [0], "kind": "keep"},
        {"action": "action/../1", "reviewer": "ann", "rows": [0], "kind": "keep"},
        {"action": "action-1", "reviewer": "", "rows": [0], "kind": "keep"},
        {"action": "action-1", "reviewer": "a\u0000b", "rows": [0], "kind": "keep"},
        {"action": "action-1", "reviewer": "x" * 41, "rows": [0], "kind": "keep"},
        {"action": "action-1", "reviewer": "ann", "rows": [], "kind": "keep"},
        {"action": "action-1", "reviewer": "ann", "rows": ["0"], "kind": "keep"},
        {"action": "action-1", "reviewer": "ann", "rows": [1.5], "kind": "keep"},
        {"action": "action-1", "reviewer": "ann", "rows": [-1], "kind": "keep"},
        {"action": "action-1", "reviewer": "ann", "rows": [10**30], "kind": "keep"},
        {"action": "action-1", "reviewer": "ann", "rows": [0, 160], "kind": "keep"},
        {"action": "action-1", "reviewer": "ann", "rows": [0], "kind": "drop table decision"},
        {"action": "action-1", "reviewer": "ann", "rows": [0], "kind": "choose", "weights": {"x": 1}},
        {"action": "action-1", "reviewer": "ann", "rows": [0], "kind": "choose", "weights": {"9": 1}},
        {
            "action": "action-1",
            "reviewer": "ann",
            "rows": [0],
            "kind": "ambiguous",
            "weights": {"0": "NaN", "1": 1},
        },
        {"action": "action-1", "reviewer": "ann", "rows": [0], "kind": "keep", "seconds": -1},
        {"action": "action-1", "reviewer": "ann", "rows": [0], "kind": "keep", "more": 1},
    ],
    ids=str,
)
def test_a_malformed_decision_is_refused(client, desk, body):
    answer = client.post("/api/decide", json=body)
    assert answer.status_code in (404, 422), answer.text
    assert answer.json()["error"]
    assert desk.store.after(0) == []


def test_what_is_no_json_is_refused(client, desk):
    for content in (b"", b"{", b"\xff\xfe", b'{"rows": ' + b"[" * 5000):
        answer = client.post("/api/decide", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), content[:10]
    assert desk.store.after(0) == []


def test_a_forgotten_list_is_gone(client):
    assert client.get("/api/query/nothing", params={"start": 0, "stop": 5}).status_code == 410
    assert (
        client.post("/api/next", json={"query": "nothing", "start": 0, "reviewer": "ann"}).status_code == 410
    )


@pytest.mark.parametrize("span", [(0, 501), (-1, 5), (5, 4)])
def test_a_page_of_a_list_has_bounds(client, span):
    query, _ = ask(client)
    assert client.get(f"/api/query/{query}", params={"start": span[0], "stop": span[1]}).status_code == 422


def test_a_disk_that_takes_nothing_is_told_and_tried_again(client, desk):
    desk.store._db.execute("PRAGMA query_only = ON")
    answer = decide(client, rows=[5], kind="keep")
    assert answer.status_code == 503
    assert "could not be saved" in answer.json()["error"]
    desk.store._db.execute("PRAGMA query_only = OFF")
    assert decide(client, rows=[5], kind="keep").status_code == 200
    assert [e.id for e in desk.store.after(0)] == ["train-0005"]


def test_requests_at_once(client, desk):
    def one(number):
        return decide(client, number, f"r{number % 3}", rows=[number % 160], kind="keep").status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(60))) == {200}
    assert len(desk.store.after(0)) == 60


HOSTILE = "<script>alert(1)</script>"
NAMES = [
    HOSTILE,
    "عربي",
    "名前が長い" * 12,
    "\u202eevil",
    "quo\"te's",
    "a&b",
    *[f"class {k}" for k in range(6, 100)],
]


@pytest.fixture(scope="module")
def strange_run(tmp_path_factory) -> Path:
    """100 classes with hostile, long and non-Latin names; ids with scripts and paths; an image that is too large."""
    root = tmp_path_factory.mktemp("strange")
    rng = np.random.default_rng(0)
    entries, images = [], {}
    for index in range(200):
        name = [f"../../etc/{index}", f"<img src=x onerror=alert({index})>", f"ид {index}"][index % 3]
        pixels = rng.integers(0, 255, (300, 200, 3) if index == 0 else (16, 16, 3)).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "bmp" if index == 1 else "png")
        images[name] = out.getvalue()
        entries.append(Entry(name, "train", f"{name}.png", index % 100, None))
    write_listing(
        Listing("strange", Path("strange"), NAMES, entries, [], lambda e: images[e.id]), root / "data"
    )
    selfcure.train(
        root / "data", out=root / "run", method="plain", **{**TINY, "num_epochs": 1, "num_threads": 1}
    )
    return root / "run"


@pytest.fixture
def strange(strange_run, tmp_path):
    desk = Desk(selfcure.RunFolder(shutil.copytree(strange_run, tmp_path / "run")))
    yield (
        desk,
        TestClient(Guard(make_app(desk)), base_url="http://localhost", headers={"X-Selfcure": "review"}),
    )
    desk.close()


def test_a_hundred_strange_classes(strange):
    desk, client = strange
    assert client.get("/api/about").json()["class_names"] == NAMES
    row = next(r for r in range(200) if desk.samples.id(r) == "<img src=x onerror=alert(1)>")
    assert client.get(f"/api/sample/{row}").json()["id"] == "<img src=x onerror=alert(1)>"
    assert client.get(f"/api/sample/{row}").headers["content-type"] == "application/json"
    assert decide(client, reviewer=HOSTILE, rows=[row], kind="choose", weights={"99": 1}).status_code == 200
    assert (
        ask(client, text="<IMG", state="all")[1] == sum("<img" in desk.samples.id(r) for r in range(200)) > 60
    )


def test_large_images_are_made_small_and_odd_ones_showable(strange):
    desk, client = strange
    rows = {desk.samples.id(r): r for r in range(200)}
    large, odd = rows["../../etc/0"], rows["<img src=x onerror=alert(1)>"]
    thumbnail = Image.open(io.BytesIO(client.get(f"/thumbnail/{desk.version}/{large}").content))
    assert max(thumbnail.size) == 128
    assert Image.open(io.BytesIO(client.get(f"/image/{desk.version}/{large}").content)).size == (200, 300)
    answer = client.get(f"/image/{desk.version}/{odd}")
    assert answer.headers["content-type"] == "image/png", "browsers need not know BMP"


def test_the_title_is_escaped(strange_run, tmp_path):
    desk = Desk(selfcure.RunFolder(shutil.copytree(strange_run, tmp_path / "<b>run<")))
    page = TestClient(Guard(make_app(desk)), base_url="http://localhost").get("/").text
    assert "&lt;b&gt;run&lt;" in page
    assert "<b>" not in page
    desk.close()


def test_an_image_that_is_damaged_is_not_found(strange, monkeypatch):
    desk, client = strange
    monkeypatch.setattr(desk.pictures, "_read", lambda row: b"no image")
    answer = client.get(f"/image/{desk.version}/0")
    assert answer.status_code == 404
    assert "cannot be decoded" in answer.json()["error"]


def test_thumbnails_in_memory_are_bounded(strange, monkeypatch):
    from selfcure.review import pictures

    desk, client = strange
    monkeypatch.setattr(pictures, "_KEEP_BYTES", 5000)
    monkeypatch.setattr(pictures, "THUMBNAIL_PX", 8)
    for row in range(60):
        assert client.get(f"/thumbnail/{desk.version}/{row}").status_code == 200
    assert 4000 < desk.pictures._num_bytes <= 5000
    assert desk.pictures._num_bytes == sum(map(len, desk.pictures._thumbnails.values()))
