"""The run folder's contract: made once, appended to epoch by epoch, cut back to a checkpoint, read with clear errors."""

import json

import numpy as np
import pytest
import torch

from selfcure import runs
from selfcure.core import LabelChanges
from selfcure.errors import SelfcureError
from selfcure.runs import RunFolder, write_text

DOCUMENT = {"class_names": ["glücklich", "sad"], "config": {"num_epochs": 3}, "dataset": {}}
IDS = np.array(["a", "b", "c"])


def make(path) -> RunFolder:
    return RunFolder.create(path, DOCUMENT, IDS, np.array([0, 1, 1]))


def changes(epoch: int, *rows: tuple[int, int, int, float]) -> LabelChanges:
    ids, old, new, margins = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = [torch.tensor(column, dtype=torch.int64) for column in (ids, old, new)]
    return LabelChanges(epoch, *columns, torch.tensor(margins), len(margins))


def write_epochs(run: RunFolder, num: int = 3) -> None:
    written = {1: changes(1), 2: changes(2, (0, 0, 1, 0.5), (2, 1, 0, 0.25)), 3: changes(3, (0, 1, 0, 0.75))}
    for epoch in range(1, num + 1):
        evidence = {"prediction": np.full(3, epoch, np.int32), "confidence": np.full(3, 0.5, np.float32)}
        run.write_epoch({"epoch": epoch, "loss": epoch / 10}, evidence, written[epoch], IDS)


def test_a_new_run_folder_holds_what_it_was_made_with(tmp_path):
    made = make(tmp_path / "deep" / "run")
    for run in (made, RunFolder(made.path), RunFolder(str(made.path))):
        assert run.document == DOCUMENT
        assert run.class_names == ("glücklich", "sad")
        assert run.samples().to_pydict() == {"id": ["a", "b", "c"], "original": [0, 1, 1]}
        assert run.metrics() == []
        assert not run.finished
        assert run.changes().num_rows == 0
        assert run.changes().column_names == ["epoch", "id", "row", "from", "to", "margin"]


def test_epochs_are_read_back_in_order(tmp_path):
    run = make(tmp_path / "run")
    write_epochs(run)
    assert run.metrics() == [{"epoch": e, "loss": e / 10} for e in (1, 2, 3)]
    assert run.evidence(2)["prediction"].to_pylist() == [2, 2, 2]
    assert run.evidence(2, ["confidence"]).column_names == ["confidence"]
    assert run.changes().to_pylist() == [
        {"epoch": 2, "id": "a", "row": 0, "from": 0, "to": 1, "margin": 0.5},
        {"epoch": 2, "id": "c", "row": 2, "from": 1, "to": 0, "margin": 0.25},
        {"epoch": 3, "id": "a", "row": 0, "from": 1, "to": 0, "margin": 0.75},
    ]


@pytest.mark.parametrize("group", [1, 4, 100])
def test_rows_of_an_epoch_are_read_alone(tmp_path, monkeypatch, group):
    monkeypatch.setattr(runs, "_ROW_GROUP", group)
    ids = np.array([str(k) for k in range(10)])
    run = RunFolder.create(tmp_path / "run", DOCUMENT, ids, np.zeros(10, np.int64))
    evidence = {"prediction": np.arange(10, dtype=np.int32), "confidence": np.ones(10, np.float32)}
    run.write_epoch({"epoch": 1}, evidence, changes(1), ids)
    for start in range(10):
        for stop in range(start + 1, 11):
            table = run.evidence(1, ["prediction"], rows=slice(start, stop))
            assert table.to_pydict() == {"prediction": list(range(start, stop))}


def test_columns_of_the_changes(tmp_path):
    run = make(tmp_path / "run")
    assert run.changes(["to", "row"]).to_pydict() == {"to": [], "row": []}
    write_epochs(run)
    assert run.changes(["to", "row"]).to_pydict() == {"to": [1, 0, 0], "row": [0, 2, 0]}


