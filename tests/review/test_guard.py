"""Who is answered: our own page on this machine, elsewhere only with the token, and nobody else."""

import pytest
from starlette.testclient import TestClient

from selfcure.review.app import make_app
from selfcure.review.guard import MOST_BYTES, Guard

DECISION = {"action": "action-1", "reviewer": "ann", "rows": [0], "kind": "keep"}


@pytest.fixture
def guarded(desk):
    """Asks with a token; begins without it."""
    app = Guard(make_app(desk), token="secret", port=8765)
    return TestClient(
        app, base_url="http://faces.lan:8765", headers={"X-Selfcure": "review"}, follow_redirects=False
    )


def test_our_own_page_is_answered(client, desk):
    assert client.get("/").status_code == 200
    own = {"Origin": "http://localhost:8765", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/decide", json=DECISION, headers=own).status_code == 200
    assert len(desk.store.after(0)) == 1


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1:8765", "[::1]:8765", "LOCALHOST"])
def test_this_machines_names_are_known(client, host):
    assert client.get("/api/about", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example", ""]
)
def test_dns_rebinding_is_refused(client, desk, host):
    """A name of the attacker's that has come to mean this machine."""
    assert client.get("/api/about", headers={"Host": host}).status_code == 403
    assert client.post("/api/decide", json=DECISION, headers={"Host": host}).status_code == 403
    assert desk.store.after(0) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "https://localhost:8765"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_cross_site_decisions_are_refused(client, desk, headers):
    assert client.post("/api/decide", json=DECISION, headers=headers).status_code == 403
    assert (
        client.post("/api/undo", json={"action": "undo-undo", "reviewer": "ann"}, headers=headers).status_code
        == 403
    )
    assert desk.store.after(0) == []


def test_what_a_form_can_send_is_refused(desk):
    """A form of another page sends no header of ours, and no JSON."""
    plain = TestClient(Guard(make_app(desk)), base_url="http://localhost:8765")
    assert plain.post("/api/decide", json=DECISION).status_code == 403
    answer = plain.post("/api/decide", data={"action": "action-1"}, headers={"X-Selfcure": "review"})
    assert answer.status_code == 415
    assert desk.store.after(0) == []


def test_other_sites_may_link_here_but_read_nothing(client, desk):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200
    for path in ("/api/about", f"/image/{desk.version}/0", "/static/main.js"):
        assert (
            client.get(
                path, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
            ).status_code
            == 403
        )
        assert client.get(path, headers=link).status_code == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(client, method):
    assert client.request(method, "/api/decide").status_code == 405


def test_no_answer_invites_other_origins(client):
    answer = client.get("/api/about", headers={"Origin": "http://localhost:8765"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/api/about", "/static/main.js", "/api/sample/999", "/nowhere"])
def test_every_answer_forbids_inline_scripts_frames_and_guessing(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_the_page_has_nothing_inline(client):
    page = client.get("/").text
    assert "<style" not in page
    assert " style=" not in page
    assert " on" not in {attribute[:3] for attribute in page.split('"')}
    assert page.count("<script") == page.count('<script type="module" src="/static/main.js"></script>') == 1


def test_an_oversized_body_is_refused(client, desk):
    large = {**DECISION, "kind": "x" * MOST_BYTES}
    assert client.post("/api/decide", json=large).status_code == 413

    def pieces():  # with no length beforehand
        for _ in range(MOST_BYTES // 1000 + 2):
            yield b" " * 1000

    answer = client.post("/api/decide", content=pieces(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert client.get("/api/about", headers={"Content-Length": "many"}).status_code == 400
    assert desk.store.after(0) == []


def test_beyond_this_machine_the_token_is_asked_for(guarded, desk):
    for path in ("/", "/api/about", "/static/main.js", f"/image/{desk.version}/0"):
        assert guarded.get(path).status_code == 401, path
    assert guarded.post("/api/decide", json=DECISION).status_code == 401
    assert guarded.get("/?token=wrong").status_code == 401
    for cookie in (
        "selfcure-review-8765=wrong",
        "selfcure-review-8766=secret",
        "selfcure-review-8765",
        "=;;",
    ):
        assert guarded.get("/", headers={"Cookie": cookie}).status_code == 401, cookie
    assert desk.store.after(0) == []


def test_the_link_with_the_token_opens_everything_and_takes_it_out_of_the_address(guarded, desk):
    answer = guarded.get("/?token=secret")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert guarded.get("/").status_code == 200  # the client keeps cookies, as a browser does
    assert guarded.post("/api/decide", json=DECISION).status_code == 200
    assert len(desk.store.after(0)) == 1


def test_with_the_token_cross_site_requests_are_refused_all_the_same(guarded, desk):
    guarded.get("/?token=secret")
    assert (
        guarded.post("/api/decide", json=DECISION, headers={"Origin": "http://evil.example"}).status_code
        == 403
    )
    assert desk.store.after(0) == []
