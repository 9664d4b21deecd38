"""Two processes train as one: loss, gradients (through the weights they lead to), labels and evidence."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from several import Steady

import selfcure
from selfcure.backbones.registry import BACKBONES
from selfcure.core import Batch
from selfcure.methods import METHODS
from selfcure.runs import RunFolder
from selfcure.training.api import build_method
from selfcure.training.checkpoint import load_tensors
from selfcure.training.config import resolve
from selfcure.training.forward import WholeForward
from selfcure.training.launch import launch
from selfcure.training.workers import part_of
from stripes import TINY, write_stripes

# 45 samples in batches of 8, 8, 8, 7, 7, 7: parts are uneven.
EXACT = {
    **TINY,
    "backbone": "steady",
    "precision": "float64",
    "augmentation": "reference",
    "num_epochs": 2,
    "batch_size": 8,
    "num_threads": 1,
}
SCN = {
    **EXACT,
    "method": "scn",
    "relabel_epoch": 1,
    "relabel_margin": 0.0,
    "learn_rank_margin": True,
    "rank_margin": 0.9,
}


@pytest.fixture(scope="module", autouse=True)
def steady():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(BACKBONES, "steady", Steady)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("several") / "stripes", num=45).path


def train_in_two(jobs: list[dict], folder: Path) -> None:
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs))
    assert launch([sys.executable, str(Path(__file__).with_name("several.py")), str(file)], 2) == 0


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_tensors(run.model)[0]["module"]


def assert_alike(one: RunFolder, two: RunFolder, *, statistics: bool = True) -> None:
    """The same to 1e-6: weights, losses, evidence; label changes exactly."""
    others = weights(two)
    for name, tensor in weights(one).items():
        if statistics or not ("running" in name or "tracked" in name):
            torch.testing.assert_close(others[name], tensor, atol=1e-6, rtol=0, msg=name)
    for a, b in zip(one.metrics(), two.metrics(), strict=True):
        assert a.keys() == b.keys()
        for key in a.keys() - {"seconds", "images_per_second", "validation"}:
            if isinstance(a[key], float):
                assert b[key] == pytest.approx(a[key], abs=1e-6), key
        for column in one.evidence(a["epoch"]).column_names:
            values = (run.evidence(a["epoch"])[column].to_numpy() for run in (one, two))
            np.testing.assert_allclose(*values, atol=1e-6, rtol=0, err_msg=column)
    left, right = one.changes(), two.changes()
    assert left.drop_columns("margin").equals(right.drop_columns("margin"))
    np.testing.assert_allclose(left["margin"].to_numpy(), right["margin"].to_numpy(), atol=1e-6)


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Every method, and what else is asked below, trained by one process and by two."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {method: {**EXACT, "method": method} for method in METHODS} | {
        "scn": SCN,
        "balanced": {**SCN, "sampling": "balanced"},
        "pieces": {**SCN, "micro_batch_size": 2},
        "norm": {**SCN, "backbone": "compact", "batch_size": 16},
    }
    one = {}
    for name, wanted in settings.items():
        # With batch norm in the backbone, one process computes the same halves of every batch.
        halves = {"micro_batch_size": wanted["batch_size"] // 2} if name == "norm" else {}
        one[name] = selfcure.train(data, out=folder / f"{name}-1", **wanted | halves)
    train_in_two(
        [{"data": str(data), "out": str(folder / f"{n}-2"), "settings": s} for n, s in settings.items()],
        folder,
    )
    return {name: (run, RunFolder(folder / f"{name}-2")) for name, run in one.items()}


@pytest.mark.parametrize("name", [*METHODS, "balanced", "pieces"])
def test_two_processes_train_as_one(runs, name):
    assert_alike(*runs[name])
    if name in ("scn", "balanced", "pieces"):
        assert len(runs[name][0].changes()), "no label changed: nothing was compared"


def test_with_batch_norm_two_processes_are_one_with_two_pieces(runs):
    # What differs: the running statistics, which here move once for each piece and there for the first part alone.
    assert_alike(*runs["norm"], statistics=False)
    one, two = (weights(run) for run in runs["norm"])
    name = next(name for name in one if "running_mean" in name)
    assert not torch.allclose(one[name], two[name])


@pytest.mark.parametrize("first", [1, 2])
def test_another_number_of_processes_goes_on(runs, data, tmp_path, first):
    whole, out = runs["scn"][0], tmp_path / "run"
    job = {"data": str(data), "out": str(out), "settings": {**SCN, "save_every_min": 0}}
    if first == 2:
        train_in_two([job], tmp_path)
    else:
        selfcure.train(data, out=out, **job["settings"])
    # Back to the middle of the second epoch.
    run = RunFolder(out)
    run.model.unlink()
    rewind(run, data, tmp_path, job["settings"])
    if first == 2:
        run = selfcure.train(data, out=out, resume=True)
    else:
        train_in_two([{**job, "settings": {}, "resume": True}], tmp_path)
    assert_alike(whole, run)


def rewind(run: RunFolder, data: Path, tmp_path: Path, settings: dict) -> None:
    """Put the checkpoint of an interrupt in the second epoch into ``run``, as one process writes it."""
    from selfcure.training.interrupt import Interrupted
    from selfcure.training.reporter import Reporter

    class Stops(Reporter):
        def step(self, epoch, samples_done, means):
            if epoch == 2 and samples_done > 20:
                os.kill(os.getpid(), 2)

    other = tmp_path / "stopped"
    with pytest.raises(Interrupted):
        selfcure.train(data, out=other, reporter=Stops(), **settings)
    (other / "checkpoint.safetensors").replace(run.checkpoint)


def test_ranking_by_process_averages_the_parts(data, tmp_path):
    """One step by hand: the mean gradient of the parts, each ranked alone and weighed by its size."""
    settings = {**SCN, "ranking": "process", "num_epochs": 1, "batch_size": 45, "augmentation": "none"}
    train_in_two([{"data": str(data), "out": str(tmp_path / "two"), "settings": settings}], tmp_path)
    from selfcure.data.folder import Dataset
    from selfcure.data.images import ImageStore
    from selfcure.data.transforms import AUGMENTATIONS, Draws
    from selfcure.training.sampling import epoch_order
    from selfcure.training.seeding import derive_seed

    config = resolve("scn", "paper", **{k: v for k, v in settings.items() if k != "method"})
    split = Dataset(data).split("train")
    method = build_method(config, len(split.dataset.class_names))
    method.module.double().train()
    labels = torch.from_numpy(split.labels)
    generator = torch.Generator().manual_seed(derive_seed(config.train.seed, "order", 1))
    order = epoch_order(labels, generator, sampling="shuffle")
    store = ImageStore(split.images(), config.train.image_size_px)
    images = AUGMENTATIONS["none"](
        store.batch(order), Draws(0, 45), config.train.mean, config.train.std
    ).double()
    parameters = list(method.module.parameters())
    expected = [torch.zeros_like(p) for p in parameters]
    for rank in range(2):
        rows = part_of(45, rank, 2)
        batch = Batch(order[rows], images[rows], labels[order[rows]], labels[order[rows]], epoch=1)
        loss = method.step(batch, WholeForward(method.module)).loss * len(batch.ids) / 45
        for total, gradient in zip(expected, torch.autograd.grad(loss, parameters), strict=True):
            total += gradient
    run = RunFolder(tmp_path / "two")
    after = weights(run)
    rate, decay = config.train.learning_rate, config.train.weight_decay
    assert config.train.optimizer == "sgd"
    for (name, parameter), gradient in zip(method.module.named_parameters(), expected, strict=True):
        before = parameter.detach()
        torch.testing.assert_close(
            after[name], before - rate * (gradient + decay * before), atol=1e-6, rtol=0
        )
    evidence = run.evidence(1)
    assert not np.isnan(evidence["importance"].to_numpy()).any(), "the evidence of both parts is kept"
