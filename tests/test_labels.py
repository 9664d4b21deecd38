"""The label table against a loop over the run folder's files, one sample at a time."""

import csv
import shutil
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import selfcure
from selfcure import labels as labels_module
from selfcure.core import LabelBook
from selfcure.errors import SelfcureError
from selfcure.labels import expected_errors, export_labels, label_table
from selfcure.runs import RunFolder
from selfcure.training.checkpoint import load_tensors
from selfcure.training.interrupt import Interrupted
from selfcure.training.reporter import Reporter
from stripes import TINY

SETTINGS = {**TINY, "num_epochs": 3, "num_threads": 1}


@pytest.fixture(scope="module")
def run(stripes_folder, tmp_path_factory) -> RunFolder:
    out = tmp_path_factory.mktemp("labels") / "run"
    # From the start and by a small margin, so that some labels change more than once.
    return selfcure.train(stripes_folder, out=out, relabel_epoch=1, relabel_margin=0.02, **SETTINGS)


@pytest.fixture(scope="module")
def plain(stripes_folder, tmp_path_factory) -> RunFolder:
    out = tmp_path_factory.mktemp("labels") / "plain"
    return selfcure.train(stripes_folder, out=out, method="plain", **SETTINGS)


def naive_rows(run: RunFolder, num_epochs: int) -> list[dict]:
    """What the docstring of label_table says, for one sample after the other."""
    samples = run.samples().to_pylist()
    evidence = [run.evidence(epoch).to_pylist() for epoch in range(1, num_epochs + 1)]
    changes = run.changes().to_pylist()
    rows = []
    for row, sample in enumerate(samples):
        current = sample["original"]
        for change in changes:
            if change["row"] == row:
                assert (change["id"], change["from"]) == (sample["id"], current)
                current = change["to"]
        votes = [0.0] * len(run.class_names)
        for epoch in evidence:
            votes[epoch[row]["prediction"]] += epoch[row]["confidence"] / num_epochs
        suggested = max(range(len(votes)), key=lambda k: votes[k])
        rows.append(
            {
                "id": sample["id"],
                "original": run.class_names[sample["original"]],
                "current": run.class_names[current],
                "importance": evidence[-1][row].get("importance"),
                "confidence": votes[suggested],
                "suspicion": 1 - sum(epoch[row]["original_prob"] for epoch in evidence) / num_epochs,
                "suggested": run.class_names[suggested],
                "wrong_prob": evidence[-1][row].get("wrong_prob"),
                "wrong_prob_after": evidence[-1][row].get("wrong_prob_after"),
            }
        )
    return rows


def assert_rows(table: pa.Table, expected: list[dict]) -> None:
    rows = table.to_pylist()
    assert len(rows) == len(expected)
    for found, wanted in zip(rows, expected, strict=True):
        assert found == pytest.approx(wanted, abs=1e-5)


def test_table_matches_the_loop(run):
    changes = run.changes()
    assert len(changes) > len(set(changes["row"].to_pylist())), (
        "no label changed twice: it would prove too little"
    )
    assert_rows(label_table(run), naive_rows(run, 3))


def test_table_follows_the_dataset_folder_and_the_book(run, stripes_folder):
    split = selfcure.Dataset(stripes_folder).split("train")
    table, book = label_table(run.path), load_tensors(run.checkpoint)[0]["book"]
    assert table["id"].to_pylist() == split.ids.tolist()
    codes = {name: table[name].combine_chunks().indices.to_numpy() for name in ("original", "current")}
    assert (codes["original"] == split.labels).all()
    assert (codes["current"] == book["current"].numpy()).all()
    np.testing.assert_array_equal(table["importance"].to_numpy(), book["importance"].numpy())


