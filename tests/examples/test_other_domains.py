"""The walk-throughs of docs/other_domains.md, in small."""

import json
import re
import runpy
from pathlib import Path

import pyarrow.csv
import pytest

ROOT = Path(__file__).parents[2]


def run(name: str):
    return runpy.run_path(str(ROOT / "examples" / name))["main"]


def test_digits(tmp_path, capsys):
    figures = run("digits.py")(tmp_path, num=300, num_epochs=5)
    for method in ("plain", "scn"):
        assert figures[method]["labels wrong before"] == pytest.approx(0.2, abs=0.02)
        assert figures[method]["validation accuracy"] > 0.3
        assert figures[method]["AUROC of wrong labels"] > 0.7
        assert len(pyarrow.csv.read_csv(tmp_path / f"{method}.csv")) == 240
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["plain", "scn"]


def test_identities(tmp_path):
    figures = run("identities.py")(tmp_path, num_people=120, size_px=16, num_epochs=2)
    assert (figures["pictures"], figures["people"]) == (1080, 120)
    assert figures["AUROC of wrong labels"] > 0.5
    record = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert "most_confused" in record["validation"]
    assert "confusion" not in record["validation"]


def test_the_page_tells_what_the_examples_do():
    page = (ROOT / "docs" / "other_domains.md").read_text(encoding="utf-8")
    for name in ("digits", "identities"):
        source = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
        commands = re.findall(rf"selfcure train runs/{name}/.*(?:\\\n.*)*", page)
        assert commands, name
        for field, value in re.findall(r"--set (\w+)=([\w.]+)", " ".join(commands)):
            assert re.search(rf'{field}="?{re.escape(value)}\b', source), (field, value)
