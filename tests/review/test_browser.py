"""The page in a real browser: keys, two reviewers, a server that is killed, and the way to the next training."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import uvicorn

import selfcure
from selfcure.data.readers.base import Entry, Listing, write_listing
from selfcure.review.app import make_app
from selfcure.review.desk import Desk
from selfcure.review.guard import Guard
from selfcure.review.queue import Query
from selfcure.review.server import _listen
from selfcure.review.store import Store
from stripes import TINY, stripes

PATIENCE_MS = 15_000
SAVED = re.compile("all saved")


@contextmanager
def serving(desk):
    """The address of a desk that this process serves."""
    listening = _listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(Guard(make_app(desk), port=port), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


class Command:
    """``selfcure review`` in a process of its own."""

    def __init__(self, run: Path, port: int = 0):
        arguments = [
            sys.executable,
            "-m",
            "selfcure",
            "review",
            str(run),
            "--port",
            str(port),
            "--no-browser",
        ]
        self.process = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.link = self.process.stdout.readline().strip()
        assert self.link, self.process.stderr.read()
        self.port = int(self.link.rstrip("/").rsplit(":", 1)[1])

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self) -> str:
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=30)[1]


@contextmanager
def page_of(browser, link, name="ann", *, strict=True, **options):
    """A page of a reviewer, in a browser profile of its own; whatever goes wrong in it fails the test."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    troubles, asked = [], []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda m: m.type in ("error", "warning") and troubles.append(m.text))
    page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(link)
    if name:
        page.get_by_label("Your name").fill(name)
        page.keyboard.press("Enter")
        page.locator("#filter-summary").filter(has_text="faces:").wait_for()
    yield page
    context.close()
    host = link.split("/")[2]
    assert {url.split("/")[2] for url in asked} == {host}, "nothing is fetched from anywhere else"
    if strict:
        assert troubles == []


def shown_id(page) -> str:
    page.locator(".face, .end").first.wait_for()
    return page.locator(".id").inner_text()


def press(page, key: str) -> str:
    """Press a key that decides, wait until another face is there, and return the id that it was about."""
    before = shown_id(page)
    page.keyboard.press(key)
    page.wait_for_function("id => document.querySelector('.id')?.textContent !== id", arg=before)
    return before


def wait_saved(page, num: int | None = None) -> None:
    page.locator("#save").filter(has_text=SAVED).wait_for()
    if num is not None:
        page.locator("#progress").filter(has_text=re.compile(rf"^{num} of")).wait_for()


def test_thirty_faces_by_keyboard_then_undo(browser, desk):
    keys = ["a", "k", "1", "2", "3", "r", "Enter", "k", "a", "3"]
    kinds = {
        "a": "accept",
        "Enter": "accept",
        "k": "keep",
        "r": "reject",
        "1": "choose",
        "2": "choose",
        "3": "choose",
    }
    with serving(desk) as link, page_of(browser, link) as page:
        done = [(press(page, key), key) for key in keys * 3]
        wait_saved(page, 30)
        entries = desk.store.after(0)
        assert [(e.id, e.kind) for e in entries] == [(id_, kinds[key]) for id_, key in done]
        assert len({id_ for id_, _ in done}) == 30
        assert {e.reviewer for e in entries} == {"ann"}
        assert all(0 < e.seconds < 60 for e in entries)
        chosen = [e.after for e in entries if e.kind == "choose"][:3]
        assert chosen == ["[[0,1.0]]", "[[1,1.0]]", "[[2,1.0]]"]
        suspicion = [desk.samples.suspicion[int(id_.split("-")[1])] for id_, _ in done]
        assert suspicion == sorted(suspicion, reverse=True)
        next_one = shown_id(page)
        for back in (1, 2, 3):
            page.keyboard.press("u")
            wait_saved(page, 30 - back)
            page.locator(".id").filter(has_text=done[-back][0]).wait_for()
        # The undone face is decided anew, and then the list goes on where it was left.
        assert press(page, "k") == done[-3][0]
        assert shown_id(page) == next_one
        wait_saved(page, 28)
        page.keyboard.press("Control+z")
        wait_saved(page, 27)


