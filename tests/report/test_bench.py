"""A benchmark's page: the numbers of the tables, what is missing and why, and the same bytes every time."""

import json
import re
import shutil
from pathlib import Path

import pytest

from report.conftest import TINY, Page, run_tiny
from selfcure.benchmark import running
from selfcure.benchmark.api import run_benchmark
from selfcure.benchmark.cells import Cell, Data, Place
from selfcure.benchmark.results import MEASURES, Entry, gather, load
from selfcure.benchmark.suites import SUITES
from selfcure.data.synthetic_folder import write_synthetic
from selfcure.errors import SelfcureError
from selfcure.report.api import write_report
from selfcure.report.bench import view
from selfcure.report.bench_charts import sweeps
from selfcure.report.numbers import SHORT_TITLES
from selfcure.training.interrupt import Interrupted


def cells(bench: Path) -> list[Path]:
    return sorted(file.parent for file in bench.glob("noise/*/cell.json"))


def test_the_page_has_the_numbers_of_the_tables(finished, page):
    found = page(finished)
    table = (finished / "table.md").read_text()
    means = re.findall(r"([\d.]+) ± ([\d.]+) \(2\)", table.partition("**Accuracy: difference")[0])
    assert len(means) == 4
    for mean, spread in means:
        assert re.search(rf"{mean} ± {spread} \(2\)", found.text), mean
    differences = re.findall(r"([+-][\d.]+) ± ([\d.]+) \(2\)", table)
    assert len(differences) == 2
    for mean, spread in differences:
        assert f"{mean.replace('-', '−')} ± {spread}" in found.text
    assert "4 of 4" not in found.text
    assert "8 of 8 cells finished." in found.text
    assert "partial" not in found.text
    for cell in load(finished):
        assert cell.cell.name in found.text
    assert "selfcure train" in found.text


def test_it_fetches_nothing_and_can_be_read_aloud(finished, page):
    found = page(finished)
    assert "default-src 'none'" in found.html
    assert not [e for e in found.elements if e[0] in ("script", "link", "iframe", "object")]
    for _, attributes in found.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("href", "src"):
                assert value.startswith(("#", "data:image/jpeg;base64,")), value
    assert found.count("h1") == 1
    assert found.count("html", lang="en") == 1
    tables = found.count("table")
    assert tables
    assert found.count("caption") == tables
    for name, attributes in found.elements:
        if name == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes["aria-label"]
        if name == "img":
            assert attributes["alt"]
        if name == "th":
            assert attributes["scope"] in ("col", "row")
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in found.elements:
        for name in ("href", "aria-labelledby"):
            if (target := attributes.get(name, "")) and not target.startswith("data:"):
                assert target.removeprefix("#") in ids


def test_detection_curves_come_from_the_runs_and_their_absence_is_told(bench, page):
    found = page(bench)
    assert "evidence of 8 run folders" in found.text
    assert "ROC, by the last probability of the given label" in found.text
    assert "ROC, by importance α" in found.text
    shutil.rmtree(cells(bench)[-1] / "run")
    shutil.rmtree(cells(bench)[-2] / "run" / "evidence")
    found = page(bench)
    assert "evidence of 6 run folders" in found.text
    assert "Not in these curves: 1 cell, no evidence kept; 1 cell, no run folder." in found.text
    shutil.rmtree(bench / "data")
    found = page(bench)
    assert "No curves of how wrong labels are found" in found.text
    assert "6 cells, no dataset folder, so the truth is not known" in found.text
    for cell in cells(bench):
        shutil.rmtree(cell / "run", ignore_errors=True)
    found = page(bench)
    assert "8 cells, no run folder" in found.text
    assert "AUROC, last probability" in found.text, "the figures of result.json are there all the same"


def test_a_partial_benchmark_says_what_is_missing_and_why(bench, page):
    first, second, third = cells(bench)[::3]
    (first / "result.json").unlink()
    (second / "result.json").unlink()
    (second / "failed.json").write_text(json.dumps({"failed": "RuntimeError: it <b>broke</b>"}))
    document = json.loads((third / "cell.json").read_text())
    document["cell"]["not_run"] = "needs face weights"
    (third / "cell.json").write_text(json.dumps(document))
    (third / "result.json").unlink()
    found = page(bench)
    assert "5 of 8 cells finished, 1 failed, 1 not finished, 1 not run." in found.text
    assert "This report is partial." in found.text
    assert "1 cell left to do" in found.text
    listing = found.text.partition("Cells without a result")[2]
    for cell, words in ((first, "left to do"), (second, "it <b>broke</b>"), (third, "needs face weights")):
        assert cell.name in listing
        assert words in listing
    assert "without result in this column: 1" in found.text, "the verdict is careful"


