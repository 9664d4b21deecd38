"""Serving the review desk until it is stopped."""

import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from selfcure.errors import SelfcureError
from selfcure.review.desk import Desk

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(desk: Desk, *, host: str = "127.0.0.1", port: int = 8765, ready: Callable[[str], None]) -> None:
    """Answer browsers until Ctrl-C or SIGTERM.

    Args:
        host: address to listen at. Beyond this machine a token is asked for, which is part of the link.
        port: 0 takes any that is free.
        ready: told the link to open, once it will be answered.

    Raises:
        SelfcureError: the address cannot be listened at.
    """
    import uvicorn

    from selfcure.review.app import make_app
    from selfcure.review.guard import Guard

    listening = _listen(host, port)
    port = listening.getsockname()[1]
    token = None if host in LOOPBACK else secrets.token_urlsafe(24)
    app = Guard(make_app(desk), token=token, port=port)
    # Where the images lie in a large folder takes a while to find; the page is there meanwhile.
    threading.Thread(target=_open_pictures, args=(desk,), name="pictures", daemon=True).start()
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    ready(_link(host, port, token))
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:  # how a server is stopped
        pass
    finally:
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise SelfcureError(f"--port must be from 0 to 65535, not {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SelfcureError(
            f"cannot listen at {host} port {port}: {reason}; choose another --port or --host"
        ) from error
    return listening


def _link(host: str, port: int, token: str | None) -> str:
    name = f"[{host}]" if ":" in host else host
    if host in ("0.0.0.0", "::"):  # all of this machine's addresses; its name is one that others know
        name = socket.gethostname()
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def _open_pictures(desk: Desk) -> None:
    with suppress(SelfcureError):  # said again, with the image that was asked for
        desk.pictures.open()