def test_ambiguous_and_skip_and_back(browser, desk):
    with serving(desk) as link, page_of(browser, link) as page:
        first = shown_id(page)
        page.keyboard.press("m")
        dialog = page.get_by_role("dialog")
        for box in dialog.get_by_role("checkbox").all():
            box.uncheck()
        assert dialog.get_by_role("button", name="Save").is_disabled()
        dialog.get_by_role("checkbox").first.focus()
        page.keyboard.press("1")
        page.keyboard.press("3")
        dialog.get_by_label("Weight of stripe 2").fill("3")
        page.keyboard.press("Enter")
        page.wait_for_function("id => document.querySelector('.id')?.textContent !== id", arg=first)
        wait_saved(page, 1)
        assert desk.store.after(0)[0].after == "[[0,0.25],[2,0.75]]"
        second = press(page, "s")
        page.keyboard.press("ArrowLeft")
        page.locator(".id").filter(has_text=second).wait_for()
        page.keyboard.press("ArrowLeft")
        page.locator(".id").filter(has_text=first).wait_for()
        assert "25 % stripe 0, 75 % stripe 2" in page.locator(".labels").inner_text()
        page.keyboard.press("Escape")
        page.keyboard.press("m")
        page.keyboard.press("Escape")  # a dialog that is left decides nothing
        wait_saved(page)
        assert [e.kind for e in desk.store.after(0)] == ["ambiguous", "skip"]


def test_two_reviewers_at_once_share_the_work(browser, desk):
    with serving(desk) as link, page_of(browser, link, "ann") as one, page_of(browser, link, "bob") as two:
        done = {"ann": [], "bob": []}
        for key in ["k", "a", "r", "1", "2"] * 2:
            done["ann"].append(press(one, key))
            done["bob"].append(press(two, key))
        wait_saved(one)
        wait_saved(two)
        assert not set(done["ann"]) & set(done["bob"])
        for name, ids in done.items():
            assert [e.id for e in desk.store.after(0) if e.reviewer == name] == ids
        # An undo is one's own.
        one.keyboard.press("u")
        one.locator(".id").filter(has_text=done["ann"][-1]).wait_for()
        wait_saved(one)
        assert desk.book.counts()["decided"] == 19


def test_disagreements_are_a_queue_and_can_be_settled(browser, desk):
    for who, label in (("bob", 1), ("eve", 2)):
        desk.decide(action=f"action-{who}", reviewer=who, rows=[4], kind="choose", weights={label: 1})
    with serving(desk) as link, page_of(browser, link) as page:
        page.keyboard.press("d")
        page.get_by_role("button", name="Settle disagreements").click()
        page.locator(".id").filter(has_text="train-0004").wait_for()
        assert "bob" in page.locator(".decisions").inner_text()
        page.keyboard.press("1")
        page.locator(".end").wait_for()
        wait_saved(page, 1)
        assert desk.book.verdict(4).label == 0


@pytest.mark.slow
def test_a_server_that_is_killed_loses_nothing(browser, run):
    """kill −9 in mid-session: what was shown as saved is there; the rest is sent again when the server is back."""
    server = Command(run)
    with page_of(browser, server.link, strict=False) as page:
        done = [press(page, "k") for _ in range(5)]
        wait_saved(page, 5)
        about_to = shown_id(page)
        server.kill()
        page.keyboard.press("r")
        page.locator("#trouble").filter(has_text="Cannot save").wait_for()
        assert "1 not saved" in page.locator("#save").inner_text()
        saved = Store(run, read_fingerprint(run)).after(0)
        assert [e.id for e in saved] == done
        server = Command(run, server.port)
        wait_saved(page, 6)
        page.locator("#trouble").wait_for(state="hidden")
        page.reload()
        assert press(page, "a") not in [*done, about_to]
        wait_saved(page, 7)
        server.kill()
    entries = Store(run, read_fingerprint(run)).after(0)
    assert [(e.id, e.kind) for e in entries[:6]] == [(id_, "keep") for id_ in done] + [(about_to, "reject")]
    assert len(entries) == 7


@pytest.mark.slow
def test_a_page_that_is_closed_before_it_could_save_sends_it_later(browser, run):
    server = Command(run)
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.link)
    page.get_by_label("Your name").fill("ann")
    page.keyboard.press("Enter")
    face = shown_id(page)
    server.kill()
    page.keyboard.press("r")
    page.locator("#trouble").filter(has_text="Cannot save").wait_for()
    page.close(run_before_unload=False)
    server = Command(run, server.port)
    page = context.new_page()
    page.goto(server.link)
    wait_saved(page, 1)
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.includes('unsaved')).length") == 0
    context.close()
    assert "1 decided" in server.stop()
    assert [(e.id, e.kind) for e in Store(run, read_fingerprint(run)).after(0)] == [(face, "reject")]


