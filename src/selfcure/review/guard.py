"""Who may talk to the review desk: every request is looked at before anything else sees it.

The page can change labels, so it must not answer other pages that happen to be open in the same browser (cross-site
requests, DNS rebinding), nor, where it listens beyond this machine, anybody without its token.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

MOST_BYTES = 256 * 1024
"""A request's body; the largest action is some 60 kB."""
HEADER = b"x-selfcure"
"""A page of another origin cannot send this header without asking first, and it is never allowed to."""
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

_ANSWER_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


class Guard:
    """ASGI middleware that refuses what does not come from our own page.

    Args:
        token: what the first link has to bring; it is kept in a cookie from then on. None: nothing is asked, and only
            requests to this machine's own names are answered.
        port: part of the cookie's name, for cookies do not tell ports apart.
    """

    def __init__(self, app: App, *, token: str | None = None, port: int = 0):
        self._app, self._token = app, token
        self.cookie = f"selfcure-review-{port}"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no websockets here
            return
        request = _Request(scope)
        refusal = self._refusal(request)
        if refusal:
            await _answer(send, *refusal)
            return
        if self._token is not None and (given := request.query.get("token")):
            if hmac.compare_digest(given.encode(), self._token.encode()):
                await self._welcome(send)
            else:
                await _answer(send, 401, "wrong token; use the link that 'selfcure review' printed")
            return
        if self._token is not None and not self._knows(request):
            await _answer(send, 401, "open the link that 'selfcure review' printed; it holds a token")
            return
        body = _Limited(receive)

        async def finish(message: Message) -> None:
            if body.is_too_large:  # whatever the application makes of it
                return
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *_ANSWER_HEADERS]}
                if not any(name == b"cache-control" for name, _ in message["headers"]):
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        with suppress(_TooLarge):
            await self._app(scope, body, finish)
        if body.is_too_large:
            await _answer(send, 413, f"a request may have at most {MOST_BYTES} bytes")

    def _refusal(self, request: "_Request") -> tuple[int, str] | None:
        """Status and reason of a request that is refused whoever sends it."""
        if request.method not in ("GET", "HEAD", "POST"):
            return 405, f"{request.method} is not answered here"
        host = request.headers.get(b"host", b"").decode("latin-1").lower()
        if self._token is None and _name(host) not in _LOCAL_NAMES:
            return 403, f"this page is not {host!r}; open it as http://localhost"
        site = request.headers.get(b"sec-fetch-site", b"same-origin")
        navigates = request.method == "GET" and request.headers.get(b"sec-fetch-mode") == b"navigate"
        # A link from elsewhere may open the page itself, but nothing else, and not in a frame (CSP).
        if site not in (b"same-origin", b"none") and not (navigates and request.path == "/"):
            return 403, "requests from other sites are not answered"
        if request.method == "POST":
            origin = request.headers.get(b"origin")
            if origin is not None and origin.decode("latin-1").lower() != f"{request.scheme}://{host}":
                return 403, "requests from other origins are not answered"
            if HEADER not in request.headers:
                return 403, "the header X-Selfcure is missing"
            if not request.headers.get(b"content-type", b"").startswith(b"application/json"):
                return 415, "only JSON is taken"
        length = request.headers.get(b"content-length", b"0")
        if not length.isdigit():
            return 400, "the content length is no number"
        if int(length) > MOST_BYTES:
            return 413, f"a request may have at most {MOST_BYTES} bytes"
        return None

    def _knows(self, request: "_Request") -> bool:
        assert self._token is not None
        try:
            cookies = SimpleCookie(request.headers.get(b"cookie", b"").decode("latin-1"))
        except CookieError:
            return False
        given = cookies[self.cookie].value if self.cookie in cookies else ""
        return hmac.compare_digest(given.encode(), self._token.encode())

    async def _welcome(self, send: Send) -> None:
        """Keep the token in a cookie, and take it out of the address, which browsers remember and show."""
        cookie = f"{self.cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode())]
        await _answer(send, 303, "", headers)


class _Request:
    def __init__(self, scope: Message):
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.scheme: str = scope.get("scheme", "http")
        self.headers: dict[bytes, bytes] = {name.lower(): value for name, value in scope["headers"]}
        parsed = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        self.query = {name: values[-1] for name, values in parsed.items()}


class _TooLarge(Exception):
    pass


class _Limited:
    """Counts a body as it comes: one sent in pieces says no length beforehand."""

    def __init__(self, receive: Receive):
        self._receive, self._num_bytes = receive, 0

    @property
    def is_too_large(self) -> bool:
        return self._num_bytes > MOST_BYTES

    async def __call__(self) -> Message:
        message = await self._receive()
        self._num_bytes += len(message.get("body", b""))
        if self.is_too_large:
            raise _TooLarge
        return message


def _name(host: str) -> str:
    """A host without its port.

    >>> _name("localhost:8765"), _name("[::1]:8765"), _name("[::1]")
    ('localhost', '[::1]', '[::1]')
    """
    name, _, port = host.rpartition(":")
    return name if port.isdigit() and name else host


async def _answer(
    send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    start = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": start + _ANSWER_HEADERS + (headers or []),
        }
    )
    await send({"type": "http.response.body", "body": text.encode()})
