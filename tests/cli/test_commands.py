"""What the commands print, and that each has its twin in Python."""

import csv
import inspect
import json
import re
import shlex

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import selfcure
from selfcure.cli import app, run
from selfcure.cli.data import app as data_app
from selfcure.cli.labels import app as labels_app
from selfcure.cli.output import print_json


def strict(text: str) -> dict:
    """The one JSON object that ``text`` is; NaN and Infinity are not JSON."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads(text, parse_constant=refuse)
    assert isinstance(document, dict)
    return document


JSON_COMMANDS = {
    "data import folder stripes --out new --json": {"num_samples": 162, "layout": "folder"},
    "data info data --json": {"path": "data", "num_samples": 162},
    "data noise data --rate 0.1 --out new --json": {"layout": "noise"},
    "data sample data --num 7 --out new --json": {"layout": "sample"},
    "data split 'no validation' --validation 0.5 --out new --json": {"layout": "split"},
    "data join data 'no validation' --out new --json": {"layout": "join"},
    "data synth --num 9 --num-validation 3 --size 16 --out new --json": {"num_samples": 12},
    "train data --out new $TINY --json": {"run": "new", "epoch": 2},
    "evaluate run data --json": {"split": "validation", "method": "scn"},
    "labels export run --out labels.csv --json": {"out": "labels.csv", "num_samples": 120},
    "benchmark noise --data data --out new --methods plain --rates 30 --seeds 1 $BENCH --json": {
        "suite": "noise"
    },
    "labels diff data data --json": {"a": "data", "b": "data"},
    "report run --out report.html --json": {"kind": "runs"},
}


@pytest.mark.parametrize("line", JSON_COMMANDS)
def test_json_is_one_object_on_stdout_and_nothing_else(line, command):
    result = command(line)
    assert result.code == 0, result.err
    assert result.out.count("\n") == 1
    document = strict(result.out)
    assert document | JSON_COMMANDS[line] == document


def test_every_command_with_json_is_in_the_table():
    with_json = {
        " ".join(chain)
        for chain, function in commands().items()
        if "json" in inspect.signature(function).parameters
    }
    tested = {next(name for name in with_json if line.startswith(name + " ")) for line in JSON_COMMANDS}
    # Tested with a small one below, and where there are faces, finished networks and saved predictions.
    assert with_json - tested == {"demo", "export", "faces", "labels detect", "predict"}


def test_json_of_numbers_that_are_not_finite(capsys):
    print_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": -float("inf")}, "e": "Ö"})
    assert strict(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "c": {"d": None}, "e": "Ö"}


TWINS_OF_ONE_WORD = {
    "benchmark": "run_benchmark",
    "demo": "run_demo",
    "evaluate": "evaluate",
    "export": "export_run",
    "faces": "extract_faces",
    "predict": "Predictor",
    "report": "write_report",
    "review": "Desk",
    "train": "train",
}


def commands() -> dict[tuple[str, ...], object]:
    found = {(name,): app[name].default_command for name in TWINS_OF_ONE_WORD}
    for group in (data_app, labels_app):
        names = [name for name in group if not name.startswith("-")]
        found |= {(group.name[0], name): group[name].default_command for name in names}
    return found


TWINS = {
    **{(name,): twin for name, twin in TWINS_OF_ONE_WORD.items()},
    ("data", "import"): "import_dataset",
    ("data", "info"): "Dataset",
    ("data", "noise"): "add_noise",
    ("data", "sample"): "sample",
    ("data", "split"): "split",
    ("data", "join"): "join",
    ("data", "synth"): "write_synthetic",
    ("labels", "export"): "export_labels",
    ("labels", "diff"): "diff_labels",
    ("labels", "detect"): "detect",
}


def test_every_command_has_a_twin():
    assert commands().keys() == TWINS.keys()


@pytest.mark.parametrize("chain", TWINS)
def test_twin_is_named_and_documented(chain):
    twin = getattr(selfcure, TWINS[chain])
    assert TWINS[chain] in selfcure.__all__
    assert inspect.getdoc(twin)


@pytest.mark.parametrize("chain", commands(), ids=" ".join)
def test_every_option_is_documented(chain, capsys):
    assert run([*chain, "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for name, parameter in inspect.signature(commands()[chain]).parameters.items():
        shown = (
            name.upper()
            if parameter.kind is parameter.POSITIONAL_ONLY
            else "--" + name.strip("_").replace("_", "-")
        )
        # A name, then (perhaps after the kind of value) the words of its description.
        assert re.search(rf"[│*] +{shown}( --no-[a-z]+)?( [A-Z=]+)?  +\S+", text), (
            f"{shown} has no description:\n{text}"
        )


def test_help_names_what_can_be_chosen(capsys):
    from selfcure.backbones.registry import BACKBONES
    from selfcure.benchmark.api import BUDGETS
    from selfcure.benchmark.suites import SUITES
    from selfcure.data.folder import SPLITS
    from selfcure.data.noise import KINDS
    from selfcure.data.readers import READERS
    from selfcure.methods import METHODS
    from selfcure.training.config import RECIPES

    for line, names in {
        "train": [*METHODS, *RECIPES, *BACKBONES],
        "evaluate": SPLITS,
        "data import": READERS,
        "data noise": KINDS,
        "benchmark": [*SUITES, *BUDGETS, *RECIPES],
    }.items():
        run([*line.split(), "--help"])
        text = capsys.readouterr().out
        assert not [name for name in names if not re.search(rf"\b{name}\b", text)], line


def test_import_has_the_options_of_all_layouts():
    from selfcure.data.readers import READERS

    known = {
        name
        for reader in READERS.values()
        for name, parameter in inspect.signature(reader).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert known | {"layout", "source", "out", "json"} == set(
        inspect.signature(commands()["data", "import"]).parameters
    )


def test_noise_has_the_options_of_its_twin():
    own = set(inspect.signature(commands()["data", "noise"]).parameters)
    twin = set(inspect.signature(selfcure.add_noise).parameters)
    assert own - {"json", "data"} == twin - {"dataset_folder", "progress", "splits"}


def test_train_prints_a_row_for_each_epoch_and_a_table(command):
    result = command("train data --out 'a run' $TINY")
    assert result.code == 0, result.err
    lines = result.err.splitlines()
    header = next(index for index, line in enumerate(lines) if line.startswith("epoch "))
    assert lines[header].split() == [
        "epoch",
        "loss",
        "given",
        "true",
        "α",
        "changed",
        "wrong",
        "valid",
        "images/s",
    ]
    assert [line.split()[0] for line in lines[header + 1 : header + 3]] == ["1/2", "2/2"]
    assert {len(line) for line in lines[header : header + 3]} == {78}
    assert "  selfcure evaluate 'a run' data" in lines
    assert result.out.startswith("a run\n")
    for label in (
        "validation accuracy",
        "wrong labels repaired",
        "right labels broken",
        "AUROC by importance",
    ):
        assert re.search(rf"{label} +[\d.]+", result.out)
    assert "\x1b" not in result.out + result.err


def test_train_leaves_out_what_is_not_known(command):
    result = command("train 'no validation' --out new --method plain $TINY")
    assert result.code == 0, result.err
    header = next(line for line in result.err.splitlines() if line.startswith("epoch "))
    assert header.split() == ["epoch", "loss", "given", "changed", "images/s"]
    assert "–" not in result.err + result.out


def test_resume_of_a_finished_run_prints_its_table_again(command):
    result = command("train data --out run --resume")
    assert result.code == 0, result.err
    assert "validation accuracy" in result.out


def test_evaluate_tables(command):
    result = command("evaluate run data")
    assert result.code == 0, result.err
    assert result.err == ""
    assert result.out.startswith("validation, 42 images ")
    assert re.search(r"^accuracy +[\d.]+ %$", result.out, re.MULTILINE)
    counts = re.findall(r"^stripe \d +(\d+) +(\d+) +(\d+) +[\d.]+ %$", result.out, re.MULTILINE)
    assert [sum(map(int, row)) for row in counts] == [14, 14, 14]
    result = command("evaluate run data --split train")
    assert result.out.startswith("train, 120 images ")
    assert re.search(r"^accuracy +[\d.]+ % +[\d.]+ %$", result.out, re.MULTILINE)
    assert "true ↓" in result.out


def test_labels_export(command, place):
    result = command("labels export run --out sub/labels.csv")
    assert (result.code, result.out) == (0, "")
    assert re.match(r"sub/labels.csv: 120 samples; \d+ labels changed", result.err)
    with open(place / "sub/labels.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 120


def test_odd_names_are_printed_as_they_are(command, place):
    """Spaces, other scripts, what Rich would take for markup or emoji, and escape codes."""
    names = ["[red]angry", "радость", "悲しみ :smile:", "two words", "\x1b[31mescape"]
    for name in names:
        (place / "Ö [bold] 1" / name).mkdir(parents=True)
        for index in range(4):
            pixels = np.full((16, 16), 40 * index, np.uint8)
            Image.fromarray(pixels).save(place / "Ö [bold] 1" / name / f"{index}.png")
    printed = [*names[:-1], r"\x1b[31mescape"]
    out = shlex.quote("[link]データ/new set")
    result = command(f"data import folder 'Ö [bold] 1' --out {out}")
    assert result.code == 0, result.err
    assert result.out.startswith("[link]データ/new set  (folder)\n")
    result = command(f"train {out} --out '[b]run [/b]' $TINY")
    assert result.code == 0, result.err
    assert "  selfcure evaluate '[b]run [/b]' " + out in result.err
    result = command(f"evaluate '[b]run [/b]' {out} --split train")
    assert result.code == 0, result.err
    for name in printed:
        assert name in result.out
    assert "\x1b" not in result.out
    result = command(f"evaluate '[b]run [/b]' {out} --split train --json")
    assert set(strict(result.out)["class_names"]) == set(names)


def test_import_options_reach_the_reader(command, place):
    (place / "table.csv").write_text(
        "who,file,what,truth,part\n"
        "x,stripes/train/stripe 0/0.png,0,1,train\n"
        "y,stripes/train/stripe 1/0.png,1,1,test\n"
    )
    columns = (
        "--id-column who --path-column file --label-column what --true-label-column truth --split-column part"
    )
    result = command(f"data import table table.csv --out new {columns} --class-names 'no, yes'")
    assert result.code == 0, result.err
    rows = pq.read_table(next((place / "new").glob("train-*.parquet"))).to_pylist()
    assert [(row["id"], row["label"], row["true_label"]) for row in rows] == [("x", 0, 1)]
    assert strict(command("data info new --json").out)["class_names"] == ["no", "yes"]


def test_demo_prints_one_table(command, place, monkeypatch):
    small = {
        "num": 60,
        "num_validation": 16,
        "wrong": 0.25,
        "ambiguous": 0.1,
        "low_quality": 0.1,
        "size_px": 16,
    }
    schedule = {"backbone": "compact", "image_size_px": 16, "num_epochs": 2, "batch_size": 30}
    from selfcure.demo import run_demo

    monkeypatch.setattr(
        "selfcure.demo.run_demo", lambda out, **k: run_demo(out, data=small, schedule=schedule, **k)
    )
    result = command("demo --out 'my demo'")
    assert result.code == 0, result.err
    assert result.out.startswith("60 synthetic faces, 25.0 % wrong labels planted\n")
    assert re.search(r"^ +plain +scn +cure$", result.out, re.MULTILINE)
    assert re.search(r"^validation accuracy( +[\d.]+ %){3}$", result.out, re.MULTILINE)
    assert "plain · " in result.err
    assert "scn · " in result.err
    assert "cure · " in result.err
    for line in result.err.split("pictures:\n")[1].splitlines():
        assert (place / line.strip()).is_file()
    assert strict(command("demo --out 'my demo' --json").out)["methods"].keys() == {
        "plain",
        "scn",
        "cure",
    }
