"""``selfcure collect``: plan, search, download, clips, frames, run, status."""

from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from selfcure.cli.collected import show_dataset, show_stage, show_status, show_taken
from selfcure.cli.output import Flag, console, counting, errors, one_line, print_json

if TYPE_CHECKING:
    from selfcure.collect.project import Project

app = App(
    name="collect",
    help="Build a noisy set from words, by web video or from your own videos.",
    help_epilogue="",
    sort_key=1,
)


@app.command(sort_key=0)
def plan(project: Path, /, *, plan: Path | None = None, json: Flag = False) -> None:
    """Make a project folder and list its queries.

    Parameters
    ----------
    project
        Folder to make; or a project whose collect.yaml was edited.
    plan
        YAML file of classes and words; by default that of WebEmotion.
    json
        Print the counts as one JSON object.
    """
    from selfcure.collect.project import make_plan

    facts = make_plan(project, plan)
    if json:
        print_json({"project": str(project), **facts})
        return
    if not facts["num_words"]:
        count = f"{facts['num_classes']:,} classes without words, so for local videos alone"
        console.print(f"{one_line(str(project))}: {count}", soft_wrap=True)
        return
    factors = [f"{facts['num_words']:,} words of {facts['num_classes']:,} classes"]
    factors += [
        f"{facts[key]:,} {name}"
        for key, name in (("num_countries", "countries"), ("num_ages", "ages"))
        if facts[key]
    ]
    changes = [f"{facts['num_new']:,} new"] + ([f"{facts['num_gone']:,} gone"] if facts["num_gone"] else [])
    console.print(
        f"{one_line(str(project))}: {facts['num_queries']:,} queries from {' × '.join(factors)} "
        f"({', '.join(changes)})",
        soft_wrap=True,
    )


@app.command(sort_key=1)
def search(project: Path, /, *, retry_failed: Flag = False) -> None:
    """Ask the web which videos the queries find, as metadata alone. Interrupted, repeat the command to go on.

    Parameters
    ----------
    project
        Project folder.
    retry_failed
        Ask those that failed again.
    """
    from selfcure.collect.project import open_project

    with open_project(project) as opened:
        _search(opened, retry_failed)
        show_stage(opened, "queries")


@app.command(sort_key=2)
def download(
    project: Path,
    /,
    *,
    source: Path | None = None,
    license: str | None = None,
    max_disk_gb: float | None = None,
    rate_limit: str | None = None,
    retry_failed: Flag = False,
) -> None:
    """Take the videos that were found, or those of a folder. Interrupted, repeat the command to go on.

    Parameters
    ----------
    project
        Project folder.
    source
        Local videos instead of the web's: a folder with a folder for each class, or a csv or parquet with the columns
        path and label.
    license
        any; or creative-commons: only videos whose page says so.
    max_disk_gb
        Stop when the project's videos take so many gigabytes.
    rate_limit
        Bytes a second to take at most, such as 500K or 2M.
    retry_failed
        Try those that failed, or were left out for their licence, again.
    """
    from selfcure.collect.project import open_project

    with open_project(project) as opened:
        _download(opened, source, license, max_disk_gb, rate_limit, retry_failed)
        show_stage(opened, "videos")


@app.command(sort_key=3)
def clips(
    project: Path, /, *, workers: int | None = None, engine: str = "local", retry_failed: Flag = False
) -> None:
    """Cut the videos into shots with a face that stays. Interrupted, repeat the command to go on.

    Parameters
    ----------
    project
        Project folder.
    workers
        Processes; by default one for each processor.
    engine
        local, or ray: a Ray cluster, if RAY_ADDRESS says so. The result is the same.
    retry_failed
        Try those that failed again.
    """
    from selfcure.collect.project import open_project

    with open_project(project) as opened:
        _clips(opened, workers, engine, retry_failed)
        show_stage(opened, "clips")


@app.command(sort_key=4)
def frames(
    project: Path,
    /,
    *,
    fps: float | None = None,
    size: int | None = None,
    workers: int | None = None,
    engine: str = "local",
) -> None:
    """Cut the faces out of the clips, into the dataset folder PROJECT/dataset. Interrupted, repeat the command to go on.

    Parameters
    ----------
    project
        Project folder.
    fps
        Crops of a face a second; by default the plan's.
    size
        Side of the crops in pixels; by default the plan's.
    workers
        Processes; by default one for each processor.
    engine
        local, or ray: a Ray cluster, if RAY_ADDRESS says so. The result is the same.
    """
    from selfcure.collect.project import open_project

    with open_project(project) as opened:
        _frames(opened, fps, size, workers, engine)
        show_dataset(opened)