@pytest.mark.slow
def test_from_review_to_the_next_training(browser, run, tmp_path):
    server = Command(run)
    with page_of(browser, server.link) as page:
        done = [press(page, key) for key in ["a", "k", "r", "1", "2"]]
        wait_saved(page, 5)
    said = server.stop()
    assert server.process.returncode == 0
    assert "5 decided" in said
    command = [sys.executable, "-m", "selfcure"]
    steps = [
        ["labels", "export", str(run), "--reviewed", "--out", str(tmp_path / "new")],
        ["train", str(tmp_path / "new"), "--out", str(tmp_path / "second"), "--method", "plain", "--backbone", "compact",
         "--size", "16", "--epochs", "1", "--set", "batch_size=40", "--set", "num_threads=1"],
    ]  # fmt: skip
    for step in steps:
        done_step = subprocess.run([*command, *step], capture_output=True, text=True)
        assert done_step.returncode == 0, done_step.stderr
    split = selfcure.Dataset(tmp_path / "new").split("train")
    labels = dict(zip(split.ids.tolist(), split.labels.tolist(), strict=True))
    assert done[2] not in labels
    assert (labels[done[3]], labels[done[4]]) == (0, 1)
    assert selfcure.RunFolder(tmp_path / "second").finished


def test_the_grid_selects_decides_and_scrolls(browser, desk):
    with serving(desk) as link, page_of(browser, link) as page:
        page.keyboard.press("g")
        page.locator(".card:not(.empty)").first.wait_for()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        assert page.locator(".tally").inner_text() == "3 selected"
        page.keyboard.press("r")
        wait_saved(page, 3)
        name, _ = desk.query(Query(split="train"))
        expected = desk.rows(name)[1:4].tolist()
        assert sorted(desk.book.touched()) == sorted(expected)
        assert len({e.action for e in desk.store.after(0)}) == 1
        page.keyboard.press("u")  # one action, one undo
        wait_saved(page, 0)
        page.keyboard.press("Control+a")
        assert page.locator(".tally").inner_text() == "120 selected"
        page.keyboard.press("k")
        wait_saved(page, 120)
        page.keyboard.press("End")
        last = page.locator("[aria-posinset='120']")
        last.wait_for()
        assert last.is_visible()
        page.keyboard.press("Enter")
        page.locator(".face").wait_for()
        assert page.locator(".facts").inner_text().count("120 of 120") == 1


def test_the_dashboard_leads_to_faces(browser, prepared_desk):
    samples = prepared_desk.samples
    with serving(prepared_desk) as link, page_of(browser, link) as page:
        page.keyboard.press("d")
        page.locator(".matrix").wait_for()
        button = page.locator(".matrix button").first
        asked = int(button.inner_text())
        text = button.get_attribute("aria-label")
        button.click()
        page.locator("#filter-summary").filter(has_text=f"{asked} faces: all").wait_for()
        given, suggested = re.findall(r"stripe (\d)", text)
        assert asked == int(((samples.given == int(given)) & (samples.suggested == int(suggested))).sum())
        page.go_back()
        page.locator(".matrix").wait_for()


def test_probabilities_neighbours_and_history_are_drawn(browser, prepared_desk):
    with serving(prepared_desk) as link, page_of(browser, link) as page:
        page.locator(".history svg").first.wait_for()
        assert page.locator(".history svg").count() == 3
        assert page.locator(".neighbours li").count() == 12
        shares = [
            int(re.sub(r"\D", "", text) or 0) for text in page.locator(".class .share").all_inner_texts()
        ]
        assert 95 <= sum(shares) <= 105
        before = shown_id(page)
        page.locator(".neighbours button").first.click()
        page.wait_for_function("id => document.querySelector('.id')?.textContent !== id", arg=before)


@pytest.fixture(scope="module")
def many_classes(tmp_path_factory) -> Path:
    """A run on 100 classes whose names are long, of other scripts, or markup."""
    root = tmp_path_factory.mktemp("many")
    names = ["<img src=x onerror=alert(1)>", "an expression with a very long name indeed, and then some more of it",
             "ابتسامة", "笑顔", "улыбка", *[f"class {k}" for k in range(5, 100)]]  # fmt: skip
    rng = np.random.default_rng(0)
    image = stripes(0, 4, 16, rng)
    ids = [f"<script>alert({k})</script>" for k in range(200)]
    entries = [Entry(id_, "train", f"{id_}.png", k % 100, None) for k, id_ in enumerate(ids)]
    write_listing(Listing("many", Path("many"), names, entries, [], lambda entry: image), root / "data")
    settings = {**TINY, "num_epochs": 1, "num_threads": 1}
    selfcure.train(root / "data", out=root / "run", method="plain", **settings)
    return root / "run"


