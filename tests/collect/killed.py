"""Runs a stage again and again, each time killed (signal 9), until it comes through.

    python -m collect.killed STAGE PROJECT SOURCE LOG [URL]

Each try is a fork that dies just before a lasting write, or, every other time, just after it. What a try works on is written to LOG, so that the test sees what was done twice. Prints the number of tries.
"""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path

from collect.site import FakeSearch, entry
from selfcure.collect import clips, cutting, ledger
from selfcure.collect.clips import find_clips
from selfcure.collect.downloading import download
from selfcure.collect.frames import cut_frames
from selfcure.collect.local import add_local
from selfcure.collect.politeness import Visitor
from selfcure.collect.project import open_project
from selfcure.collect.searching import search
from selfcure.collect.web import YtDlp
from selfcure.data import folder_writer

MOST_TRIES = 30


class Dying:
    """A job that ends its process."""

    def __call__(self, task: object) -> None:
        die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_at(number: int, *, before: bool):
    """A wrapper for functions that write: the ``number``-th call is the last thing this process does."""
    left = number

    def wrap(write):
        def wrapped(*arguments, **options):
            nonlocal left
            left -= 1
            if left == 0 and before:
                die()
            result = write(*arguments, **options)
            if left == 0:
                die()
            return result

        return wrapped

    return wrap


def plant(stage: str, wrap, log: Path) -> None:
    """Put the wrapper where the stage writes for good, and have it note what it works on."""

    def noting(work, name):
        def noted(*arguments, **options):
            with open(log, "a") as file:
                file.write(f"{name(*arguments, **options)}\n")
            return work(*arguments, **options)

        return noted

    class Replacing:
        """``os`` with another ``replace``."""

        replace = staticmethod(wrap(os.replace))

        def __getattr__(self, name):
            return getattr(os, name)

    if stage == "frames":
        folder_writer.os = Replacing()
        cutting.Cutting._cut = noting(cutting.Cutting._cut, lambda self, batch, found: batch[0].id)
        return

    class Dying(ledger.sqlite3.Connection):
        def execute(self, sql, *arguments):
            plain = super().execute
            return wrap(plain)(sql, *arguments) if sql == "COMMIT" else plain(sql, *arguments)

    connect = ledger.sqlite3.connect
    ledger.sqlite3.connect = lambda *a, **k: connect(*a, **k, factory=Dying)
    clips.scan_video = noting(clips.scan_video, lambda path, *rest: Path(path).stem)


def do(stage: str, project: str, source: str, log: Path, url: str) -> None:
    with open_project(project) as opened:
        visitor = Visitor(opened.plan.retry, 0.0)
        if stage == "search":
            found = [entry("a", f"{url}/a.mp4"), entry("b", f"{url}/b.mp4")]
            search(
                opened, YtDlp(FakeSearch({"man happy": found, "woman sad": found[:1]}, log)), visitor=visitor
            )
        elif stage == "download":
            download(opened, YtDlp(), visitor=visitor)
        elif stage == "take":
            add_local(opened, Path(source))
        elif stage == "clips":
            find_clips(opened)
        elif stage == "frames":
            cut_frames(opened, shard_size=4)


def prepare(stage: str) -> None:
    """What takes long, once, before the forks."""
    if stage in ("clips", "frames"):
        import torch

        torch.set_num_threads(1)
        for name in ("av", "scenedetect.detectors"):
            import_module(name)
        module = clips if stage == "clips" else cutting
        options = {"min_face_px": 40 if stage == "clips" else 48, "min_score": 0.95}
        detector = module.build_detector("mtcnn", **options)

        def ready(name: str, **asked: object) -> object:
            assert (name, asked) == ("mtcnn", options)
            return detector

        module.build_detector = ready
    elif stage != "take":
        import_module("yt_dlp.extractor.generic")
    import_module("yaml")


def main(stage: str, project: str, source: str, log: str, url: str = "") -> None:
    prepare(stage)
    for attempt in range(MOST_TRIES):
        child = os.fork()
        if not child:
            # A shard of frames takes several writes, so that its tries must reach further and further.
            number = attempt // 2 + 1 if stage == "frames" else 1
            plant(stage, dying_at(number, before=attempt % 2 == 0), Path(log))
            do(stage, project, source, Path(log), url)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            print(attempt + 1)
            return
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, status
    sys.exit("it never came through")


if __name__ == "__main__":
    main(*sys.argv[1:])