@pytest.mark.parametrize("epoch", [0, 1, 2, 3])
def test_forgetting_leaves_the_epochs_up_to_the_checkpoint(tmp_path, epoch):
    run = make(tmp_path / "run")
    write_epochs(run)
    run.forget_after(epoch)
    assert [record["epoch"] for record in run.metrics()] == list(range(1, epoch + 1))
    assert set(run.changes()["epoch"].to_pylist()) == {e for e in (2, 3) if e <= epoch}
    assert len(list((run.path / "evidence").iterdir())) == epoch
    for forgotten in range(epoch + 1, 4):
        with pytest.raises(SelfcureError, match=rf"epoch-000{forgotten}.parquet is missing or damaged"):
            run.evidence(forgotten)


def test_forgetting_takes_torn_writes_away(tmp_path):
    run = make(tmp_path / "run")
    write_epochs(run, 2)
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 3, "lo')
    (run.path / "evidence" / "epoch-0003.parquet.tmp").write_bytes(b"half")
    run.forget_after(2)
    write = {"epoch": 3, "loss": 0.3}
    run.write_epoch(write, {"prediction": np.zeros(3, np.int32)}, changes(3), IDS)
    assert run.metrics()[-1] == write
    assert not list(run.path.rglob("*.tmp"))


def test_a_torn_last_line_does_not_hide_the_finished_epochs(tmp_path):
    run = make(tmp_path / "run")
    write_epochs(run, 2)
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 3, "lo')
    assert [record["epoch"] for record in run.metrics()] == [1, 2]


def test_forgetting_in_a_new_folder_is_nothing(tmp_path):
    run = make(tmp_path / "run")
    run.forget_after(0)
    assert run.metrics() == []


def test_only_an_empty_place_is_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    assert make(tmp_path / "empty").metrics() == []
    with pytest.raises(SelfcureError, match="already exists; go on with --resume"):
        make(tmp_path / "empty")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(SelfcureError, match="already exists"):
        make(tmp_path / "other")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SelfcureError, match="already exists"):
        make(tmp_path / "file")
    assert (tmp_path / "other" / "notes.txt").read_text() == (tmp_path / "file").read_text() == "mine"


def test_a_kill_while_a_folder_is_made_is_no_dead_end(tmp_path, monkeypatch):
    def killed(path, text):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "run")
    monkeypatch.undo()
    with pytest.raises(SelfcureError, match=r"is not a run folder \(no config.json\)"):
        RunFolder(tmp_path / "run")
    assert make(tmp_path / "run").document == DOCUMENT


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_what_is_no_run_folder(tmp_path, kind):
    path = tmp_path / "run"
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.write_text("x")
    what = "does not exist" if kind == "missing" else "is not a run folder"
    with pytest.raises(SelfcureError, match=what):
        RunFolder(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{}", '{"class_names": 3}', "\udcff"])
def test_a_damaged_config_is_one_clear_error(tmp_path, text):
    run = make(tmp_path / "run")
    (run.path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SelfcureError, match=r"config.json is damaged .*; train again"):
        RunFolder(run.path)


def test_a_damaged_table_is_one_clear_error(tmp_path):
    run = make(tmp_path / "run")
    write_epochs(run)
    (run.path / "samples.parquet").write_bytes(b"not parquet")
    (run.path / "changes" / "epoch-0002.parquet").write_bytes(b"")
    with pytest.raises(SelfcureError, match=r"samples.parquet is missing or damaged"):
        run.samples()
    with pytest.raises(SelfcureError, match=r"epoch-0002.parquet is missing or damaged"):
        run.changes()


def test_nothing_in_a_run_folder_is_code(tmp_path):
    run = make(tmp_path / "run")
    write_epochs(run)
    suffixes = {file.suffix for file in run.path.rglob("*") if file.is_file()}
    assert suffixes == {".json", ".jsonl", ".parquet"}
    assert json.loads((run.path / "config.json").read_text(encoding="utf-8")) == DOCUMENT


def test_a_text_is_replaced_whole(tmp_path, monkeypatch):
    file = tmp_path / "a.json"
    write_text(file, "old")
    monkeypatch.setattr("selfcure.runs.os.replace", lambda *a: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        write_text(file, "new")
    assert file.read_text() == "old"
