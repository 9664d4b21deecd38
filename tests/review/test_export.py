"""Decide, export, read back: as a dataset to train on, as tables, and in other tools' formats."""

import csv
import json
import xml.etree.ElementTree as ET

import pyarrow.parquet as pq
import pytest

import selfcure
from selfcure.errors import SelfcureError
from selfcure.review.difference import diff_labels
from selfcure.review.export import export_reviewed
from selfcure.review.verdict import Verdict
from stripes import TINY


@pytest.fixture
def reviewed(desk):
    """A desk with a decision of each kind; row 6 is disputed, 7 was undone, 130 is of the validation split."""
    decisions = [
        ("ann", [0], "choose", {2 if desk.samples.given[0] != 2 else 1: 1}),
        ("ann", [1], "keep", None),
        ("ann", [2], "ambiguous", {0: 1, 1: 3}),
        ("bob", [3, 130], "reject", None),
        ("ann", [5], "skip", None),
        ("ann", [6], "choose", {0: 1}),
        ("bob", [6], "choose", {1: 1}),
        ("bob", [7], "reject", None),
    ]
    for number, (who, rows, kind, weights) in enumerate(decisions):
        desk.decide(action=f"action-{number}", reviewer=who, rows=rows, kind=kind, weights=weights)
    desk.undo(action="undo-undo", reviewer="bob")
    return desk


def test_the_dataset_holds_what_was_decided_and_all_else_unchanged(reviewed, tmp_path):
    counts = export_reviewed(reviewed.run, tmp_path / "new")
    assert counts == {
        "out": str(tmp_path / "new"),
        "decided": 5,
        "relabelled": 1 + (reviewed.samples.given[2] != 1),
        "soft": 1,
        "rejected": 2,
        "disputed": 1,
        "unknown": 0,
        "splits": {"train": 119, "validation": 39},
    }
    parent, new = reviewed.dataset.split("train"), selfcure.Dataset(tmp_path / "new").split("train")
    kept = [row for row in range(120) if row != 3]
    assert new.ids.tolist() == [parent.ids[row] for row in kept]
    assert new.images().read(range(119)) == parent.images().read(kept)
    assert new.true_labels.tolist() == parent.true_labels[kept].tolist()
    assert new.column("label_before_review").to_pylist() == parent.labels[kept].tolist()
    expected = parent.labels.copy()
    expected[0], expected[2] = reviewed.book.verdict(0).label, 1
    assert new.labels.tolist() == expected[kept].tolist()
    assert new.column("soft_label").to_pylist() == [[0.25, 0.75, 0.0] if row == 2 else None for row in kept]
    kinds = {0: "choose", 1: "keep", 2: "ambiguous"}
    assert new.column("review").to_pylist() == [kinds.get(row) for row in kept]


def test_the_dataset_says_where_it_came_from(reviewed, tmp_path):
    export_reviewed(reviewed.run, tmp_path / "new")
    manifest = selfcure.Dataset(tmp_path / "new").manifest
    assert manifest["parent"]["fingerprint"]["train"] == reviewed.dataset.split("train").fingerprint()
    assert manifest["review"]["reviewers"] == ["ann", "bob"]
    with open(tmp_path / "new" / "skipped.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [
        ["train/train-0003", "rejected in review by bob"],
        ["validation/validation-0010", "rejected in review by bob"],
    ]
    with open(tmp_path / "new" / "decisions.csv", newline="") as file:
        decisions = list(csv.DictReader(file))
    assert [d["kind"] for d in decisions] == [e.kind for e in reviewed.store.after(0)]
    assert decisions[-1]["undoes"] == decisions[-2]["seq"]


def test_datasets_opens_it(reviewed, tmp_path):
    datasets = pytest.importorskip("datasets")
    export_reviewed(reviewed.run, tmp_path / "new")
    rows = datasets.load_dataset(str(tmp_path / "new"), cache_dir=str(tmp_path / "cache"))["train"]
    assert rows.features["label"].names == ["stripe 0", "stripe 1", "stripe 2"]
    assert rows[2]["soft_label"] == [0.25, 0.75, 0.0]
    assert rows[0]["image"].size == (16, 16)


