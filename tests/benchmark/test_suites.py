"""Every suite runs to its tables, and what its cells are."""

import csv
import dataclasses
import re
from collections import Counter

import pytest

from selfcure.benchmark.cells import Cell, Data
from selfcure.benchmark.requests import Request
from selfcure.benchmark.running import read_json
from selfcure.benchmark.suites import SUITES
from selfcure.benchmark.switches import SWITCHES, switches
from selfcure.errors import SelfcureError
from selfcure.methods.scn import ScnConfig
from selfcure.training.config import resolve

OPTIONS = {
    "noise": {"methods": ["plain", "scn:reference"], "rates": [0.0, 0.3]},
    "original": {"methods": ["plain", "scn"]},
    "human": {"methods": ["plain", "scn"]},
    "ablation": {},
    "gamma": {},
    "margins": {"rates": [0.3]},
    "switches": {},
    "joint": {"rates": [0.3]},
    "pretrain": {},
    "sota": {"methods": ["plain", "scn"]},
}


def cells(tmp_path) -> list[Cell]:
    return [
        Cell.from_dict(read_json(file)["cell"]) for file in sorted((tmp_path / "bench").glob("*/*/cell.json"))
    ]


@pytest.mark.parametrize("suite", SUITES)
def test_suite_runs_to_its_tables(suite, bench, faces, tmp_path):
    report = bench(suite, data=faces, **OPTIONS[suite])
    states = Counter(cell["state"] for cell in report["cells"])
    assert set(states) <= {"done", "not run"}
    assert states["done"] >= 2
    text = (tmp_path / "bench" / "table.md").read_text()
    assert text.startswith(f"# {suite}: ")
    assert "with the weights of epoch 2 (last)" in text
    assert "failed" not in text
    with open(tmp_path / "bench" / "table.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["suite"] for line in lines} == {suite}
    assert len({line["row"] for line in lines if line["measure"] == "accuracy"}) >= 2
    # Nothing is left, and nothing is done twice.
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "bench").rglob("result.json")}
    assert bench(suite, data=faces, **OPTIONS[suite]) == report
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert (tmp_path / "bench" / "table.md").read_text() == text


def test_ablation_has_all_eight_and_each_means_what_it_says(bench, tmp_path):
    bench("ablation", dry_run=True)
    report = bench("ablation", settings={"num_epochs": 1})
    by_parts = {}
    for cell in cells(tmp_path):
        if "pretrained" in cell.name:
            assert "face weights" in cell.not_run
            continue
        by_parts[cell.places[0].row[1:]] = cell
    assert len(by_parts) == 8
    assert by_parts["–", "–", "–"].method == "plain"
    config = {
        parts: resolve("scn", "paper", **cell.settings).settings
        for parts, cell in by_parts.items()
        if cell.method == "scn" and not cell.not_run
    }
    assert config["✓", "–", "–"].rank_weight == 0
    assert not config["✓", "–", "–"].relabel
    assert config["✓", "✓", "–"].rank_weight == 0.5
    assert config["✓", "–", "✓"].relabel
    assert config["✓", "✓", "✓"] == ScnConfig(relabel_epoch=config["✓", "✓", "✓"].relabel_epoch)
    assert report["cells"][0]["state"] == "done"


def test_switches_change_one_thing_each():
    request = Request(
        sets=(Data(name="faces", kind="source"),),
        methods=(("scn", "paper"), ("cure", "paper")),
        seeds=1,
        rates=None,
        weights={},
        settings=lambda method, recipe: {"num_epochs": 10},
    )
    configs = {
        cell.places[0].row: dataclasses.asdict(resolve(cell.method, cell.recipe, **cell.settings).settings)
        for cell in switches(request)
    }
    assert len(configs) == sum(1 + len(changes) for changes in SWITCHES.values())
    for (method, recipe, change), config in configs.items():
        base = configs[method, recipe, "–"]
        different = {name: value for name, value in config.items() if value != base[name]}
        expected = SWITCHES[method].get(change, {})
        assert different == (expected | {"relabel_epoch": 8} if "relabel_epoch" in expected else expected)


def test_sweeps_share_their_default_cell(bench, tmp_path):
    report = bench("margins", rates=[0.3], dry_run=True)
    names = [cell["name"] for cell in report["cells"]]
    assert len(names) == len(set(names)) == 1 + 1 + 6 + 5 + 4


def test_pretraining_is_where_the_weights_come_from(bench, faces, tmp_path):
    bench("pretrain", data=faces, methods=["plain"])
    by_name = {cell.name: cell for cell in cells(tmp_path)}
    (tuned,) = [cell for cell in by_name.values() if cell.after]
    folder = tmp_path / "bench" / tuned.name
    assert read_json(folder / "run" / "config.json")["config"]["weights"].endswith(f"{tuned.after}/run")
    assert re.search(r"\d", read_json(folder / "result.json")["loaded"])
    assert (tmp_path / "bench" / tuned.after / "run" / "model.safetensors").is_file()
    assert not (folder / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("suite", "options", "message"),
    [
        ("joint", {}, "needs 2 dataset folders"),
        ("gamma", {"methods": ["plain"]}, "is about scn, not about plain"),
        ("nose", {}, "did you mean 'noise'"),
        ("noise", {"methods": ["snc"]}, "did you mean 'scn'"),
        ("noise", {"methods": ["scn", "scn:paper"]}, "twice"),
        ("noise", {"rates": [30.0]}, "below 1"),
        ("noise", {"settings": {"gamma": 1}}, "unknown field 'gamma'"),
        ("noise", {"settings": {"seed": 1}}, "--seeds"),
        ("noise", {"weights": ["nowhere"]}, "nowhere"),
        ("noise", {"jobs": 0}, "jobs must be at least 1"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(suite, options, message, bench, tmp_path):
    with pytest.raises(SelfcureError, match=message):
        bench(suite, **options)
    assert not (tmp_path / "bench").exists()


def test_human_needs_wrong_labels(bench, tmp_path):
    from stripes import write_stripes

    write_stripes(tmp_path / "clean", noise=0.0)
    with pytest.raises(SelfcureError, match="--given-labels"):
        bench("human", data=[tmp_path / "clean"])


def test_a_methods_own_field_goes_to_its_cells_alone(bench, tmp_path):
    bench("noise", methods=["plain", "scn"], rates=[0.0], settings={"rank_margin": 0.07, "num_epochs": 1})
    assert {cell.method: cell.settings.get("rank_margin") for cell in cells(tmp_path)} == {
        "plain": None,
        "scn": 0.07,
    }
