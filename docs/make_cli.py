"""Writes docs/cli.md from the commands' own help: uv run python docs/make_cli.py"""

import io
from pathlib import Path

from rich.console import Console

PAGE = Path(__file__).with_name("cli.md")
COMMANDS = (
    "demo",
    "train",
    "evaluate",
    "data import",
    "data info",
    "data noise",
    "data sample",
    "data split",
    "data join",
    "data synth",
    "labels export",
    "benchmark",
)


def render() -> str:
    """The page: the help of every command, as a terminal of 100 columns shows it."""
    from selfcure.cli import app

    parts = ["# Commands\n\nMade by `uv run python docs/make_cli.py`; a test keeps it current.\n"]
    for command in ("", *COMMANDS):
        buffer = io.StringIO()
        app.help_print(command.split(), console=Console(file=buffer, width=100, color_system=None))
        text = "\n".join(line.rstrip() for line in buffer.getvalue().strip().splitlines())
        parts.append(f"## `{f'selfcure {command}'.strip()}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