def test_it_can_be_trained_on_reviewed_and_exported_again(reviewed, tmp_path):
    from selfcure.review.desk import Desk

    export_reviewed(reviewed.run, tmp_path / "new")
    settings = {**TINY, "num_epochs": 1, "num_threads": 1}
    run = selfcure.train(tmp_path / "new", out=tmp_path / "second", method="plain", **settings)
    desk = Desk(run)
    assert desk.book.counts()["open"] == 158, "another run, another review"
    assert desk.samples.given_verdict(2) == Verdict(((0, 0.25), (1, 0.75)))
    desk.decide(action="action-1", reviewer="ann", rows=[0], kind="choose", weights={0: 1})
    for rows in ([3], [2]):
        export_reviewed(run, tmp_path / f"newer-{rows[0]}")
        split = selfcure.Dataset(tmp_path / f"newer-{rows[0]}").split("train")
        assert split.labels[0] == 0
        # Of what is not decided now, and of what is kept, the earlier review stands.
        assert split.column("soft_label")[2].as_py() == [0.25, 0.75, 0.0]
        assert split.column("review").to_pylist()[1:3] == ["keep", "ambiguous" if rows == [3] else "keep"]
        desk.decide(action="action-2", reviewer="ann", rows=[2], kind="keep")
    desk.close()
    assert selfcure.Dataset(tmp_path / "newer-2").manifest["parent"]["review"]["reviewers"] == ["ann", "bob"]


def test_an_interrupted_export_is_finished_by_the_same_call(reviewed, tmp_path):
    class Stop(Exception):
        pass

    def stop(done, total):
        raise Stop

    with pytest.raises(Stop):
        export_reviewed(reviewed.run, tmp_path / "new", progress=stop)
    assert not (tmp_path / "new").exists()
    export_reviewed(reviewed.run, tmp_path / "new")
    assert len(selfcure.Dataset(tmp_path / "new").split("train")) == 119


