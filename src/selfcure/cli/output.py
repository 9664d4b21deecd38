"""Consoles, tables and bars. Results go to stdout, everything else to stderr."""

import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table


class _Console(Console):
    """Prints text as it is: what is in brackets or colons may be the name of a class."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        raise


Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
"""An option without a value."""

console = _Console()
errors = _Console(stderr=True)


def print_json(document: dict[str, Any]) -> None:
    """One JSON object on stdout, in strict JSON: numbers that are not finite become null."""
    encoding = (sys.stdout.encoding or "utf-8").lower().replace("-", "")
    print(json.dumps(_finite(document), ensure_ascii=encoding != "utf8", allow_nan=False))


def one_line(text: str) -> str:
    r"""``text`` from outside with nothing in it that moves the cursor or breaks the line.

    >>> one_line("a\nb \x1b[31m[red]")
    'a b \\x1b[31m[red]'
    """
    text = re.sub(r"[\t\r\n]+", " ", text)
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: f"\\x{ord(found[0]):02x}", text)


def table(*columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    result = Table(header_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        result.add_column(one_line(column), justify="left" if index == 0 else "right", overflow="fold")
    return result


def print_table(content: Table, title: str = "") -> None:
    """A table on stdout, and what it is about above it."""
    if title:
        console.print(one_line(title), style="bold", soft_wrap=True)
    console.print(content)


def percent(value: float | None) -> str:
    """A share as a percentage with one decimal; a dash where there is none.

    >>> percent(0.3), percent(None)
    ('30.0 %', '–')
    """
    return "–" if value is None else f"{100 * value:.1f} %"


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that is counted: yields a function of (done, total)."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as bar:
        task = bar.add_task(one_line(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case Path():
            return str(value)
    return value
