"""Killed with signal 9 before and after every write, in each stage: nothing is lost, and nothing finished is done twice."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from collect.conftest import WEB_PLAN
from collect.killed import do
from collect.made_videos import scene, write
from collect.site import Server
from selfcure.collect.project import open_project

TESTS = Path(__file__).parents[1]
STATES = {
    "queries": "SELECT text, state, num_found, checksum FROM queries ORDER BY id",
    "videos": "SELECT number, id, state, file, bytes, checksum, num_shots, error FROM videos ORDER BY number",
    "votes": "SELECT * FROM votes ORDER BY video, class, query",
    "clips": "SELECT * FROM clips ORDER BY id",
    "tracks": "SELECT * FROM tracks ORDER BY clip, number",
}


def contents(folder: Path) -> dict:
    """All that a project holds, but when."""
    with open_project(folder, read_only=True) as project:
        found: dict = {
            name: [tuple(r.values()) for r in project.ledger.rows(sql)] for name, sql in STATES.items()
        }
    for part in ("videos", "dataset"):
        files = sorted((folder / part).glob("*")) if (folder / part).is_dir() else []
        found[part, "files"] = [(f.name, f.read_bytes()) for f in files if f.name != "dataset.json"]
    return found


def kill_through(stage: str, folder: Path, source: Path, log: Path, url: str = "") -> int:
    """Number of tries that it took."""
    command = [sys.executable, "-m", "collect.killed", stage, str(folder), str(source), str(log), url]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    result = subprocess.run(command, capture_output=True, text=True, cwd=TESTS, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr
    return int(result.stdout.split()[-1])


def times(log: Path) -> Counter:
    return Counter(log.read_text().split("\n")[:-1]) if log.exists() else Counter()


def test_search_and_download(project, tmp_path):
    video = write(tmp_path / "a.mp4", scene(12)).read_bytes()
    killed, whole = project(WEB_PLAN, "killed"), project(WEB_PLAN, "whole")
    log = tmp_path / "log"
    with Server({"a.mp4": video, "b.mp4": video[:-9]}).running() as server:
        assert (
            kill_through("search", killed, tmp_path, log, server.url) == 2 * (1 + 8) + 1
        )  # the order of the queries, and each
        assert set(times(log).values()) == {2}  # each was killed once before it was written, and once after
        do("search", str(whole), "", tmp_path / "other", server.url)
        assert contents(killed)["queries"] == contents(whole)["queries"]

        assert kill_through("download", killed, tmp_path, log, server.url) == 2 * 2 + 1
        begun = {path: len(starts) for path, starts in server.begun_at.items()}
        do("download", str(whole), "", tmp_path / "other", server.url)
    assert contents(killed) == contents(whole)
    # Its page, its bytes; then, killed before that was written, its page again and no byte.
    assert begun == {"a.mp4": 3, "b.mp4": 3}


def test_local_videos_to_a_dataset(project, tmp_path):
    source = tmp_path / "source"
    write(source / "happiness" / "a.mp4", scene(22, seed=1))
    write(source / "sadness" / "b.mp4", scene(22, seed=2))
    (source / "sadness" / "empty.mp4").touch()
    killed, whole = project(name="killed"), project(name="whole")
    for stage in ("take", "clips", "frames"):
        log = tmp_path / stage
        tries = kill_through(stage, killed, source, log)
        assert tries > 4
        if stage == "clips":  # the two that can be read: before they were written, and after
            assert list(times(log).values()) == [2] * 2
        do(stage, str(whole), str(source), tmp_path / "other", "")
        assert contents(killed) == contents(whole)
