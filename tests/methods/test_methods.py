"""What every method in METHODS promises the engine, in every recipe; a new method is tested by being there."""

import dataclasses

import pytest
import torch
from torch import nn

import selfcure
from selfcure.core import Batch, TrainingSet
from selfcure.methods import METHODS
from selfcure.training.api import build_method
from selfcure.training.config import resolve
from selfcure.training.forward import WholeForward
from stripes import TINY

CASES = [(method, recipe) for method in METHODS for recipe in METHODS[method].recipes]
NUM_CLASSES = 3

every_method = pytest.mark.parametrize(("method", "recipe"), CASES)


def build(method: str, recipe: str):
    trained = build_method(resolve(method, recipe, backbone="compact", seed=5), NUM_CLASSES)
    trained.start(TrainingSet(torch.arange(100) % NUM_CLASSES, NUM_CLASSES, num_epochs=10))
    return trained


def make_batch(epoch: int = 1, size: int = 12) -> Batch:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(NUM_CLASSES, (size,), generator=generator)
    return Batch(
        ids=torch.randperm(100, generator=generator)[:size],
        images=torch.randn(size, 3, 16, 16, generator=generator),
        given_labels=labels,
        original_labels=(labels + (torch.arange(size) % 4 == 0)) % NUM_CLASSES,
        epoch=epoch,
    )


def step(trained, batch: Batch):
    trained.module.train()
    forward = WholeForward(trained.module)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return forward, trained.step(batch, forward)


@every_method
@pytest.mark.parametrize("epoch", [1, 1000])
def test_step_gives_what_the_engine_needs(method, recipe, epoch):
    batch = make_batch(epoch)
    _, output = step(build(method, recipe), batch)
    assert output.loss.shape == ()
    assert output.loss.isfinite()
    assert output.loss.requires_grad
    assert output.logits.shape == (len(batch.ids), NUM_CLASSES)
    for name, term in output.terms.items():
        assert term.shape == (), name
        assert term.isfinite(), name
    for name, score in output.scores.items():
        assert score.shape == (len(batch.ids),), name
        assert score.isfinite().all(), name
    if (decisions := output.relabels) is not None:
        assert decisions.ids.shape == decisions.labels.shape == decisions.margins.shape
        assert set(decisions.ids.tolist()) <= set(batch.ids.tolist())
        assert len(decisions.ids.unique()) == len(decisions.ids)
        assert ((decisions.labels >= 0) & (decisions.labels < NUM_CLASSES)).all()


@every_method
def test_step_only_computes(method, recipe):
    trained, batch = build(method, recipe), make_batch(epoch=1000)
    before = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    before = {name: v.clone() if isinstance(v, torch.Tensor) else v for name, v in before.items()}
    parameters = {name: p.detach().clone() for name, p in trained.module.named_parameters()}
    step(trained, batch)
    for name, value in before.items():
        now = getattr(batch, name)
        assert torch.equal(now, value) if isinstance(value, torch.Tensor) else now == value, name
    for name, parameter in trained.module.named_parameters():
        assert torch.equal(parameter, parameters[name]), name
        assert parameter.grad is None, f"{name}: the engine alone calls backward"


def tensors_in(thing, seen: set[int]):
    """Every tensor that can be reached from an object's attributes."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        yield thing
    elif isinstance(thing, nn.Module):
        yield from thing.parameters()
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from tensors_in(value, seen)
    elif isinstance(thing, list | tuple | set):
        for value in thing:
            yield from tensors_in(value, seen)
    elif hasattr(thing, "__dict__"):
        yield from tensors_in(vars(thing), seen)


@every_method
def test_everything_trained_is_in_the_module_and_gets_a_gradient(method, recipe):
    trained = build(method, recipe)
    inside = {id(p) for p in trained.module.parameters()}
    loose = [t for t in tensors_in(trained, set()) if t.requires_grad and id(t) not in inside]
    assert not loose, "the optimiser, the checkpoint and data parallelism see method.module alone"
    forward, output = step(trained, make_batch())
    forward.backward(output.loss)
    for name, parameter in trained.module.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


@every_method
def test_outputs_of_an_image_do_not_depend_on_the_batch_it_is_in(method, recipe):
    module, images = build(method, recipe).module.eval(), make_batch().images
    with torch.no_grad():
        together, alone = module(images), [module(image[None]) for image in images]
    assert together["logits"].shape == (len(images), NUM_CLASSES)
    for name, values in together.items():
        torch.testing.assert_close(values, torch.cat([one[name] for one in alone]), msg=name)


@every_method
def test_state_comes_back(method, recipe):
    trained, other = build(method, recipe), build(method, recipe)
    step(trained, make_batch(epoch=1000))
    state = trained.state_dict()
    other.load_state_dict(state)
    again = other.state_dict()
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_a_method_without_state_refuses_some():
    with pytest.raises(ValueError, match=r"Plain keeps no state of its own.*\['memory'\]"):
        build("plain", "paper").load_state_dict({"memory": torch.zeros(1)})


# Adam's rate for small batches; the paper's SGD rate comes with TINY.
SHORT = {"paper": {}, "reference": {"learning_rate": 0.003}, "modern": {"learning_rate": 0.003}}
# EAC starts from a face network; fresh weights need more than these 24 steps to look at anything under its λ of 5.
GENTLER = {"eac": {"attention_weight": 1.0}}


@every_method
def test_learns_the_stripes(method, recipe, stripes_folder, tmp_path):
    settings = {**TINY, "num_epochs": 8, **SHORT[recipe], **GENTLER.get(method, {})}
    run = selfcure.train(stripes_folder, out=tmp_path / "run", method=method, recipe=recipe, **settings)
    accuracy = selfcure.evaluate(run, stripes_folder)["given"]["accuracy"]
    assert accuracy >= 0.8, "the largest of the three classes has 40 %"
