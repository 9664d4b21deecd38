"""``selfcure benchmark`` on the command line."""

import re

import pytest

ONE = "benchmark noise --data data --out bench --methods plain --rates 0,30 --seeds 1 $BENCH"


def test_a_line_for_each_cell_and_the_tables(command, place):
    result = command(ONE)
    assert result.code == 0, result.err
    lines = result.err.splitlines()
    assert lines[0] == "bench: 2 cells: 2 left"
    assert re.fullmatch(
        r"noise/data-sym0-plain-paper-seed0 +[\d.]+ % +\d+:\d\d  1 left, about \d+:\d\d", lines[1]
    )
    assert lines[2].startswith("noise/data-sym30-draw0-plain-paper-seed0 ")
    assert lines[2].endswith("  none left")
    assert result.out == (place / "bench" / "table.md").read_text()
    assert re.search(r"^\| plain \| paper \| [\d.]+ \(1\) \| [\d.]+ \(1\) \|$", result.out, re.MULTILINE)
    again = command(ONE)
    assert again.err.splitlines() == ["bench: 2 cells: 2 done"]
    assert again.out == result.out


def test_dry_run_prints_the_plan_and_writes_nothing(command, place):
    result = command(f"{ONE} --dry-run")
    assert result.code == 0, result.err
    assert result.out.splitlines()[:3] == [
        "noise/data-sym0-plain-paper-seed0  left",
        "noise/data-sym30-draw0-plain-paper-seed0  left",
        "2 cells: 2 left",
    ]
    assert "images/s here (compact, 16 px)" in result.out
    assert "an estimate" in result.out
    assert not (place / "bench").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("noise --data", "nose --data"), "unknown suite 'nose'; did you mean 'noise'?"),
        (("--data data", "--data nowhere"), "dataset folder nowhere does not exist"),
        (("--rates 0,30", "--rates 0,x"), "--rates takes percentages separated by commas"),
        (("--rates 0,30", "--rates 100"), "rates must be at least 0 and below 1"),
        (("--methods plain", "--methods plain,"), "unknown method ''"),
        (("--seeds 1", "--seeds 0"), "seeds must be at least 1, not 0"),
        (("$BENCH", "--set learning_rate"), "--set takes field=value"),
        (("$BENCH", "--budget long"), "unknown budget 'long'"),
    ],
)
def test_mistakes_are_one_line(change, message, command, place):
    result = command(ONE.replace(*change))
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (place / "bench").exists()
