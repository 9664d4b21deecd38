"""Soft labels that people gave: read from the dataset folder, learned from by the methods that say so."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import selfcure
from selfcure.data.folder import SOFT_LABEL, Dataset
from selfcure.data.folder_writer import FolderWriter
from selfcure.errors import SelfcureError
from selfcure.methods import METHODS
from selfcure.methods.plain import Plain
from selfcure.training.reporter import Reporter
from stripes import TINY

K = 3


def with_soft_labels(parent: Dataset, out, weights: dict[int, list[float]]) -> Dataset:
    """A copy of ``parent`` in which the training rows of ``weights`` have soft labels."""
    field = pa.field(SOFT_LABEL, pa.list_(pa.float32()))
    writer = FolderWriter(
        out,
        class_names=parent.class_names,
        plan={},
        num_shards=dict.fromkeys(parent.splits, 1),
        extra=[field],
    )
    for name in parent.splits:
        (file,) = parent.split(name).files
        table = pq.read_table(file)
        rows = [weights.get(row) if name == "train" else None for row in range(len(table))]
        writer.write(name, 0, table.append_column(field, pa.array(rows, field.type)), [])
    return writer.finish({"layout": "made", "source": "here"}, [])


@pytest.fixture
def stripes(stripes_folder) -> Dataset:
    return Dataset(stripes_folder)


def weights_of(label: int) -> list[float]:
    soft = [0.25, 0.25, 0.25]
    soft[label] = 0.5
    return soft


def test_rows_without_one_are_their_label_alone(stripes, tmp_path):
    labels = stripes.split("train").labels
    changed_since = [1.0 if k == (labels[7] + 1) % K else 0.0 for k in range(K)]
    split = with_soft_labels(stripes, tmp_path / "d", {4: weights_of(labels[4]), 7: changed_since}).split(
        "train"
    )
    expected = np.eye(K, dtype=np.float32)[labels]
    expected[4] = weights_of(labels[4])
    np.testing.assert_array_equal(split.soft_labels, expected)
    assert split.fingerprint() != stripes.split("train").fingerprint()
    assert with_soft_labels(stripes, tmp_path / "none", {}).split("train").soft_labels is None
    assert stripes.split("train").soft_labels is None


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        ([0.5, 0.5], "soft_label of 2 weights; it must be 3"),
        ([0.9, 0.9, -0.8], "must be at least 0 and sum to 1"),
    ],
)
def test_weights_that_are_no_shares_are_refused(stripes, tmp_path, weights, why):
    dataset = with_soft_labels(stripes, tmp_path / "d", {4: weights})
    with pytest.raises(SelfcureError, match=f"row 4 has .*{why}"):
        selfcure.train(dataset.path, out=tmp_path / "run", method="plain", **TINY)


class Notes(Reporter):
    def started(self, *, notes, **_):
        self.notes = notes


def test_methods_learn_from_them_or_say_that_they_do_not(stripes, tmp_path, monkeypatch):
    labels = stripes.split("train").labels
    soft = with_soft_labels(stripes, tmp_path / "d", {row: weights_of(labels[row]) for row in range(0, 60)})
    seen = []
    step = Plain.step

    def watched(self, batch, forward):
        output = step(self, batch, forward)
        log_probs = output.logits.log_softmax(1)
        seen.append(
            (batch.ids, batch.soft_labels, output.loss, -(batch.soft_labels * log_probs).sum(1).mean())
        )
        return output

    monkeypatch.setattr(Plain, "step", watched)
    reporter = Notes()
    selfcure.train(soft.path, out=tmp_path / "plain", method="plain", reporter=reporter, **TINY)
    assert "60 soft labels" in reporter.notes
    for ids, targets, loss, by_hand in seen:
        torch.testing.assert_close(targets, torch.from_numpy(soft.split("train").soft_labels)[ids])
        torch.testing.assert_close(loss, by_hand)
    selfcure.train(soft.path, out=tmp_path / "gce", method="gce", reporter=reporter, **TINY)
    assert "60 soft labels, of which gce uses the largest class only" in reporter.notes
    monkeypatch.undo()


@pytest.mark.parametrize("method", sorted(name for name in METHODS if METHODS[name].uses_soft_labels))
def test_they_change_what_is_learned(stripes, tmp_path, method):
    labels = stripes.split("train").labels
    soft = with_soft_labels(stripes, tmp_path / "d", {row: weights_of(labels[row]) for row in range(60)})
    runs = [
        selfcure.train(data, out=tmp_path / name, method=method, **{**TINY, "num_epochs": 1})
        for data, name in ((soft.path, "soft"), (stripes.path, "hard"))
    ]
    losses = [run.metrics()[0]["loss"] for run in runs]
    assert losses[0] != pytest.approx(losses[1])


def test_a_label_that_training_changed_is_a_class_again(stripes, tmp_path, monkeypatch):
    labels = stripes.split("train").labels
    soft = with_soft_labels(
        stripes, tmp_path / "d", {row: weights_of(labels[row]) for row in range(len(labels))}
    )
    scn = METHODS["scn"]
    step, seen = scn.step, []

    def watched(self, batch, forward):
        seen.append((batch.given_labels, batch.original_labels, batch.soft_labels))
        return step(self, batch, forward)

    monkeypatch.setattr(scn, "step", watched)
    settings = {**TINY, "relabel_epoch": 1, "relabel_margin": 0.0}
    run = selfcure.train(soft.path, out=tmp_path / "run", method="scn", **settings)
    given, original, targets = (torch.cat(column) for column in zip(*seen, strict=True))
    changed = given != original
    assert changed.any(), run.metrics()
    assert (targets[changed].max(dim=1).values == 1).all()
    assert (targets.argmax(dim=1) == given).all()
    assert (targets[~changed].max(dim=1).values == 0.5).all()
