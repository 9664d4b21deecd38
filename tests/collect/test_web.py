"""yt-dlp as we use it: recorded answers of a search, and real downloads from a server on this machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collect.conftest import WEB_PLAN
from collect.made_videos import scene, write
from collect.site import FakeSearch, Server, entry
from selfcure.collect.downloading import download
from selfcure.collect.politeness import Gone, SiteError, Throttled, Visitor
from selfcure.collect.project import open_project
from selfcure.collect.searching import search, video_id
from selfcure.collect.settings import DownloadSettings
from selfcure.collect.status import describe
from selfcure.collect.web import Limits, YtDlp, choose_format, explain_failure

yt_dlp = pytest.importorskip("yt_dlp")


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> bytes:
    return write(tmp_path_factory.mktemp("video") / "a.mp4", scene(12)).read_bytes()


def http_error(status: int) -> Exception:
    """As yt-dlp raises it from an extractor."""
    import io

    from yt_dlp.networking import Response
    from yt_dlp.networking.exceptions import HTTPError

    cause = HTTPError(Response(io.BytesIO(), "http://127.0.0.1/", {}, status=status))
    extractor = yt_dlp.utils.ExtractorError("Unable to download API page", cause=cause)
    return yt_dlp.utils.DownloadError(f"ERROR: {extractor}", (type(extractor), extractor, None))


# Search


def searched(folder, answers, **settings) -> FakeSearch:
    fake = FakeSearch(answers)
    with open_project(folder) as project:
        visitor = Visitor(project.plan.retry, 0.0, sleep=lambda seconds: None, clock=Clock())
        search(project, YtDlp(fake), visitor=visitor)
    return fake


class Clock:
    """Every look at it is an hour later, so nothing waits."""

    def __init__(self):
        self.now = 1e6

    def __call__(self) -> float:
        self.now += 3600
        return self.now


def rows(folder, sql: str) -> list[tuple]:
    with open_project(folder, read_only=True) as project:
        return [tuple(row.values()) for row in project.ledger.rows(sql)]


def test_a_video_keeps_the_votes_of_all_its_queries(project):
    folder = project(WEB_PLAN)
    one, two = entry("one", "https://example.invalid/1"), entry("two", "https://example.invalid/2")
    fake = searched(folder, {"man happy": [one, two], "woman sad": [one], "man glad": [one, one]})
    assert sorted(fake.asked) == sorted(
        f"{age} {word}" for word in ("happy", "glad", "sad", "gloomy") for age in ("man", "woman")
    )
    assert fake.asked != sorted(fake.asked)  # a search that is stopped has some of each class
    sql = (
        "SELECT v.site_id, o.class, q.text FROM votes o JOIN videos v ON v.id = o.video "
        "JOIN queries q ON q.id = o.query ORDER BY 1, 3"
    )
    assert rows(folder, sql) == [
        ("one", "happiness", "man glad"),
        ("one", "happiness", "man happy"),
        ("one", "sadness", "woman sad"),
        ("two", "happiness", "man happy"),
    ]
    assert rows(folder, "SELECT id, title, uploader, duration_sec, state FROM videos LIMIT 1") == [
        (video_id("Youtube", "one"), "Video one", "Somebody", 12.0, "found")
    ]


def test_long_and_live_ones_are_left_out_and_counted(project):
    folder = project(WEB_PLAN)
    found = [
        entry("short", "https://example.invalid/1", duration=239),
        entry("long", "https://example.invalid/2", duration=240),
        entry("live", "https://example.invalid/3", live_status="is_live", duration=None),
        entry("unknown", "https://example.invalid/4", duration=None),
    ]
    searched(folder, {"man happy": found})
    assert rows(folder, "SELECT site_id FROM videos ORDER BY 1") == [("short",), ("unknown",)]
    assert rows(folder, "SELECT num_found, num_left_out FROM queries WHERE text = 'man happy'") == [(2, 2)]


def test_no_more_than_the_plan_asks_for(project):
    folder = project(WEB_PLAN)
    searched(folder, {"man happy": [entry(str(k), "https://example.invalid/") for k in range(9)]})
    assert rows(folder, "SELECT COUNT(*) FROM videos") == [(5,)]


def test_nothing_is_asked_twice(project):
    folder = project(WEB_PLAN)
    assert len(searched(folder, {}).asked) == 8
    assert searched(folder, {}).asked == []


def test_failed_queries_are_asked_again_and_then_explained(project):
    folder = project(WEB_PLAN)
    answers = {
        "man happy": [http_error(500), entry("a", "https://example.invalid/")],
        "man sad": [http_error(429)] * 3,
        "woman sad": [http_error(404)] * 3,
    }
    fake = searched(folder, answers)
    assert [fake.asked.count(text) for text in ("man happy", "man sad", "woman sad", "woman happy")] == [
        2,
        3,
        3,
        1,
    ]
    with open_project(folder, read_only=True) as opened:
        facts = describe(opened)
    assert facts["queries"] == {"done": 6, "failed": 2}
    assert facts["failed"]["search"] == {
        "HTTP 404, the video is gone (3 attempts)": 1,
        "HTTP 429, the site asks for fewer requests (3 attempts)": 1,
    }


# Download


def found(folder, *urls: str, **facts) -> None:
    with open_project(folder) as project, project.ledger.writing() as ledger:
        for url in urls:
            id_ = video_id("Generic", url)
            row = {"id": id_, "site": "Generic", "site_id": url, "url": url, "state": "found", **facts}
            ledger.insert("videos", row, or_ignore=True)
            ledger.vote(id_, [("happiness", 1)])


def downloaded(folder, web=None, **options) -> tuple[dict, str | None]:
    with open_project(folder) as project:
        visitor = Visitor(project.plan.retry, 0.0, sleep=lambda seconds: None, clock=Clock())
        stopped = download(project, web or YtDlp(), visitor=visitor, **options)
        return describe(project), stopped


def test_a_video_comes_whole(project, video):
    folder = project(WEB_PLAN)
    with Server({"a.mp4": video}).running() as server:
        found(folder, f"{server.url}/a.mp4")
        facts, stopped = downloaded(folder)
        asked = len(server.asked)
        downloaded(folder)
        assert len(server.asked) == asked  # nothing twice
    assert (facts["videos"], stopped) == ({"downloaded": 1}, None)
    ((file, size, checksum),) = rows(folder, "SELECT file, bytes, checksum FROM videos")
    id_ = video_id("Generic", f"{server.url}/a.mp4")
    assert file == f"{id_}.mp4"
    assert (folder / "videos" / file).read_bytes() == video
    assert [f.name for f in (folder / "videos").iterdir()] == [file]
    assert (size, len(checksum)) == (len(video), 64)
    lines = (folder / "videos.csv").read_text().splitlines()
    assert lines[0].startswith("id,site,site_id,url,title,uploader,license")
    assert lines[1].startswith(f"{id_},Generic,")


def test_trouble_ends_in_a_state_that_is_explained(project, video):
    folder = project(WEB_PLAN)
    names = ("ok", "slow", "broken", "gone", "cut", "always", "vanishes")
    with Server({f"{name}.mp4": video for name in names if name != "gone"}).running() as server:
        server.trouble |= {
            "slow.mp4": [429, 503],
            "always.mp4": [429] * 99,
            "broken.mp4": [500] * 99,
            "cut.mp4": ["", "cut"],
            "vanishes.mp4": [500, 410],
        }
        found(folder, *(f"{server.url}/{name}.mp4" for name in names))
        facts, _ = downloaded(folder)
        begun_at = server.begun_at["cut.mp4"]
    assert facts["videos"] == {"downloaded": 3, "failed": 4}
    assert facts["failed"]["download"] == {
        "HTTP 404, the video is gone": 1,
        "HTTP 410, the video is gone (2 attempts)": 1,
        "HTTP 429, the site asks for fewer requests (3 attempts)": 1,
        "HTTP 500 (3 attempts)": 1,
    }
    assert facts["retrying"]["num"] == 0
    for (file,) in rows(folder, "SELECT file FROM videos WHERE state = 'downloaded'"):
        assert (folder / "videos" / file).read_bytes() == video
    assert 0 < max(begun_at) <= len(video) // 2  # what had come was not sent again


def test_a_video_larger_than_the_disk_limit_stops_the_stage(project, video):
    folder = project(WEB_PLAN)
    with Server({"a.mp4": video, "b.mp4": video}).running() as server:
        found(folder, f"{server.url}/a.mp4", f"{server.url}/b.mp4")
        facts, stopped = downloaded(folder, max_disk_gb=1.5 * len(video) / 1e9)
        assert (facts["videos"], stopped) == ({"downloaded": 1, "found": 1}, "the disk limit is reached")
        facts, stopped = downloaded(folder)
    assert (facts["videos"], stopped) == ({"downloaded": 2}, None)


class OnePage:
    """Stands for YoutubeDL where a page says more than a direct link can; calls the filter as it does."""

    def __init__(self, info):
        self.info = info

    def __call__(self, options):
        self.options = options
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exception): ...

    def extract_info(self, url, download):
        assert download
        if self.options["match_filter"]({"id": "x"}, incomplete=True) is None:
            self.options["match_filter"](self.info, incomplete=False)
        return self.info


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"license": None}, "licence is not creative-commons: none stated"),
        (
            {"license": "Standard YouTube License"},
            "licence is not creative-commons: Standard YouTube License",
        ),
        (
            {"license": "Creative Commons Attribution license (reuse allowed)", "duration": 241},
            "longer than 4 minutes",
        ),
        (
            {"license": "Creative Commons Attribution license (reuse allowed)", "live_status": "is_live"},
            "live",
        ),
    ],
)
def test_unwanted_ones_are_skipped_with_their_reason(project, info, reason):
    folder = project(WEB_PLAN)
    found(folder, "https://example.invalid/")
    facts, _ = downloaded(folder, YtDlp(OnePage(info)), license="creative-commons")
    assert facts["videos"] == {"skipped": 1}
    assert facts["skipped"]["download"] == {reason: 1}


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "other"])
def test_a_file_elsewhere_is_refused(project, tmp_path, name):
    folder = project(WEB_PLAN)
    target = (tmp_path / "project" / "videos" / f"{name}.mp4").resolve()
    found(folder, "https://example.invalid/")
    info = {"requested_downloads": [{"filepath": str(target)}], "license": None}
    facts, _ = downloaded(folder, YtDlp(OnePage(info)))
    assert facts["failed"]["download"] == {"the site gave no file": 1}


def test_no_name_of_the_web_becomes_a_file_name():
    for site_id in ("../../x", "a/b", "con", "\0", "-rf"):
        assert video_id("Youtube", site_id).isalnum()


def test_no_other_program_is_run(project, video, monkeypatch):
    import subprocess

    folder = project(WEB_PLAN)
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail(f"ran {a}"))
    with Server({"a.mp4": video}).running() as server:
        found(folder, f"{server.url}/a.mp4")
        assert downloaded(folder)[0]["videos"] == {"downloaded": 1}


def test_a_formula_in_a_title_is_inert(project):
    folder = project(WEB_PLAN)
    found(folder, "u", title="=HYPERLINK(1)", file="x.mp4")
    downloaded(folder, YtDlp(OnePage({"requested_downloads": []})))
    assert ",'=HYPERLINK(1)," in (folder / "videos.csv").read_text()


FORMATS = st.fixed_dictionaries(
    {
        "height": st.sampled_from([None, 144, 240, 360, 480, 720]),
        "vcodec": st.sampled_from(["none", "avc1", "vp9"]),
        "tbr": st.sampled_from([None, 100, 200]),
        "protocol": st.sampled_from(["https", "m3u8_native"]),
    }
)


@given(st.lists(FORMATS, max_size=8))
def test_lowest_sufficient_format(formats):
    chosen = choose_format(formats, 360)
    usable = [f for f in formats if f["vcodec"] != "none"]
    assert bool(chosen) == bool(usable)
    if not usable:
        return
    enough = [f["height"] for f in usable if (f["height"] or 0) >= 360]
    known = [f["height"] for f in usable if f["height"]]
    expected = min(enough) if enough else max(known) if known else None
    assert chosen[0]["height"] == expected
    same = [f for f in usable if f["height"] == expected]
    assert (chosen[0]["protocol"] == "https") == any(f["protocol"] == "https" for f in same)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("ERROR: [youtube] abc: Video unavailable", Gone, "Video unavailable"),
        ("ERROR: [youtube] abc: Private video. Sign in if you've been granted access", Gone, "Private video"),
        ("ERROR: [youtube] abc: Sign in to confirm you’re not a bot. Use --cookies", Throttled, "not a bot"),
        ("ERROR: \x1b[0;31mUnable to download webpage: timed out\x1b[0m", SiteError, "timed out"),
    ],
)
def test_what_a_message_means(text, kind, said):
    error = explain_failure(yt_dlp.utils.DownloadError(text))
    assert type(error) is kind
    assert said in str(error)
    assert "ERROR" not in str(error)
    assert "--" not in str(error)
    assert "\x1b" not in str(error)


def test_the_site_says_how_long_to_wait(video, tmp_path):
    with Server({"a.mp4": video}).running() as server:
        server.trouble["a.mp4"] = [429]
        server.retry_after = "77"
        settings = DownloadSettings(request_pause_sec=0)
        with pytest.raises(Throttled) as caught:
            YtDlp().download(f"{server.url}/a.mp4", tmp_path, "ab", settings, limits=Limits(240))
    assert caught.value.wait_sec == 77