def test_a_cured_run_tells_how_many_labels_are_wrong(stripes_folder, tmp_path):
    run = selfcure.train(stripes_folder, out=tmp_path / "run", method="cure", **{**SETTINGS, "num_epochs": 4})
    table = label_table(run)
    assert_rows(table, naive_rows(run, 4))
    before, after = (table[name].to_numpy() for name in ("wrong_prob", "wrong_prob_after"))
    changed = (
        table["current"].combine_chunks().indices.to_numpy()
        != table["original"].combine_chunks().indices.to_numpy()
    )
    np.testing.assert_array_equal(before[~changed], after[~changed])
    assert (after[changed] < before[changed]).all()
    expected = expected_errors(table, num_worst=5)
    assert expected.before == pytest.approx(before.sum(), rel=1e-5)
    assert expected.after == pytest.approx(after.sum(), rel=1e-5)
    assert expected.num_worst == 5
    assert expected.among_worst == pytest.approx(sum(sorted(after.tolist())[-5:]), rel=1e-5)
    noise = run.metrics()[-1]["label_noise"]
    assert noise["estimated_after"] == pytest.approx(expected.after / len(table), rel=1e-5)


def test_other_methods_expect_nothing(run):
    assert expected_errors(label_table(run)) is None


def test_codes_are_the_class_numbers(run):
    table = label_table(run)
    for name in ("original", "current", "suggested"):
        column = table[name].combine_chunks()
        assert column.dictionary.to_pylist() == list(run.class_names)
        assert column.indices.type == pa.int32()


def test_values_lie_in_their_ranges_and_suspicion_finds_wrong_labels(run, stripes_folder):
    table = label_table(run)
    for name in ("importance", "confidence", "suspicion"):
        values = table[name].to_numpy()
        assert ((values >= 0) & (values <= 1)).all(), name
    split = selfcure.Dataset(stripes_folder).split("train")
    wrong = split.labels != split.true_labels
    suspicion = table["suspicion"].to_numpy()
    assert suspicion[wrong].mean() > suspicion[~wrong].mean() + 0.1, "higher is more likely wrong"


@pytest.mark.parametrize("cells", [1, 30, 3 * 120 - 1])
def test_votes_in_chunks_are_the_same(run, monkeypatch, cells):
    whole = label_table(run)
    monkeypatch.setattr(labels_module, "_CELLS", cells)
    assert label_table(run).equals(whole)


def made_run(path, predictions, sure, of_original, *, num_classes) -> RunFolder:
    """A run folder with the evidence [E, N] given; all original labels are 0."""
    num_samples = predictions.shape[1]
    document = {"class_names": [f"class {k}" for k in range(num_classes)], "config": {}, "dataset": {}}
    ids = np.array([f"sample {row}" for row in range(num_samples)])
    run = RunFolder.create(path, document, ids, np.zeros(num_samples, np.int64))
    none = LabelBook(torch.zeros(num_samples, dtype=torch.int64))
    for epoch, columns in enumerate(zip(predictions, sure, of_original, strict=True), start=1):
        evidence = dict(zip(("prediction", "confidence", "original_prob"), columns, strict=True))
        run.write_epoch({"epoch": epoch}, evidence, none.close_epoch(epoch), ids)
    return run


def test_epochs_that_did_not_draw_a_sample_say_nothing_of_it(tmp_path):
    nan = np.nan
    run = made_run(
        tmp_path / "run",
        np.array([[2, -1, 1], [2, -1, -1], [1, -1, -1]], np.int32),
        np.array([[0.4, nan, 0.9], [0.4, nan, nan], [0.7, nan, nan]], np.float32),
        np.array([[0.3, nan, 0.1], [0.3, nan, nan], [0.0, nan, nan]], np.float32),
        num_classes=3,
    )
    rows = label_table(run).select(["suggested", "confidence", "suspicion"]).to_pylist()
    assert rows == [
        pytest.approx({"suggested": "class 2", "confidence": 0.8 / 3, "suspicion": 0.8}),
        {"suggested": "class 0", "confidence": 0.0, "suspicion": None},
        pytest.approx({"suggested": "class 1", "confidence": 0.9, "suspicion": 0.9}),
    ]


