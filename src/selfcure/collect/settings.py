"""What a project may set, section by section of its ``collect.yaml``."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from selfcure.errors import SelfcureError, check_choice
from selfcure.faces.alignment import MODES
from selfcure.faces.extraction import FORMATS

LICENSES = ("any", "creative-commons")


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """What is asked of the site."""

    site: str = "ytsearch"
    """yt-dlp's search prefix."""
    results: int = 20
    """Best videos of each query."""
    max_minutes: float = 4.0
    """Longer videos are left out."""
    pause_sec: float = 3.0
    """Between two requests, give or take a half."""

    def __post_init__(self) -> None:
        _within("search", "results", self.results, 1, 1000)
        _within("search", "max_minutes", self.max_minutes, 0, 24 * 60, above=True)
        _within("search", "pause_sec", self.pause_sec, 0, 3600)
        if not self.site.isalnum():
            raise SelfcureError(f"search: site must be a search prefix such as ytsearch, not {self.site!r}")


@dataclass(frozen=True, kw_only=True)
class DownloadSettings:
    """What is taken, and how fast."""

    min_height_px: int = 360
    """The smallest picture with at least so many rows is taken, or else the largest there is."""
    license: str = "any"
    """``creative-commons``: only videos whose page says so."""
    pause_sec: float = 5.0
    """Between two videos, give or take a half."""
    request_pause_sec: float = 1.0
    """Between the requests that one video takes."""
    timeout_sec: float = 30.0

    def __post_init__(self) -> None:
        check_choice("download: license", self.license, LICENSES)
        _within("download", "min_height_px", self.min_height_px, 1, 10_000)
        _within("download", "pause_sec", self.pause_sec, 0, 3600)
        _within("download", "request_pause_sec", self.request_pause_sec, 0, 3600)
        _within("download", "timeout_sec", self.timeout_sec, 0, 3600, above=True)


@dataclass(frozen=True, kw_only=True)
class RetrySettings:
    """What happens after a request that failed."""

    attempts: int = 5
    """Of a query or a video, before it counts as failed."""
    wait_sec: float = 60.0
    """Before the second attempt, give or take a half; twice as long before each further one."""
    longest_wait_sec: float = 3600.0

    def __post_init__(self) -> None:
        _within("retry", "attempts", self.attempts, 1, 100)
        _within("retry", "wait_sec", self.wait_sec, 0, 24 * 3600)
        _within("retry", "longest_wait_sec", self.longest_wait_sec, 0, 24 * 3600)


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """How shots and faces are found."""

    fps: float = 2.0
    """Frames a second in which faces are looked for."""
    side_px: int = 360
    """The shorter side of the picture in which they are."""
    min_face_px: int = 40
    """Side of the smallest face, in that picture."""
    min_score: float = 0.95
    """Faces of which the detector is less sure are none, 0–1."""
    min_face_sec: float = 5.0
    """A face must be there for so long."""
    max_gap_sec: float = 1.0
    """It may be out of sight for so long."""
    min_overlap: float = 0.3
    """Intersection over union that makes it the same face in the next frame."""
    cut_ratio: float = 3.0
    """A cut changes the picture so many times as much as its neighbours do (PySceneDetect's adaptive threshold)."""
    same_bits: float = 20.0
    """Clips whose fingerprints of 256 bits differ by no more are the same; negative: none are."""

    def __post_init__(self) -> None:
        _within("clips", "fps", self.fps, 0, 100, above=True)
        _within("clips", "side_px", self.side_px, 48, 4320)
        _within("clips", "min_face_px", self.min_face_px, 12, self.side_px)
        _within("clips", "min_score", self.min_score, 0, 1)
        _within("clips", "min_face_sec", self.min_face_sec, 0, 24 * 3600)
        _within("clips", "max_gap_sec", self.max_gap_sec, 1 / self.fps, 3600)
        _within("clips", "min_overlap", self.min_overlap, 0, 1, above=True)
        _within("clips", "cut_ratio", self.cut_ratio, 1, 255)
        _within("clips", "same_bits", self.same_bits, -1, 256)


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    """How faces are cut out, and which are for validation."""

    fps: float = 1.0
    """Crops of a face a second."""
    size: int = 224
    """Their side in pixels."""
    align: str = "similarity"
    margin: float = 0.0
    """As :func:`selfcure.faces.alignment.align` has them."""
    format: str = "jpeg"
    validation: float = 0.1
    """Share of each class that is for validation, whole videos at a time."""
    seed: int = 0
    """Fixes which videos these are."""

    def __post_init__(self) -> None:
        check_choice("frames: align", self.align, MODES)
        check_choice("frames: format", self.format, FORMATS)
        _within("frames", "fps", self.fps, 0, 100, above=True)
        _within("frames", "size", self.size, 16, 4096)
        _within("frames", "margin", self.margin, -0.5, 4, above=True)
        _within("frames", "seed", self.seed, 0, 1 << 32)
        if not 0 <= self.validation < 1:
            raise SelfcureError(f"frames: validation must be at least 0 and below 1, not {self.validation}")


_Section = TypeVar("_Section")


def read_section(kind: type[_Section], name: str, values: object, where: str) -> _Section:
    """One section of a plan, checked.

    Raises:
        SelfcureError: a key that is none, a value of another type, or out of range.
    """
    if values is None:
        values = {}
    if not isinstance(values, Mapping):
        raise SelfcureError(f"{where}: {name} must be a list of settings, not {values!r}")
    known: dict[str, Any] = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    read: dict[str, Any] = {}
    for key, value in values.items():
        check_choice(f"setting of {name} in {where}", str(key), known)
        wanted = known[key]
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise SelfcureError(f"{where}: {name}: {key} must be {_KINDS[wanted]}, not {value!r}")
        read[key] = value
    try:
        return kind(**read)
    except SelfcureError as error:
        raise SelfcureError(f"{where}: {error}") from error


_KINDS = {int: "a whole number", float: "a number", str: "a word"}


def _within(section: str, name: str, value: float, low: float, high: float, *, above: bool = False) -> None:
    # Written so that NaN fails too.
    if not (low < value <= high if above else low <= value <= high):
        limit = f"above {low:g}" if above else f"from {low:g}"
        raise SelfcureError(f"{section}: {name} must be {limit} to {high:g}, not {value}")