def test_tables(reviewed, tmp_path):
    export_reviewed(reviewed.run, tmp_path / "t.parquet", format="parquet")
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert len(rows) == 160
    assert rows[0]["label"] == f"stripe {reviewed.book.verdict(0).label}" != rows[0]["given"]
    assert (rows[2]["label"], rows[2]["soft_label"]) == ("stripe 1", [0.25, 0.75, 0.0])
    assert (rows[3]["label"], rows[3]["rejected"], rows[3]["reviewer"]) == (None, True, "bob")
    assert (rows[6]["label"], rows[6]["decided"]) == (rows[6]["given"], None)
    export_reviewed(reviewed.run, tmp_path / "t.csv", format="csv")
    with open(tmp_path / "t.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert table[2]["soft_label"] == "0.25 0.75 0"
    assert [r["label"] for r in table] == [r["label"] or "" for r in rows]


def test_cleanlab_takes_it(reviewed, tmp_path):
    cleanlab = pytest.importorskip("cleanlab.classification")
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    export_reviewed(reviewed.run, tmp_path / "c.csv", format="cleanlab")
    issues = pd.read_csv(tmp_path / "c.csv")
    split = reviewed.dataset.split("train")
    assert issues.given_label.tolist() == split.labels.tolist()
    assert issues.is_label_issue[[0, 1, 3]].tolist() == [True, False, True]
    features = np.random.default_rng(0).normal(size=(120, 3))
    learner = cleanlab.CleanLearning(LogisticRegression())
    learner.fit(features, split.labels, label_issues=issues)
    assert learner.get_label_issues().is_label_issue.tolist() == issues.is_label_issue.tolist()


def test_fiftyone(reviewed, tmp_path):
    export_reviewed(reviewed.run, tmp_path / "f", format="fiftyone")
    document = json.loads((tmp_path / "f" / "labels.json").read_text())
    files = {file.stem: file for file in (tmp_path / "f" / "data").iterdir()}
    assert files.keys() == document["labels"].keys()
    assert len(files) == 158
    assert document["classes"] == ["stripe 0", "stripe 1", "stripe 2"]
    target = document["labels"]["train-0000002"]
    assert target["label"] == "stripe 1"
    assert target["attributes"]["soft_label"] == {"stripe 0": 0.25, "stripe 1": 0.75}
    assert files["train-0000002"].read_bytes() == reviewed.dataset.split("train").images().read([2])[0]


def test_labelstudio(reviewed, tmp_path):
    export_reviewed(reviewed.run, tmp_path / "l", format="labelstudio")
    tasks = json.loads((tmp_path / "l" / "tasks.json").read_text())
    assert len(tasks) == 158
    config = ET.fromstring((tmp_path / "l" / "config.xml").read_text())
    choices = [choice.get("value") for choice in config.iter("Choice")]
    assert choices == ["stripe 0", "stripe 1", "stripe 2"]
    control, shown = config.find("Choices").attrib, config.find("Image").attrib
    for task in tasks:
        for result in [
            r for part in ("annotations", "predictions") for a in task.get(part, []) for r in a["result"]
        ]:
            assert (result["from_name"], result["to_name"]) == (control["name"], control["toName"])
            assert set(result["value"]["choices"]) <= set(choices)
        assert (tmp_path / task["data"][shown["value"][1:]].split("?d=")[1]).is_file()
    by_id = {task["data"]["id"]: task for task in tasks}
    assert by_id["train-0002"]["annotations"][0]["result"][0]["value"]["choices"] == ["stripe 0", "stripe 1"]
    assert "annotations" not in by_id["train-0006"]


def test_without_decisions_there_is_nothing_to_export(run, desk, tmp_path):
    with pytest.raises(SelfcureError, match="no decided label yet"):
        export_reviewed(run, tmp_path / "new")
    with pytest.raises(SelfcureError, match="unknown format 'jsn'"):
        export_reviewed(run, tmp_path / "new", format="jsn")
    assert not list(tmp_path.glob("new*"))


def test_what_is_there_is_not_overwritten(reviewed, tmp_path):
    (tmp_path / "t.csv").write_text("mine")
    with pytest.raises(SelfcureError, match="already exists"):
        export_reviewed(reviewed.run, tmp_path / "t.csv", format="csv")
    assert (tmp_path / "t.csv").read_text() == "mine"


def test_difference_of_two_versions(reviewed, tmp_path, stripes_folder):
    export_reviewed(reviewed.run, tmp_path / "new")
    found = diff_labels(stripes_folder, tmp_path / "new")
    changed = {id_ for (_, id_), _, _ in found.changed}
    assert changed == {
        f"train-{row:04d}"
        for row in (0, 2)
        if reviewed.samples.given[row] != reviewed.book.verdict(row).label
    }
    assert found.only_a == [("train", "train-0003"), ("validation", "validation-0010")]
    assert found.only_b == []
    assert found.num_same == 158 - len(changed)
    back = diff_labels(tmp_path / "new", stripes_folder)
    assert sorted((k, b, a) for k, a, b in back.changed) == sorted(found.changed)
    assert back.only_b == found.only_a


def test_difference_reads_tables_and_runs_too(reviewed, tmp_path, stripes_folder):
    export_reviewed(reviewed.run, tmp_path / "new")
    for format in ("csv", "parquet"):
        export_reviewed(reviewed.run, tmp_path / f"t.{format}", format=format)
        same = diff_labels(tmp_path / "new", tmp_path / f"t.{format}")
        assert (same.changed, same.only_a, same.only_b) == ([], [], [])
    table = selfcure.export_labels(reviewed.run, tmp_path / "labels.csv")
    assert diff_labels(reviewed.run.path, tmp_path / "labels.csv").summary()["num_changed"] == 0
    in_training = diff_labels(stripes_folder, reviewed.run.path)
    moved = sum(
        a != b for a, b in zip(table["original"].to_pylist(), table["current"].to_pylist(), strict=True)
    )
    assert len(in_training.changed) == moved > 0
    in_training.write(tmp_path / "d.csv")
    assert len((tmp_path / "d.csv").read_text().splitlines()) == 1 + moved + 40


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "needs the columns id and label"),
        ("id,label\nx,y\n", "no sample in common"),
        ("", "cannot be read"),
    ],
)
def test_difference_of_things_that_are_no_labels(tmp_path, stripes_folder, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SelfcureError, match=message):
        diff_labels(stripes_folder, tmp_path / "t.csv")
