"""The page shows what the review desk would: the same images in the same order, with the same numbers."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcure.data.folder import Dataset
from selfcure.report import galleries as made
from selfcure.report.trainings import read_training
from selfcure.review.desk import Desk
from selfcure.review.outputs import prepare
from selfcure.review.queue import Query
from selfcure.review.views import dashboard
from selfcure.runs import RunFolder


def of(run: Path, data: Path | None = None):
    folder = RunFolder(run)
    place = data or Path(folder.document["dataset"]["path"])
    found, note = made.galleries(read_training("run", folder, [place]))
    assert note == ""
    return found


def queue(desk: Desk, **asked) -> list[str]:
    rows = desk.rows(desk.query(Query(state="open", split="train", **asked))[0])
    return [desk.samples.id(row) for row in rows.tolist()]


def ids(doubts) -> list[str]:
    return [doubt.id for doubt in doubts]


def test_it_is_what_the_desk_shows(runs):
    found = of(runs / "noisy")
    desk = Desk(RunFolder(runs / "noisy"))
    samples, truth = desk.samples, desk.dataset.split("train").true_labels
    assert ids(found.suspicious) == queue(desk)[:24]
    assert ids(found.ambiguous) == queue(desk, sort="ambiguity")[:12]
    assert [row.name for row in found.classes] == [
        name for k, name in enumerate(samples.class_names) if queue(desk, given=k, differs=True)
    ]
    for row in found.classes:
        given = samples.class_names.index(row.name)
        assert ids(row.doubts) == queue(desk, given=given, differs=True)[:8]
        assert row.num_changes == len(queue(desk, given=given, differs=True))
        assert row.num_samples == len(queue(desk, given=given))
    row = int(np.argmax(samples.suspicion[:60]))
    top = found.suspicious[0]
    assert top.id == samples.id(row)
    assert top.given == samples.class_names[samples.given[row]]
    assert top.suggested in ("", samples.class_names[samples.suggested[row]])
    assert top.score == f"suspicion {samples.suspicion[row]:.2f}"
    assert top.importance == f"{samples.importance[row]:.3f}"
    assert top.wrong == bool(truth[row] != samples.given[row])
    desk.close()


def test_the_matrix_is_the_dashboards(runs):
    found = of(runs / "noisy").matrix
    desk = Desk(RunFolder(runs / "noisy"))
    expected = {(c["given"], c["suggested"]): c["num_samples"] for c in dashboard(desk)["matrix"]["cells"]}
    counts = {(i, j): n for i, row in enumerate(found.rows) for j, (n, _) in enumerate(row) if n}
    assert counts == expected
    assert found.num_changes == sum(expected.values()) > 0
    assert sum(found.sizes) == 60
    assert max(shade for row in found.rows for _, shade in row) == 10
    desk.close()


def test_what_is_decided_is_left_out_and_counted(runs, page):
    run = runs / "noisy"
    before = of(run)
    desk = Desk(RunFolder(run))
    truth = desk.dataset.split("train").true_labels
    order = np.argsort(-desk.samples.suspicion[:60], kind="stable")[:30].tolist()
    for row in order:
        weights = {int(truth[row]): 1}
        desk.decide(action=f"action-{row}", reviewer="ann", rows=[row], kind="choose", weights=weights)
    told = desk.expected_wrong()
    desk.close()
    after = of(run)
    assert not set(ids(after.suspicious)) & set(ids(before.suspicious))
    assert after.decided.startswith("Reviewers have decided 30 images")
    assert f"About {told['guess']:,.0f} labels" in after.expected
    assert "rough guess" in after.expected
    assert all(doubt.score.startswith("P(wrong) 0.") for doubt in after.suspicious)
    assert before.expected == before.decided == ""
    assert after.expected in page(run).text


def test_a_runs_own_probability_is_shown_and_summed(runs):
    run = runs / "noisy"
    wrong_prob = np.linspace(1, 0, 60).astype(np.float32)
    file = run / "evidence" / "epoch-0002.parquet"
    pq.write_table(pq.read_table(file).append_column("wrong_prob", pa.array(wrong_prob)), file)
    found = of(run)
    assert ids(found.suspicious) == [str(i) for i in RunFolder(run).samples()["id"].to_numpy()[:24]]
    assert found.suspicious[0].score == "P(wrong) 1.00"
    assert found.expected.startswith("About 30 labels (")
    assert found.expected.endswith("the sum of the run's own P(wrong).")


def test_duplicates_whose_labels_differ(tmp_path, runs, page):
    """The data once more with the first image twice, under another label."""
    from selfcure.training.api import train

    config = json.loads((runs / "plain" / "config.json").read_text())["config"]
    assert "Duplicates are not known" in of(runs / "plain").about_groups
    data = Path(shutil.copytree(runs / "data-clean", tmp_path / "twice"))
    shard = next(data.glob("train-00000-*"))
    table = pq.read_table(shard)
    images, labels = table["image"].to_pylist(), table["label"].to_pylist()
    twin = next(row for row in range(1, len(labels)) if labels[row] != labels[0])
    images[twin] = images[0]
    column = table.schema.get_field_index("image")
    table = table.set_column(
        column, table.schema.field(column), pa.array(images, table.schema.field(column).type)
    )
    pq.write_table(table, shard, compression="none", row_group_size=100)
    names = ("backbone", "image_size_px", "num_epochs", "batch_size", "num_threads")
    train(data, out=tmp_path / "run", method="plain", **{name: config[name] for name in names})
    prepare(RunFolder(tmp_path / "run"), Dataset(data), device="cpu")
    found = of(tmp_path / "run")
    id_ = table["id"].to_pylist()
    assert [ids(group) for group in found.groups] == [[id_[0], id_[twin]]]
    assert found.groups[0][0].given != found.groups[0][1].given
    assert "1 groups differ" in found.about_groups
    assert found.groups[0][0].uri == found.groups[0][1].uri
    assert page(tmp_path / "run").count("ul", **{"class": "groups"}) == 1


def test_very_many_classes_have_pairs_instead_of_a_matrix(runs, monkeypatch):
    monkeypatch.setattr(made, "_MOST_SQUARE", 2)
    monkeypatch.setattr(made, "_MOST_CLASSES", 1)
    found, whole = of(runs / "noisy"), RunFolder(runs / "noisy")
    assert found.matrix.rows == ()
    assert sum(num for _, _, num in found.matrix.pairs) == found.matrix.num_changes
    assert {name for pair in found.matrix.pairs for name in pair[:2]} <= set(whole.class_names)
    assert len(found.classes) == 1
    assert found.num_classes_left_out >= 1
    assert found.classes[0].num_changes == max(
        sum(num for given, _, num in found.matrix.pairs if given == name) for name in whole.class_names
    )


def test_what_cannot_be_shown_is_said(runs, page):
    (runs / "noisy" / "evidence" / "epoch-0001.parquet").unlink()
    found = page(runs / "noisy")
    assert "Doubtful labels are not shown: that takes the evidence of all epochs." in found.text
    assert found.count("img") == 24, "the least important images are"
    (runs / "clean" / "review.sqlite").write_bytes(
        b"no database at all, but long enough to be taken for one" * 20
    )
    assert re.search(
        r"Doubtful labels are not shown: .*review.sqlite cannot be used", page(runs / "clean").text
    )


def test_many_runs_have_no_galleries(runs, page, tmp_path):
    copies = [Path(shutil.copytree(runs / "plain", tmp_path / f"run{k}")) for k in range(7)]
    few, many = page(*copies[:6]), page(*copies)
    assert few.text.count("Most suspicious") == 6
    assert "Most suspicious" not in many.text
    assert many.text.count("Doubtful labels are shown on a page of six runs or fewer") == 7


def test_the_page_stays_small_and_the_same(runs, tmp_path):
    from selfcure.report.api import write_report

    for name in ("a.html", "b.html"):
        write_report([runs / "noisy"], [tmp_path / name])
    text = (tmp_path / "a.html").read_bytes()
    assert text == (tmp_path / "b.html").read_bytes()
    assert len(text) < 400_000
    assert not re.search(rb'(?:src|href)="(?!data:|#)', text), "nothing is fetched"


@pytest.mark.parametrize("method", ["noisy", "plain"])
def test_what_is_shown_twice_is_not_shown_a_third_time(runs, page, method):
    found = page(runs / method)
    assert ("Least important training images" in found.text) == (method == "noisy")
    assert "Least probable given labels" not in found.text
