"""Options that change speed and memory, and no result beyond rounding."""

import pytest
import torch

import selfcure
from selfcure.data.folder import Dataset
from selfcure.errors import SelfcureError
from selfcure.training.checkpoint import load_tensors
from stripes import TINY

SETTINGS = {
    **TINY,
    "method": "scn",
    "backbone": "resnet10t",
    "image_size_px": 32,
    "num_epochs": 2,
    "num_threads": 1,
}


@pytest.fixture(scope="module")
def usual(stripes_folder, tmp_path_factory):
    return selfcure.train(stripes_folder, out=tmp_path_factory.mktemp("usual") / "run", **SETTINGS)


def weights(run):
    return load_tensors(run.model)[0]["module"]


@pytest.mark.parametrize(
    ("option", "tolerance"),
    [
        ({"channels_last": False}, 1e-3),
        ({"activation_checkpointing": True}, 1e-6),
        ({"precision": "float64"}, 1e-3),
        ({"precision": "bf16"}, 0.05),
        pytest.param({"compile": True}, 1e-3, marks=pytest.mark.slow),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_an_option_changes_nothing_beyond_rounding(stripes_folder, tmp_path, usual, option, tolerance):
    run = selfcure.train(stripes_folder, out=tmp_path / "run", **SETTINGS, **option)
    for mine, theirs in zip(run.metrics(), usual.metrics(), strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=tolerance)
    assert weights(run).keys() == weights(usual).keys()
    if option != {"activation_checkpointing": True}:
        changed = any(
            not torch.equal(value, weights(usual)[name].to(value)) for name, value in weights(run).items()
        )
        assert changed, "the option does nothing"
    evaluation = selfcure.evaluate(run, stripes_folder)["given"]["accuracy"]
    assert evaluation == pytest.approx(run.metrics()[-1]["validation"]["accuracy"])


def test_compile_and_checkpointing_exclude_each_other(stripes_folder, tmp_path):
    with pytest.raises(SelfcureError, match="do not go together"):
        selfcure.train(stripes_folder, out=tmp_path / "run", compile=True, activation_checkpointing=True)


def test_balanced_sampling_draws_every_class_equally_often(tmp_path):
    from selfcure.training.sampling import epoch_order

    labels = torch.tensor([0] * 70 + [1] * 25 + [4] * 5)
    order = epoch_order(labels, torch.Generator().manual_seed(0), sampling="balanced")
    counts = labels[order].bincount()
    assert counts.sum() == 100
    assert counts[[0, 1, 4]].max() - counts[[0, 1, 4]].min() <= 1
    assert counts[[2, 3]].sum() == 0
    assert len(order[labels[order] == 0].unique()) == counts[0], "of a large class nobody comes twice"
    drawn = order[labels[order] == 4].bincount(minlength=100)[95:]
    assert drawn.max() - drawn.min() <= 1, "of a small one all come, and equally often"
    later = epoch_order(labels, torch.Generator().manual_seed(1), sampling="balanced")
    assert set(later.tolist()) != set(order.tolist())


@pytest.mark.parametrize("sampling", ["shuffle", "balanced"])
def test_sampling_keeps_to_what_the_method_allows(sampling):
    from selfcure.training.sampling import epoch_order

    labels, among = torch.arange(40) % 3, torch.tensor([3, 5, 6, 7, 30])
    order = epoch_order(labels, torch.Generator().manual_seed(0), sampling=sampling, among=among)
    assert len(order) == 5
    assert set(order.tolist()) <= set(among.tolist())
    if sampling == "shuffle":
        assert sorted(order.tolist()) == among.tolist()


def test_a_balanced_run_reports_what_it_drew(stripes_folder, tmp_path):
    run = selfcure.train(
        stripes_folder, out=tmp_path / "run", **{**TINY, "sampling": "balanced", "num_epochs": 2}
    )
    num = len(Dataset(stripes_folder).split("train"))
    for record in run.metrics():
        assert record["num_drawn"] < num
        predictions = run.evidence(record["epoch"])["prediction"].to_numpy()
        assert (predictions >= 0).sum() == record["num_drawn"]
        assert 0 <= record["detection"]["mean_given_prob"]["auroc"] <= 1
    table = selfcure.label_table(run)
    assert not table["suspicion"].to_numpy().min() < 0
