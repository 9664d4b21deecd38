"""The committed results can be read, and their commands lead to what is committed."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FOLDERS = sorted({cell.parents[2] for cell in RESULTS.glob("*/*/*/result.json")})
summary = runpy.run_path(str(ROOT / "benchmarks" / "summary.py"))


def test_results_are_committed():
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_finished_cell_is_read_and_told_of(folder):
    cells = summary["read"](folder)
    assert len(cells) == len(list(folder.glob("*/*/result.json")))
    groups = summary["grouped"](cells)
    assert summary["table"](groups).count("\n") == 1 + len(groups)
    assert folder.name in (RESULTS / "README.md").read_text(encoding="utf-8")


def test_spread_over_seeds_and_difference_to_plain():
    cells = [
        {"suite": "noise", "data": "d", "row": "elr, paper", "accuracy": 72.0, "to_plain": -2.0},
        {"suite": "noise", "data": "d", "row": "elr, paper", "accuracy": 74.0, "to_plain": 1.0},
    ]
    table = summary["table"](summary["grouped"](cells))
    assert table.splitlines()[-1] == "| noise, d | elr, paper | 2 | 73.0 ± 1.4 | −0.5 ± 2.1 |"


@pytest.mark.parametrize("page", ["benchmarks/results/README.md", "docs/cure.md"])
def test_the_tables_in_pages_are_those_of_the_committed_cells(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "<!-- cells: " in text
    assert summary["filled"](text) == text