@given(
    st.integers(1, 6).flatmap(
        lambda num_epochs: st.lists(
            st.lists(
                st.tuples(st.integers(-1, 4), st.integers(0, 4)), min_size=num_epochs, max_size=num_epochs
            ),
            min_size=1,
            max_size=8,
        )
    )
)
def test_votes_match_a_dictionary(rows):
    choices = np.array([[choice for choice, _ in row] for row in rows], np.int32)
    weights = np.array([[weight * (choice >= 0) for choice, weight in row] for row in rows], np.float32)
    chosen, votes = labels_module._most_votes(choices, weights)
    for row, own, choice, vote in zip(choices, weights, chosen, votes, strict=True):
        sums = {k: own[row == k].sum() for k in sorted(set(row.tolist())) if k >= 0} or {-1: 0.0}
        assert (choice, vote) == (max(sums, key=sums.__getitem__), max(sums.values()))


def test_ten_thousand_classes_cost_no_memory(tmp_path):
    num_samples, num_classes, rng = 20_000, 10_000, np.random.default_rng(0)
    shape = (3, num_samples)
    predictions = rng.integers(0, num_classes, shape, dtype=np.int32)
    sure, of_original = rng.random((2, *shape), dtype=np.float32)
    run = made_run(tmp_path / "run", predictions, sure, of_original, num_classes=num_classes)
    tracemalloc.start()
    try:
        table = label_table(run)
        assert tracemalloc.get_traced_memory()[1] < 20e6, "800 MB would be a vote for every class"
    finally:
        tracemalloc.stop()
    suggested = table["suggested"].combine_chunks().indices.to_numpy()
    assert (suggested == predictions[sure.argmax(axis=0), np.arange(num_samples)]).mean() > 0.99


def test_a_method_without_importance_has_nulls(plain):
    table = label_table(plain)
    assert table["importance"].null_count == len(table) == 120
    assert_rows(table, naive_rows(plain, 3))
    assert table["current"].equals(table["original"])


def test_an_unfinished_run_has_a_table_of_its_finished_epochs(stripes_folder, tmp_path):
    class StopInEpochThree(Reporter):
        def step(self, epoch, samples_done, means):
            if epoch == 3:
                raise Interrupted("enough")

    with pytest.raises(Interrupted):
        selfcure.train(stripes_folder, out=tmp_path / "run", reporter=StopInEpochThree(), **SETTINGS)
    run = RunFolder(tmp_path / "run")
    assert not run.finished
    assert_rows(label_table(run), naive_rows(run, 2))


def test_a_run_without_an_epoch_has_none(tmp_path):
    document = {"class_names": ["a", "b"], "config": {}, "dataset": {}}
    RunFolder.create(tmp_path / "run", document, np.array(["x"]), np.array([0]))
    with pytest.raises(SelfcureError, match="no finished epoch yet; go on with 'selfcure train … --resume'"):
        label_table(tmp_path / "run")


def test_exported_parquet_is_the_table(run, tmp_path):
    table = export_labels(run, tmp_path / "new" / "labels.parquet")
    assert pq.read_table(tmp_path / "new" / "labels.parquet").to_pylist() == table.to_pylist()


def test_exported_csv_has_names_and_numbers(run, plain, tmp_path):
    for source, name in ((run, "scn"), (plain, "plain")):
        file = tmp_path / f"{name}.csv"
        expected = export_labels(source, file).to_pylist()
        with open(file, newline="", encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
        assert [(r["id"], r["original"], r["current"], r["suggested"]) for r in rows] == [
            (r["id"], r["original"], r["current"], r["suggested"]) for r in expected
        ]
        assert [float(r["suspicion"]) for r in rows] == pytest.approx([r["suspicion"] for r in expected])
        assert (rows[0]["importance"] == "") == (name == "plain")


@pytest.mark.parametrize("name", ["labels.txt", "labels", "labels.csv.gz", "labels.json"])
def test_another_file_type_is_refused_before_any_work(tmp_path, name):
    with pytest.raises(SelfcureError, match=rf"--out must end in .parquet or .csv, not '{name}'"):
        export_labels(tmp_path / "no run at all", tmp_path / name)


def test_a_missing_epoch_is_one_clear_error(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "copy")
    (tmp_path / "copy" / "evidence" / "epoch-0002.parquet").unlink()
    with pytest.raises(SelfcureError, match=r"epoch-0002.parquet is missing or damaged"):
        label_table(tmp_path / "copy")
