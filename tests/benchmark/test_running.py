"""What a cell's folder holds, and what becomes of failures, changed settings and clones."""

import json
import shlex
import shutil

import pytest

from selfcure.benchmark import running
from selfcure.benchmark.running import read_json
from selfcure.cli import app
from selfcure.errors import SelfcureError
from selfcure.runs import RunFolder

PLAIN = {"methods": ["plain"], "rates": [0.3]}
NAME = "noise/first-24-sym30-draw0-plain-paper-seed0"


def test_folder_of_a_finished_cell(bench, tmp_path):
    report = bench("noise", **PLAIN)
    assert [cell["name"] for cell in report["cells"]] == [NAME]
    folder = tmp_path / "bench" / NAME
    assert {file.name for file in folder.iterdir()} == {"cell.json", "result.json", "run"}
    run = RunFolder(folder / "run")
    assert {file.name for file in run.path.iterdir()} == {
        "config.json",
        "samples.parquet",
        "metrics.jsonl",
        "evidence",
        "changes",
    }
    assert [file.name for file in (run.path / "evidence").iterdir()] == ["epoch-0002.parquet"]
    result = read_json(folder / "result.json")
    assert result["evaluation"]["validation"]["true"]["num_samples"] == 16
    assert result["last"]["epoch"] == 2
    assert [epoch["epoch"] for epoch in result["epochs"]] == [1, 2]
    assert result["environment"]["num_cores"] >= 1
    # Committed files must be the same whoever made them: no paths, and the data by its name and fingerprint.
    assert str(tmp_path) not in (folder / "result.json").read_text()
    assert "metrics.jsonl" not in (folder / "result.json").read_text()


def test_keep_all_keeps_what_a_run_leaves(bench, tmp_path):
    bench("noise", keep="all", **PLAIN)
    run = tmp_path / "bench" / NAME / "run"
    assert (run / "model.safetensors").is_file()
    assert len(list((run / "evidence").iterdir())) == 2


def test_commands_do_by_hand_what_the_cell_did(bench, tmp_path, monkeypatch):
    bench("noise", keep="all", **PLAIN)
    commands = read_json(tmp_path / "bench" / NAME / "cell.json")["commands"]
    assert [shlex.split(line)[1] for line in commands] == ["data", "data", "train", "evaluate"]
    text = "\n".join(commands).replace(str(tmp_path / "bench"), str(tmp_path / "hand"))
    for line in text.splitlines()[:-1]:
        app(shlex.split(line)[1:], exit_on_error=False, print_error=False)
    theirs = RunFolder(tmp_path / "bench" / NAME / "run").metrics()
    ours = RunFolder(tmp_path / "hand" / NAME / "run").metrics()
    assert [strip(record) for record in ours] == [strip(record) for record in theirs]


def strip(record: dict) -> dict:
    return {k: v for k, v in record.items() if k not in ("seconds", "images_per_second")}


def test_a_failed_cell_is_told_and_the_others_go_on(bench, tmp_path, monkeypatch):
    def broken(*arguments, method=None, **options):
        if method == "plain":
            raise RuntimeError("it\nbroke")
        return train(*arguments, method=method, **options)

    train = running.train
    monkeypatch.setattr(running, "train", broken)
    both = {"methods": ["plain", "scn"], "rates": [0.0]}
    report = bench("noise", **both)
    assert [cell["state"] for cell in report["cells"]] == ["failed", "done"]
    text = (tmp_path / "bench" / "table.md").read_text()
    assert "| plain | paper | failed |" in text
    assert "- first-24-sym0-plain-paper-seed0: failed: RuntimeError: it broke" in text
    failed = read_json(tmp_path / "bench" / report["cells"][0]["name"] / "failed.json")
    assert "in broken" in failed["traceback"]
    # It stays failed, until told to be tried again.
    monkeypatch.setattr(running, "train", train)
    assert bench("noise", **both) == report
    assert [cell["state"] for cell in bench("noise", retry=True, **both)["cells"]] == ["done", "done"]
    assert "failed" not in (tmp_path / "bench" / "table.md").read_text()


def test_what_starts_from_a_failed_cell_fails_with_it(bench, faces, tmp_path, monkeypatch):
    def broken(*arguments, **options):
        raise SelfcureError("no")

    monkeypatch.setattr(running, "train", broken)
    report = bench("pretrain", data=faces, methods=["plain"])
    assert {cell["reason"].partition(" ")[0] for cell in report["cells"]} == {"no", "needs"}


def test_a_full_disk_fails_no_cell(bench, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(running, "train", full)
    with pytest.raises(OSError, match="No space"):
        bench("noise", **PLAIN)
    assert {file.name for file in (tmp_path / "bench" / NAME).iterdir()} == {"cell.json"}


def test_other_settings_or_data_are_refused(bench, faces, tmp_path):
    bench("noise", **PLAIN)
    with pytest.raises(SelfcureError, match="num_epochs 2 there, 3 here"):
        bench("noise", settings={"num_epochs": 3}, **PLAIN)
    shutil.copytree(faces[1], tmp_path / "first")
    with pytest.raises(SelfcureError, match="other data"):
        bench("noise", data=[tmp_path / "first"], **PLAIN)


def test_a_clone_with_the_small_files_goes_on(bench, tmp_path):
    bench("noise", **PLAIN)
    here, clone = tmp_path / "bench", tmp_path / "clone"
    for file in [*here.glob("*/*/cell.json"), *here.glob("*/*/result.json")]:
        target = clone / file.relative_to(here)
        target.parent.mkdir(parents=True) if not target.parent.exists() else None
        shutil.copy(file, target)
    report = bench("noise", out=clone, **PLAIN)
    assert [cell["state"] for cell in report["cells"]] == ["done"]
    assert not (clone / "data").exists()
    assert (clone / "table.md").read_text() == (here / "table.md").read_text()
    report = bench("noise", out=clone, methods=["plain", "scn"], rates=[0.3])
    assert [cell["state"] for cell in report["cells"]] == ["done", "done"]


def test_a_damaged_result_is_named(bench, tmp_path):
    bench("noise", **PLAIN)
    (tmp_path / "bench" / NAME / "result.json").write_text("{")
    with pytest.raises(SelfcureError, match=r"result.json is damaged .* delete it"):
        bench("noise", **PLAIN)


def test_dry_run_writes_nothing_and_estimates(bench, tmp_path):
    report = bench("noise", dry_run=True, methods=["plain", "coteaching"], rates=[0.0, 0.3])
    assert not (tmp_path / "bench").exists()
    assert [cell["state"] for cell in report["cells"]] == ["left"] * 4
    assert report["estimate"]["seconds"] > 0
    assert any("coteaching" in line for line in report["estimate"]["lines"])
    json.dumps(report)


def test_test_split_stands_in_where_there_is_no_validation(faces, tmp_path, bench):
    data = tmp_path / "renamed"
    shutil.copytree(faces[0], data)
    for file in data.glob("validation-*"):
        file.rename(data / file.name.replace("validation", "test"))
    manifest = read_json(data / "dataset.json")
    manifest["splits"]["test"] = manifest["splits"].pop("validation")
    (data / "dataset.json").write_text(json.dumps(manifest))
    report = bench("noise", data=[data], **PLAIN)
    assert report["cells"][0]["accuracy"] is not None
    assert "on the split test against its true labels" in (tmp_path / "bench" / "table.md").read_text()
