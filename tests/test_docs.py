"""What README and docs say to type is what the program takes, and what they link to is there."""

import re
import runpy
import shlex
from pathlib import Path
from string import Template

import pytest

from selfcure.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/**/*.md")])


def test_command_help_page_is_current():
    render = runpy.run_path(str(ROOT / "docs" / "make_cli.py"))["render"]
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == render(), "run: uv run python docs/make_cli.py"


def commands() -> list[str]:
    found = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        variables: dict[str, str] = {}
        for name, value in re.findall(r"^([A-Z]+)=\"(.*)\"$", text, re.MULTILINE):
            variables[name] = Template(value).safe_substitute(variables)
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
            for line in Template(block.replace("\\\n", " ")).safe_substitute(variables).splitlines():
                match = re.search(r"(?:^|uv run )selfcure (.*)", line.split("  #")[0])
                if match:
                    found.add(match[1].strip())
    return sorted(found)


@pytest.mark.parametrize("command", commands())
def test_commands_in_the_docs_parse(command):
    app.parse_args(shlex.split(command), exit_on_error=False, print_error=False)


def test_there_are_commands_in_the_docs():
    assert len(commands()) >= 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