def test_a_benchmark_without_any_result_has_a_page(bench, page):
    for cell in cells(bench):
        (cell / "result.json").unlink()
    found = page(bench)
    assert "0 of 8 cells finished, 8 not finished." in found.text
    assert "No cell is finished yet." in found.text


def test_the_same_cells_give_the_same_bytes(finished, tmp_path):
    for name in ("a.html", "b.html", "a.md", "a.csv"):
        write_report([finished], [tmp_path / name])
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.md").read_text() == (finished / "table.md").read_text()
    assert (tmp_path / "a.csv").read_text() == (finished / "table.csv").read_text()


def test_killed_and_resumed_is_the_same_report(faces, tmp_path, monkeypatch):
    out, options = tmp_path / "bench", {"rates": [0.3], "seeds": 1}

    def stopped_after(num_steps: int) -> None:
        real, steps = running._Checking.step, []

        def step(self, *arguments):
            steps.append(1)
            if len(steps) > num_steps:
                raise Interrupted("stopped")
            real(self, *arguments)

        monkeypatch.setattr(running._Checking, "step", step)
        with pytest.raises(Interrupted):
            run_tiny(faces, out, **options)
        monkeypatch.setattr(running._Checking, "step", real)

    run_tiny(faces, out, **options)
    write_report([out], [tmp_path / "whole.html"])
    shutil.rmtree(out)
    stopped_after(3)  # amid the first cell
    write_report([out], [tmp_path / "partial.html"])
    assert "0 of 2 cells finished" in Page((tmp_path / "partial.html").read_text()).text
    stopped_after(2)  # amid the second
    run_tiny(faces, out, **options)
    assert any(json.loads(file.read_text())["resumed"] for file in out.glob("*/*/result.json"))
    write_report([out], [tmp_path / "resumed.html"])
    assert (tmp_path / "resumed.html").read_bytes() == (tmp_path / "whole.html").read_bytes()


def test_what_is_kept_does_not_change_the_page(faces, tmp_path):
    out, options = tmp_path / "bench", {"rates": [0.3], "seeds": 1, "methods": ["scn"]}
    pages = []
    for keep in ("all", "results"):
        run_tiny(faces, out, keep=keep, **options)
        write_report([out], [tmp_path / f"{keep}.html"])
        pages.append((tmp_path / f"{keep}.html").read_text())
        shutil.rmtree(out)
    assert pages[0] == pages[1]


def test_names_from_outside_are_text(bench, page):
    nasty = '<script>alert("1")</script>'
    for cell in cells(bench):
        for name in ("cell.json", "result.json"):
            text = (cell / name).read_text().replace('"neutral"', json.dumps(nasty))
            (cell / name).write_text(text.replace('"group": "first"', f'"group": {json.dumps(nasty)}'))
    found = page(bench)
    assert nasty in found.text
    assert "<script" not in found.html
    assert found.count("script") == 0


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("cell.json", "{", "cell.json is damaged"),
        ("cell.json", "{}", "cell.json is damaged (KeyError('cell'))"),
        ("cell.json", '{"cell": 3, "commands": []}', "cell.json is damaged"),
        ("result.json", "[]", "result.json is damaged (no JSON object)"),
        ("result.json", "{}", "result.json is damaged (evaluation is not whole)"),
    ],
)
def test_damaged_files_are_named(file, text, message, bench, tmp_path):
    (cells(bench)[0] / file).write_text(text)
    with pytest.raises(SelfcureError, match=re.escape(message)):
        write_report([bench], [tmp_path / "r.html"])
    assert not (tmp_path / "r.html").exists()


def test_every_suite_has_a_page(tmp_path, faces, page):
    write_synthetic(tmp_path / "second", 32, num_validation=16, wrong=0.25, size_px=16, seed=1)
    options = {"settings": TINY | {"num_epochs": 1}, "seeds": 1, "num_images": 24, "out": tmp_path / "bench"}
    for suite, methods, rates in (
        ("gamma", None, [0.3]),
        ("pretrain", ["plain"], None),
        ("sota", ["plain"], None),
    ):
        run_benchmark(suite, [faces, tmp_path / "second"], methods=methods, rates=rates, **options)
    found = page(tmp_path / "bench")
    for suite in ("gamma", "pretrain", "sota"):
        assert f"{suite}: {SUITES[suite].what}" in found.text
    assert "not run" in found.text
    assert "needs face weights" in found.text
    assert "γ 0.5" in found.text


