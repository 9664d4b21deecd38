"""``selfcure report`` on the command line."""

import json

import pytest

BENCH = "benchmark noise --data data --out bench --methods plain --rates 0,30 --seeds 1 $BENCH"


def test_a_page_of_a_benchmark_and_of_a_run(command, place):
    assert command(BENCH).code == 0
    result = command("report bench --out out/report.html --out out/report.md --out out/report.csv")
    assert (result.code, result.out.splitlines()) == (
        0,
        ["out/report.html", "out/report.md", "out/report.csv"],
    )
    assert result.err == "2 cells: 2 done\n"
    assert (place / "out/report.md").read_text() == (place / "bench/table.md").read_text()
    assert (place / "out/report.csv").read_text() == (place / "bench/table.csv").read_text()
    assert "<title>bench – selfcure report</title>" in (place / "out/report.html").read_text()
    result = command("report run --out run.html --json")
    assert result.code == 0, result.err
    assert json.loads(result.out) == {
        "files": ["run.html"],
        "kind": "runs",
        "runs": 1,
        "unfinished": 0,
        "notes": [],
    }
    assert "<title>run – selfcure report</title>" in (place / "run.html").read_text()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("report nowhere --out r.html", "nowhere does not exist"),
        ("report empty --out r.html", "empty is no benchmark's folder and no run folder: it is empty"),
        ("report data --out r.html", "data is no benchmark's folder and no run folder: it has neither"),
        ("report text.txt --out r.html", "text.txt is a file"),
        ("report run --out r.pdf", "--out must end in .html, .md or .csv, not 'r.pdf'"),
        ("report run --out empty.html/r.html", "cannot write empty.html/r.html"),
        ("report run run --out r.html", "a run folder is given twice"),
        ("report run", "--out is missing"),
        ("report --out r.html", "is missing"),
        ("report run --data nowhere --out r.html", ""),
    ],
)
def test_mistakes_are_one_line(line, message, command, place):
    (place / "empty.html").write_text("a file")
    result = command(line)
    if not message:  # what is not there is told on the page, and here
        assert result.code == 0
        assert "nowhere does not exist" in result.err
        return
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (place / "r.html").exists()


def test_a_suite_and_a_mix_are_refused(command, place):
    assert command(BENCH).code == 0
    result = command("report bench/noise --out r.html")
    assert result.code == 2
    assert "bench/noise is one suite of a benchmark; give the benchmark" in result.err
    result = command("report bench run --out r.html")
    assert result.code == 2
    assert "a report is of one benchmark or of runs" in result.err
    assert command("report bench --data data --out r.html").code == 2
