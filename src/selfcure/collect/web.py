"""The web, through yt-dlp: searching, and downloading one video. Nothing else here talks to a site."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from selfcure.collect.plan import INSTALL
from selfcure.collect.politeness import Enough, Gone, SiteError, Throttled, Unwanted
from selfcure.collect.settings import DownloadSettings, SearchSettings
from selfcure.errors import SelfcureError

TERMS = """\
Videos belong to those who made them. Many sites, YouTube among them, forbid downloading in their terms of use unless they \
or the owner allow it, and faces are personal data. Whether you may do this is yours to find out: take only what you have \
a right to (--license creative-commons keeps what its owner offers for reuse, and asks you to name them), do not \
publish the videos or faces, and delete a person's on request."""

_THROTTLED = re.compile(r"rate.?limit|too many requests|not a bot|captcha", re.IGNORECASE)
_GONE = re.compile(
    r"unavailable|private|removed|terminated|deleted|not available|unsupported url|no longer|copyright|blocked|"
    r"confirm your age|members.only|no video formats",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Found:
    """A video that a search gave."""

    site: str
    site_id: str
    url: str
    title: str | None
    uploader: str | None
    duration_sec: float | None
    is_live: bool = False


@dataclass(frozen=True)
class Taken:
    """A video that lies on the disk."""

    file: Path
    title: str | None
    uploader: str | None
    license: str | None
    duration_sec: float | None


class Web(Protocol):
    """What the stages need of the web."""

    def search(self, text: str, settings: SearchSettings) -> list[Found]:
        """The best videos of a query.

        Raises:
            SiteError: or one of its kinds.
        """

    def download(
        self, url: str, folder: Path, name: str, settings: DownloadSettings, *, limits: "Limits"
    ) -> Taken:
        """Take one video into ``folder``, as ``name`` and an ending; what an earlier attempt left there is gone on with.

        Raises:
            SiteError: or one of its kinds.
            Enough: it does not fit on the disk any more.
        """


@dataclass(frozen=True)
class Limits:
    """How much may be taken."""

    max_sec: float
    """Longer videos are unwanted."""
    bytes_left: int | None = None
    """On the disk."""
    bytes_per_sec: int | None = None


class YtDlp:
    """The web through yt-dlp, which is asked for one thing at a time and runs no other program.

    Args:
        open_downloader: ``yt_dlp.YoutubeDL``, or what stands for it in tests.

    Raises:
        SelfcureError: yt-dlp is not installed.
    """

    def __init__(self, open_downloader: Callable[[dict[str, Any]], Any] | None = None):
        try:
            import yt_dlp
        except ImportError as error:
            raise SelfcureError(f"searching and downloading need yt-dlp: {INSTALL}") from error
        self._open = open_downloader or yt_dlp.YoutubeDL

    def search(self, text: str, settings: SearchSettings) -> list[Found]:
        """See :class:`Web`."""
        options = _common(30.0, settings.pause_sec) | {"extract_flat": True, "skip_download": True}
        answer = self._ask(options, f"{settings.site}{settings.results}:{text}", download=False)
        found = []
        for entry in answer.get("entries") or ():
            if entry and entry.get("id") and entry.get("url"):
                found.append(
                    Found(
                        str(entry.get("ie_key") or entry.get("extractor_key") or settings.site),
                        str(entry["id"]),
                        str(entry["url"]),
                        entry.get("title"),
                        entry.get("uploader") or entry.get("channel"),
                        entry.get("duration"),
                        entry.get("live_status") in ("is_live", "is_upcoming"),
                    )
                )
        return found

    def download(
        self, url: str, folder: Path, name: str, settings: DownloadSettings, *, limits: Limits
    ) -> Taken:
        """See :class:`Web`."""
        refused: list[str] = []

        def unwanted(info: Mapping[str, Any], *, incomplete: bool = False) -> str | None:
            reason = _why_unwanted(info, settings, limits)
            # Before the page is read the licence is not known yet.
            if reason is None and not incomplete and not _has_license(info, settings.license):
                reason = f"licence is not {settings.license}: {info.get('license') or 'none stated'}"
            if reason:
                refused.append(reason)
            return reason

        def watch(status: Mapping[str, Any]) -> None:
            if limits.bytes_left is not None and (status.get("downloaded_bytes") or 0) > limits.bytes_left:
                raise _Full

        options = _common(settings.timeout_sec, settings.request_pause_sec) | {
            "format": lambda context: choose_format(context["formats"], settings.min_height_px),
            "match_filter": unwanted,
            "progress_hooks": [watch],
            "paths": {"home": str(folder)},
            "outtmpl": {"default": f"{name}.%(ext)s"},
            "ratelimit": limits.bytes_per_sec,
            "continuedl": True,
            "overwrites": False,
            "noplaylist": True,
            "retries": 0,
            "fragment_retries": 0,
            "file_access_retries": 0,
        }
        info = self._ask(options, url, download=True)
        if refused:
            raise Unwanted(refused[-1])
        if info.get("_type", "video") != "video":
            raise Gone("a list of videos, not one")
        files = [Path(part["filepath"]) for part in info.get("requested_downloads") or ()]
        # The ending comes from the site, and must not lead anywhere.
        if len(files) != 1 or files[0].parent.resolve() != folder.resolve() or files[0].stem != name:
            raise Gone("the site gave no file")
        return Taken(
            files[0],
            info.get("title"),
            info.get("uploader") or info.get("channel"),
            info.get("license"),
            info.get("duration"),
        )

    def _ask(self, options: dict[str, Any], url: str, *, download: bool) -> Mapping[str, Any]:
        from yt_dlp.utils import YoutubeDLError

        try:
            with self._open(options) as downloader:
                answer = downloader.extract_info(url, download=download)
        except _Full as error:
            raise Enough("the disk limit is reached") from error
        except YoutubeDLError as error:
            raise explain_failure(error) from error
        if not isinstance(answer, Mapping):
            raise SiteError("the site gave no answer")
        return answer


class _Full(Exception):
    """The video at hand is larger than what is left."""


class _Silent:
    """yt-dlp's messages: what matters comes as exceptions."""

    def debug(self, message: str) -> None: ...

    info = warning = error = debug


def _common(timeout_sec: float, pause_sec: float) -> dict[str, Any]:
    return {
        "quiet": True,
        "noprogress": True,
        "logger": _Silent(),
        "socket_timeout": timeout_sec,
        "sleep_interval_requests": pause_sec,
        "extractor_retries": 0,
        "cachedir": False,
        "enable_file_urls": False,
        # No other program is run: nothing is merged, mended or converted.
        "postprocessors": [],
        "fixup": "never",
        "hls_prefer_native": True,
        "ffmpeg_location": "/nowhere",
    }


def choose_format(formats: Sequence[Mapping[str, Any]], min_height_px: int) -> list[Mapping[str, Any]]:
    """The one of a site's formats to take, in a list; none if it has no picture.

    The lowest of at least ``min_height_px`` rows, else the highest; of equals the one with the fewest bits, since sound is
    not needed. A format that does not say how high it is comes last.
    """

    def key(format: Mapping[str, Any]) -> tuple[Any, ...]:
        height = format.get("height")
        low = height is None or height < min_height_px
        stream = not str(format.get("protocol") or "https").startswith("http")
        return (
            height is None,
            low,
            -(height or 0) if low else height,
            stream,
            format.get("tbr") or format.get("filesize") or float("inf"),
        )

    usable = [f for f in formats if f.get("vcodec") != "none" and not f.get("has_drm")]
    return [min(usable, key=key)] if usable else []


def explain_failure(error: Exception) -> SiteError:
    """What an exception of yt-dlp means for another attempt."""
    text = _plain(str(error))
    status, wait_sec = _http_status(error)
    if status is not None:
        if status in (429, 503):
            return Throttled(f"HTTP {status}, the site asks for fewer requests", wait_sec=wait_sec)
        if status in (404, 410, 451):
            return Gone(f"HTTP {status}, the video is gone")
        return SiteError(f"HTTP {status}", wait_sec=wait_sec)
    if _THROTTLED.search(text):
        return Throttled(text)
    if _GONE.search(text):
        return Gone(text)
    return SiteError(text)


def _http_status(error: BaseException | None) -> tuple[int | None, float]:
    """The answer's status in the chain of causes, and the seconds that the site asks to wait."""
    from yt_dlp.networking.exceptions import HTTPError

    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, HTTPError):
            wait = str(error.response.headers.get("Retry-After") or "")
            return error.status, float(wait) if wait.isdecimal() else 0.0
        inner = getattr(error, "exc_info", None) or (None, None)
        cause = inner[1] or getattr(error, "cause", None) or error.__cause__ or error.__context__
        error = cause if isinstance(cause, BaseException) else None
    return None, 0.0


def _plain(text: str) -> str:
    """An error of yt-dlp in one short line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"^ERROR: *(\[[^]]*\] *)?(\S+: )?", "", " ".join(text.split()))
    return re.split(r"; please report this|\. Use --|\(caused by", text)[0].strip()[:200] or "unknown error"


def _why_unwanted(info: Mapping[str, Any], settings: DownloadSettings, limits: Limits) -> str | None:
    if info.get("live_status") in ("is_live", "is_upcoming") or info.get("is_live"):
        return "live"
    if (info.get("duration") or 0) > limits.max_sec:
        return f"longer than {limits.max_sec / 60:g} minutes"
    return None


def _has_license(info: Mapping[str, Any], wanted: str) -> bool:
    return wanted == "any" or "creative commons" in str(info.get("license") or "").lower().replace("-", " ")