# By hand, without training.


def entry(method: str, seed: int, accuracy: float, *, column: str = "30 %", suite: str = "noise") -> Entry:
    row = (method, "paper") if suite == "noise" else ("paper", "δ1", method)
    place = Place(
        group="set",
        row=row,
        column=column,
        order=((float(method != "plain"),), float(column.split()[0])),
        baseline=() if method == "plain" or suite != "noise" else ("plain", "paper"),
    )
    data = Data(name="set", kind="source", options={"layout": "ferplus"})
    cell = Cell(
        name=f"{suite}/{method}-{column}-seed{seed}",
        data=data,
        method=method,
        recipe="paper",
        seed=seed,
        places=(place,),
    )
    result = {
        "evaluation": {"validation": {"given": {"accuracy": accuracy, "mean_class_accuracy": 0.5}}},
        "weights": "epoch 2 (last)",
        "last": {},
        "epochs": [],
        "class_names": ["a", "b"],
        "config": {"backbone": "compact", "image_size_px": 16, "num_epochs": 2},
        "num_samples": 10,
        "environment": {"gpu": None, "cpu": "a cpu"},
    }
    return Entry(cell, result, "")


def test_the_verdict_names_the_highest_mean_and_is_careful():
    entries = [entry("plain", s, a) for s, a in enumerate((0.5, 0.6))]
    entries += [entry("scn", s, a) for s, a in enumerate((0.55, 0.64))]
    (found,) = view(gather(entries))
    (verdict,) = found.verdicts
    assert (verdict.winner, verdict.value) == ("scn", "59.50 ± 6.36 %")
    assert verdict.against == "+4.50 ± 0.71 points over plain, higher on 2 of 2 seeds"
    assert verdict.next == "plain, 55.00 %, 4.50 behind"
    assert verdict.caution == "the lead of 4.50 is smaller than the spread over seeds"
    cell = found.rows[1].cells[0]
    assert (cell.best, cell.tone, cell.difference) == (True, "up", "+4.50 ± 0.71")
    assert [(line.seed, line.value, line.difference) for line in cell.seeds] == [
        (0, "55.00", "+5.00"),
        (1, "64.00", "+4.00"),
    ]


def test_one_seed_a_tie_and_unequal_seeds_are_said():
    one = view(gather([entry("plain", 0, 0.5), entry("scn", 0, 0.6)]))[0].verdicts[0]
    assert "one seed each" in one.caution
    tie = view(gather([entry("plain", 0, 0.5), entry("scn", 0, 0.5)]))[0]
    assert "a tie" in tie.verdicts[0].caution
    assert [row.cells[0].best for row in tie.rows] == [True, True]
    uneven = view(gather([entry("plain", 0, 0.5), entry("scn", 0, 0.6), entry("scn", 1, 0.61)]))[0]
    assert "2 seeds against 1" in uneven.verdicts[0].caution


def test_a_test_only_from_five_seeds_on():
    def difference(num: int) -> str:
        entries = [entry("plain", s, 0.5) for s in range(num)]
        entries += [entry("scn", s, 0.51 + s / 1000) for s in range(num)]
        return view(gather(entries))[0].rows[1].cells[0].p

    assert difference(4) == ""
    assert difference(5).startswith("p = ")


def test_published_numbers_stand_with_their_sources():
    (found,) = view(gather([entry("plain", 0, 0.5), entry("scn", 0, 0.6)]))
    scn = found.rows[1].published
    assert [(value.text, value.source) for value in scn] == [("78.53 / 72.46 / 70.45", "scratch; recalled")]


def test_sweeps_over_rates_and_over_values():
    entries = [entry(m, 0, 0.5, column=f"{r} %") for m in ("plain", "scn") for r in (0, 10, 30)]
    (found,) = view(gather(entries))
    assert [panel.title for panel in sweeps(found.table, found.names, "x")] == ["plain", "scn"]
    values = ("0.0", "0.1", "0.2", "learned")
    entries = [entry(v, s, 0.5 + s / 10, suite="margins") for v in values for s in (0, 1)]
    (found,) = view(gather(entries))
    (panel,) = sweeps(found.table, found.names, "x")
    assert panel.title == "δ1"
    assert "55 % at learned" in str(panel.svg)
    assert str(panel.svg).count("thin") == 4, "an error bar for each value"


def test_every_measure_has_a_short_title():
    assert {measure.name for measure in MEASURES} <= set(SHORT_TITLES)
