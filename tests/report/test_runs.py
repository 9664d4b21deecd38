"""The page of runs: what it shows, and what it says of what it cannot show."""

import csv
import json
import re
import shutil

import pytest

from report.conftest import TINY
from selfcure.errors import SelfcureError
from selfcure.report.api import write_report
from selfcure.report.trainings import names_of
from selfcure.runs import RunFolder
from selfcure.training.api import train


def test_a_run_is_shown_whole(runs, page):
    found = page(runs / "noisy")
    last = RunFolder(runs / "noisy").metrics()[-1]
    assert f"{100 * last['validation']['accuracy']:.2f}" in found.text
    assert f"{last['detection']['importance']['auroc']:.3f}" in found.text
    for heading in (
        "Accuracy, %",
        "Loss and its terms",
        "Labels changed in the epoch",
        "Importance α",
        "given label right",
        "given label wrong",
        "ROC: wrong labels found",
        "Accuracy by confidence",
        "Least important training images",
        "All settings",
    ):
        assert heading in found.text, heading
    assert "Least important training images" in found.text
    assert "mean probability of the given label" in found.text
    assert "unfinished" not in found.text
    assert "The same images" not in found.text


def test_the_noise_is_shown_as_the_run_expects_it(trained, page, tmp_path):
    settings = TINY | {"batch_size": 20, "num_epochs": 4}
    run = train(trained / "data-noisy", out=tmp_path / "cured", method="cure", **settings)
    found = page(run.path)
    assert "Given labels, and what they are expected to be" in found.text
    counts = run.metrics()[-1]["label_noise"]["confusion"]
    assert found.count("td", title=str(round(counts[0][0])))
    assert "expected to be" not in page(trained / "noisy").text


def test_least_important_are_in_order_and_named_rightly(runs, page):
    found = page(runs / "noisy")
    listing = found.text.partition("Least important training images")[2]
    alphas = [float(text) for text in re.findall(r"α (\d\.\d+) ·", listing)]
    importance = RunFolder(runs / "noisy").evidence(2)["importance"].to_numpy()
    assert alphas == [pytest.approx(value, abs=6e-4) for value in sorted(importance)[:24]]


def test_the_same_images_under_several_trainings(runs, page):
    found = page(runs / "clean", runs / "noisy", runs / "plain")
    section = found.text.partition("The same images in several trainings")[2].partition("run clean")[0]
    assert section.count("α 0.") + section.count("α 1.") == 24, "12 images in the two runs with importance"
    assert section.count("wrong") >= 7, "six of them and the explanation"
    assert "3 runs side by side" in found.text
    assert "has the highest validation accuracy" in found.text
    assert "Validation accuracy, %" in found.text


def test_images_that_only_share_ids_are_not_taken_for_the_same(runs, page, tmp_path):
    from stripes import write_stripes

    write_stripes(tmp_path / "other", num=60, num_validation=20, seed=5)
    config = json.loads((runs / "noisy" / "config.json").read_text())["config"]
    names = ("backbone", "image_size_px", "num_epochs", "batch_size", "num_threads")
    train(tmp_path / "other", out=tmp_path / "elsewhere", **{name: config[name] for name in names})
    found = page(runs / "noisy", tmp_path / "elsewhere")
    assert "the runs have ids in common, but of different images" in found.text


def test_without_its_dataset_a_run_says_what_is_not_shown(runs, page):
    shutil.move(runs / "data-noisy", runs / "moved")
    found = page(runs / "noisy")
    assert "data-noisy does not exist. --data says where the dataset is." in found.text
    assert found.count("img") == 0
    assert "Accuracy by confidence" in found.text
    found = page(runs / "noisy", data=runs / "moved")
    assert found.count("img") > 24


def test_an_unfinished_run_and_one_without_an_epoch(runs, page):
    lines = (runs / "noisy" / "metrics.jsonl").read_text().splitlines(keepends=True)
    (runs / "noisy" / "metrics.jsonl").write_text(lines[0])
    (runs / "plain" / "metrics.jsonl").unlink()
    found = page(runs / "noisy", runs / "plain")
    assert "2 of 2 runs unfinished. noisy: 1 of 2 epochs; plain: 0 of 2 epochs." in found.text
    assert "No epoch is finished yet." in found.text


def test_a_pruned_run_says_so(runs, page):
    (runs / "noisy" / "evidence" / "epoch-0001.parquet").unlink()
    assert "Only the last epoch's evidence is kept" in page(runs / "noisy").text
    shutil.rmtree(runs / "noisy" / "evidence")
    found = page(runs / "noisy")
    assert "No importance, detection curves, reliability and pictures" in found.text
    assert "Accuracy, %" in found.text


def test_a_cell_of_a_benchmark_stands_for_its_run(bench, page):
    cells = sorted(bench.glob("noise/*scn*seed0"))
    found = page(*cells)
    for cell in cells:
        assert cell.name in found.text
    assert "data-noisy" not in found.text
    assert found.count("img") > 24, "the dataset is found beside, though the benchmark was moved"
    shutil.rmtree(cells[0] / "run")
    with pytest.raises(SelfcureError, match="is a cell without its run folder"):
        page(*cells)


def test_markdown_and_csv(runs, tmp_path):
    write_report([runs / "noisy", runs / "plain"], [tmp_path / "r.md", tmp_path / "r.csv"])
    text = (tmp_path / "r.md").read_text()
    assert text.startswith("# Runs\n\n| run | Method |")
    accuracy = RunFolder(runs / "noisy").metrics()[-1]["validation"]["accuracy"]
    assert re.search(rf"\| noisy \| scn paper \| 0 \| 2 of 2 \| {100 * accuracy:.2f} \|", text)
    with open(tmp_path / "r.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    found = [r for r in rows if (r["run"], r["epoch"], r["measure"]) == ("noisy", "2", "validation.accuracy")]
    assert [float(row["value"]) for row in found] == [accuracy]
    assert not {"seconds", "images_per_second"} & {row["measure"] for row in rows}


def test_names_of_classes_and_runs_are_text(runs, page, tmp_path):
    nasty = "<script>alert(1)</script>"
    config = runs / "noisy" / "config.json"
    config.write_text(config.read_text().replace('"stripe 0"', json.dumps(nasty)))
    run = runs / "<b onclick=x>"
    shutil.move(runs / "noisy", run)
    found = page(run)
    assert nasty in found.text
    assert found.count("script") == 0
    assert found.count("b") == 0
    write_report([run], [tmp_path / "r.md"])
    assert "<b" not in (tmp_path / "r.md").read_text()


def test_names_tell_runs_apart(tmp_path):
    assert names_of([tmp_path / "a" / "x", tmp_path / "b" / "x"]) == ["a/x", "b/x"]
    assert names_of([tmp_path / "x"]) == ["x"]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", lambda text: "{", "config.json is damaged"),
        ("config.json", lambda text: '{"class_names": ["a"]}', "damaged (config is not whole)"),
        ("metrics.jsonl", lambda text: "{]\n" + text, "metrics.jsonl is damaged"),
    ],
)
def test_damaged_runs_are_named(file, change, message, runs, tmp_path):
    path = runs / "noisy" / file
    path.write_text(change(path.read_text()))
    with pytest.raises(SelfcureError, match=re.escape(message)):
        write_report([runs / "noisy"], [tmp_path / "r.html"])
