"""The project folder: its plan, its ledger, its videos."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selfcure.collect.ledger import Ledger
from selfcure.collect.plan import Plan, default_plan, load_plan, parse_plan, plan_text
from selfcure.errors import SelfcureError

PLAN, LEDGER, VIDEOS, DATASET, STATISTICS = (
    "collect.yaml",
    "ledger.sqlite",
    "videos",
    "dataset",
    "statistics.json",
)
_LOCK = "at-work.lock"


@dataclass(frozen=True)
class Project:
    """An open project; only one process at a time has it."""

    folder: Path
    plan: Plan
    ledger: Ledger

    @property
    def videos(self) -> Path:
        return self.folder / VIDEOS


def make_plan(folder: str | Path, plan: str | Path | None = None) -> dict[str, int]:
    """Make a project folder and list its queries: the twin of ``selfcure collect plan``.

    Done again it takes up what ``collect.yaml`` or another plan now says: new queries are added, those that are no
    longer in it and were not asked yet go, and those that were asked stay with what they found.

    Args:
        plan: YAML file; by default the project's own, or that of WebEmotion for a new one.

    Returns:
        ``num_classes``, ``num_words``, ``num_countries``, ``num_ages``, ``num_queries``, ``num_new``, ``num_gone``.

    Raises:
        SelfcureError: the plan is none, or the folder is another thing.
    """
    folder = Path(folder)
    own = folder / PLAN
    file = Path(plan) if plan is not None else own
    text = default_plan() if plan is None and not own.is_file() else plan_text(file)
    content = parse_plan(text, str(file))
    if folder.exists() and not own.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise SelfcureError(
            f"{folder} is in the way: it is not a project of selfcure collect; choose another name"
        )
    (folder / VIDEOS).mkdir(parents=True, exist_ok=True)
    if not own.is_file() or own.read_text(encoding="utf-8") != text:
        partial = own.with_suffix(".tmp")
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, own)
    with open_project(folder) as project, project.ledger.writing() as ledger:
        queries = list(content.queries())
        num_new = sum(
            ledger.insert(
                "queries",
                {"text": q.text, "class": q.class_name, "word": q.word, "country": q.country, "age": q.age},
                or_ignore=True,
            )
            for q in queries
        )
        wanted = {(q.text, q.class_name) for q in queries}
        gone = [
            row["id"]
            for row in ledger.rows("SELECT id, text, class FROM queries WHERE state != 'done'")
            if (row["text"], row["class"]) not in wanted
        ]
        for id_ in gone:
            ledger.run("DELETE FROM queries WHERE id = ?", (id_,))
    return {
        "num_classes": len(content.classes),
        "num_words": sum(map(len, content.classes.values())),
        "num_countries": len(content.countries),
        "num_ages": len(content.ages),
        "num_queries": len(queries),
        "num_new": num_new,
        "num_gone": len(gone),
    }


@contextmanager
def open_project(folder: str | Path, *, read_only: bool = False) -> Iterator[Project]:
    """Open a project, for this process alone unless it only looks.

    Raises:
        SelfcureError: it is no project, or another process is at work on it.
    """
    folder = Path(folder)
    if not (folder / PLAN).is_file():
        raise SelfcureError(
            f"{folder} is not a project of selfcure collect (no {PLAN}); make one with 'selfcure collect plan {folder}'"
        )
    plan = load_plan(folder / PLAN)
    with _nobody_else(folder / _LOCK) if not read_only else _anybody():
        ledger = Ledger(folder / LEDGER)
        try:
            yield Project(folder, plan, ledger)
        except sqlite3.Error as error:
            raise SelfcureError(
                f"{folder / LEDGER}: {error}; mend that and repeat the command, what was finished is kept"
            ) from error
        finally:
            ledger.close()


@contextmanager
def _anybody() -> Iterator[None]:
    yield


@contextmanager
def _nobody_else(path: Path) -> Iterator[None]:
    """A lock that the system lifts when its holder is gone, however it went."""
    try:
        import fcntl
    except ImportError:  # Windows; SQLite still keeps the ledger whole there
        yield
        return
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SelfcureError(
                f"another 'selfcure collect' is at work on {path.parent}; wait for it"
            ) from error
        yield
