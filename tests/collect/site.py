"""What stands for the web: a server of this machine alone, and answers as yt-dlp's search has them."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Server:
    """Serves files; ``trouble`` has for a path the answers to give first: a status, ``cut`` for half of the file, "" for all."""

    def __init__(self, files: Mapping[str, bytes]):
        self.files = dict(files)
        self.trouble: dict[str, list[int | str]] = defaultdict(list)
        self.retry_after: str | None = None
        self.asked: list[str] = []
        self.begun_at: dict[str, list[int]] = defaultdict(list)
        """Path → where each answer with the file began."""
        self.url = ""

    @contextmanager
    def running(self) -> Iterator["Server"]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.answer(self)

            def do_HEAD(self) -> None:
                site.answer(self)

            def log_message(self, *arguments: object) -> None: ...

        httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        httpd.daemon_threads = True
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{httpd.server_port}"
        try:
            yield self
        finally:
            httpd.shutdown()
            httpd.server_close()
            thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.lstrip("/")
        self.asked.append(path)
        trouble: int | str | None = self.trouble[path].pop(0) if self.trouble[path] else None
        if isinstance(trouble, int):
            request.send_response(trouble)
            if self.retry_after:
                request.send_header("Retry-After", self.retry_after)
            request.end_headers()
            return
        if path not in self.files:
            request.send_error(404)
            return
        data, start = self.files[path], 0
        wanted = request.headers.get("Range", "")
        if wanted.startswith("bytes="):
            start = int(wanted[6:].split("-")[0])
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            request.send_response(200)
        self.begun_at[path].append(start)
        request.send_header("Content-Type", "video/mp4")
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        body = data[start:] if trouble != "cut" else data[start : start + (len(data) - start) // 2]
        with suppress(OSError):  # yt-dlp looks at the first bytes of a page and hangs up
            request.wfile.write(body)
        request.close_connection = True


def entry(id: str, url: str, **facts: Any) -> dict[str, Any]:
    """A video in a flat list, as YoutubeTabBaseInfoExtractor._extract_video of yt-dlp 2026.10 makes it."""
    return {
        "_type": "url",
        "ie_key": "Youtube",
        "id": id,
        "url": url,
        "title": f"Video {id}",
        "description": None,
        "duration": 12,
        "channel_id": "UC0000000000000000000000",
        "channel": "Somebody",
        "channel_url": "https://www.youtube.com/channel/UC0000000000000000000000",
        "uploader": "Somebody",
        "uploader_id": "@somebody",
        "uploader_url": "https://www.youtube.com/@somebody",
        "thumbnails": [],
        "timestamp": None,
        "release_timestamp": None,
        "availability": None,
        "view_count": 17,
        "live_status": None,
        "channel_is_verified": None,
        "__x_forwarded_for_ip": None,
    } | facts


class FakeSearch:
    """Stands for ``YoutubeDL`` in searches alone: ``answers`` has for a query's text its entries, or an exception."""

    def __init__(
        self, answers: Mapping[str, Sequence[dict[str, Any]] | list[Exception]], log: Path | None = None
    ):
        self.answers, self.log = answers, log
        self.asked: list[str] = []

    def __call__(self, options: dict[str, Any]) -> Any:
        import yt_dlp

        return _Opened(self, options) if options.get("extract_flat") else yt_dlp.YoutubeDL(options)


class _Opened:
    def __init__(self, fake: FakeSearch, options: dict[str, Any]):
        self.fake = fake

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, *exception: object) -> None: ...

    def extract_info(self, url: str, download: bool = True) -> dict[str, Any]:
        assert not download
        prefix, text = url.split(":", 1)
        self.fake.asked.append(text)
        if self.fake.log:
            with open(self.fake.log, "a") as log:
                log.write(text + "\n")
        answer = list(self.fake.answers.get(text, []))
        if answer and isinstance(answer[0], Exception):
            raise self.fake.answers[text].pop(0)  # type: ignore[union-attr,misc]
        num = int(prefix.removeprefix("ytsearch"))
        return {
            "_type": "playlist",
            "id": text,
            "title": text,
            "entries": answer[:num],
            "extractor_key": "YoutubeSearch",
        }