@pytest.mark.slow
def test_a_hundred_classes_by_number_or_name_and_nothing_runs(browser, many_classes, tmp_path):
    desk = Desk(selfcure.RunFolder(shutil.copytree(many_classes, tmp_path / "run")))
    with serving(desk) as link, page_of(browser, link, "<img src=x onerror=alert(2)>") as page:
        first = shown_id(page)
        assert first.startswith("<script>")
        page.keyboard.press("4")
        page.keyboard.type("2")
        page.keyboard.press("Enter")
        page.wait_for_function("id => document.querySelector('.id')?.textContent !== id", arg=first)
        page.keyboard.press("c")
        page.keyboard.type("笑")
        page.keyboard.press("Enter")
        wait_saved(page, 2)
        assert [e.after for e in desk.store.after(0)] == ["[[41,1.0]]", "[[3,1.0]]"]
        for key in ("g", "d", "o"):
            page.keyboard.press(key)
            page.wait_for_timeout(300)
        assert page.locator("#reviewer").inner_text() == "<img src=x onerror=alert(2)>"
    desk.close()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(390, 844), (1366, 768), (1920, 1080)], ids=["phone", "laptop", "wide"])
def test_it_fits_and_everything_has_a_name(browser, many_classes, tmp_path, size):
    desk = Desk(selfcure.RunFolder(shutil.copytree(many_classes, tmp_path / "run")))
    viewport = {"width": size[0], "height": size[1]}
    with serving(desk) as link, page_of(browser, link, viewport=viewport) as page:
        for key, ready in (("o", ".face"), ("g", ".card:not(.empty)"), ("d", ".pairs")):
            page.keyboard.press(key)
            page.locator(ready).first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0], key
            assert page.evaluate(NAMELESS) == [], key
    desk.close()


NAMELESS = """() => [...document.querySelectorAll("button, input, select, img, svg[role=img], [role=listbox], dialog")]
    .filter((e) => e.checkVisibility() && !(e.ariaLabel || e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length || e.hasAttribute("alt")))
    .map((e) => e.outerHTML)"""

CONTRAST = """() => {
  const rgb = (text) => { const v = text.match(/[\\d.]+/g).map(Number); return text.startsWith("color(") ? [...v.slice(0, 3).map((c) => 255 * c), ...v.slice(3)] : v; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] !== 0) return c; } return [255, 255, 255]; };
  return [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.closest(":disabled, svg, .only-heard, .skip-link, kbd")
      && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
    .map((e) => { const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))]; return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 90)]; })
    .filter(([ratio]) => ratio < 4.5);
}"""


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(browser, prepared_desk, scheme):
    prepared_desk.decide(action="action-1", reviewer="bob", rows=[0, 1, 2], kind="keep")
    with serving(prepared_desk) as link, page_of(browser, link, color_scheme=scheme) as page:
        for key, ready in (("o", ".history svg"), ("g", ".card:not(.empty)"), ("d", ".matrix")):
            page.keyboard.press(key)
            page.locator(ready).first.wait_for()
            assert page.evaluate(CONTRAST) == [], key


@pytest.mark.slow
def test_all_of_it_works_with_tab_and_enter(browser, desk):
    """Without single keys: switched off, they do nothing, and buttons do everything."""
    with serving(desk) as link, page_of(browser, link) as page:
        page.keyboard.press("?")
        page.get_by_role("checkbox").uncheck()
        page.keyboard.press("Escape")
        page.locator("dialog").wait_for(state="detached")
        first = shown_id(page)
        page.keyboard.press("r")
        page.get_by_role("button", name="Keep").focus()
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        page.wait_for_function("id => document.querySelector('.id')?.textContent !== id", arg=first)
        wait_saved(page, 1)
        assert [(e.id, e.kind) for e in desk.store.after(0)] == [(first, "keep")]


@pytest.mark.slow
def test_the_address_holds_the_filters(browser, desk):
    with serving(desk) as link, page_of(browser, link) as page:
        page.locator("#filters summary").click()
        page.locator("select[name=given]").select_option("1")
        num = int((desk.samples.given[:120] == 1).sum())
        page.locator("#filter-summary").filter(has_text=f"{num} faces").wait_for()
        address = page.url
        page.goto("about:blank")
        page.goto(address)
        page.locator("#filter-summary").filter(has_text=f"{num} faces").wait_for()
        page.goto(f"{link}/#view=grid&given=99&rows=7,,x&sort=nonsense&state=all")
        page.reload()
        # What does not fit this run is left out of the question.
        page.locator("#filter-summary").filter(has_text="120 faces: all, most suspicious").wait_for()


def read_fingerprint(run: Path) -> str:
    return json.loads((run / "config.json").read_text())["dataset"]["fingerprint"]