@app.command(sort_key=5)
def run(
    project: Path,
    /,
    *,
    source: Path | None = None,
    license: str | None = None,
    max_disk_gb: float | None = None,
    rate_limit: str | None = None,
    fps: float | None = None,
    size: int | None = None,
    workers: int | None = None,
    engine: str = "local",
) -> None:
    """All stages one after the other. Interrupted, repeat the command to go on.

    Parameters
    ----------
    project
        Project folder; without one yet, that of WebEmotion is made.
    source
        Local videos instead of the web's, see 'selfcure collect download'.
    license
        any; or creative-commons: only videos whose page says so.
    max_disk_gb
        Stop downloading when the project's videos take so many gigabytes.
    rate_limit
        Bytes a second to take at most, such as 500K or 2M.
    fps
        Crops of a face a second; by default the plan's.
    size
        Side of the crops in pixels; by default the plan's.
    workers
        Processes; by default one for each processor.
    engine
        local, or ray: a Ray cluster, if RAY_ADDRESS says so. The result is the same.
    """
    from selfcure.collect.project import PLAN, make_plan, open_project

    if not (project / PLAN).is_file():
        make_plan(project)
    with open_project(project) as opened:
        if source is None:
            _search(opened)
        _download(opened, source, license, max_disk_gb, rate_limit)
        _clips(opened, workers, engine)
        _frames(opened, fps, size, workers, engine)
        show_status(opened)


@app.command(sort_key=6)
def status(project: Path, /, *, json: Flag = False) -> None:
    """What a project has come to, and why things went no further.

    Parameters
    ----------
    project
        Project folder.
    json
        Print it as one JSON object.
    """
    from selfcure.collect.project import open_project
    from selfcure.collect.status import describe

    with open_project(project, read_only=True) as opened:
        if json:
            print_json(describe(opened))
        else:
            show_status(opened)


def _search(project: "Project", retry: bool = False) -> None:
    from selfcure.collect.politeness import retry_failed
    from selfcure.collect.searching import search as ask
    from selfcure.collect.web import TERMS, YtDlp

    if retry:
        retry_failed(project.ledger, "search")
    if not project.ledger.count("queries").get("waiting"):
        return
    web = YtDlp()
    errors.print(TERMS, style="dim")
    with counting("searching") as progress:
        ask(project, web, progress=progress)


def _download(
    project: "Project",
    source: Path | None,
    license: str | None,
    max_disk_gb: float | None,
    rate_limit: str | None,
    retry: bool = False,
) -> None:
    from selfcure.collect.downloading import bytes_per_second, write_sources
    from selfcure.collect.downloading import download as take
    from selfcure.collect.local import add_local
    from selfcure.collect.politeness import retry_failed
    from selfcure.collect.web import TERMS, YtDlp
    from selfcure.errors import SelfcureError

    if retry:
        retry_failed(project.ledger, "download")
    if source is not None:
        if license is not None or max_disk_gb is not None or rate_limit is not None:
            raise SelfcureError("--license, --max-disk-gb and --rate-limit are for the web, not for --source")
        with counting("taking videos") as progress:
            facts = add_local(project, source, progress=progress)
        show_taken(facts)
        write_sources(project)
        return
    if not project.ledger.count("videos").get("found"):
        return
    limit = None if rate_limit is None else bytes_per_second(rate_limit)
    web = YtDlp()
    errors.print(TERMS, style="dim")
    with counting("downloading") as progress:
        stopped = take(
            project,
            web,
            license=license,
            max_disk_gb=max_disk_gb,
            bytes_per_sec=limit,
            progress=progress,
        )
    if stopped:
        errors.print(f"downloading stopped: {stopped}", soft_wrap=True)


def _clips(project: "Project", workers: int | None, engine: str, retry: bool = False) -> None:
    from selfcure.collect.clips import find_clips
    from selfcure.collect.politeness import retry_failed

    if retry:
        retry_failed(project.ledger, "clips")
    with counting("finding clips") as progress:
        find_clips(project, workers=_workers(workers), engine=engine, progress=progress)


def _frames(
    project: "Project", fps: float | None, size: int | None, workers: int | None, engine: str
) -> None:
    from dataclasses import replace

    from selfcure.collect.frames import cut_frames
    from selfcure.collect.status import save_statistics

    asked = {name: value for name, value in (("fps", fps), ("size", size)) if value is not None}
    settings = replace(project.plan.frames, **asked)  # type: ignore[arg-type]
    with counting("cutting faces") as progress:
        cut_frames(project, settings=settings, workers=_workers(workers), engine=engine, progress=progress)
    save_statistics(project)


def _workers(asked: int | None) -> int:
    import os

    return asked if asked is not None else os.cpu_count() or 1
