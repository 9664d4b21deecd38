"""Recipes scaled to other lengths, ``--set`` parsed, errors, and the way to JSON and back."""

import dataclasses
import inspect
import json

import pytest

from selfcure.errors import SelfcureError
from selfcure.methods import METHODS
from selfcure.training.config import RECIPES, ResolvedConfig, TrainConfig, resolve
from selfcure.training.engine import learning_rate


def test_every_method_has_every_recipe():
    for name, method in METHODS.items():
        assert method.recipes.keys() == RECIPES.keys(), name


def test_field_names_are_unique_over_engine_and_method():
    reserved = {f.name for f in dataclasses.fields(TrainConfig)} | {"method", "recipe"}
    for name, method in METHODS.items():
        own = {f.name for f in dataclasses.fields(method.Config)}
        assert not own & reserved, f"{name}: as_dict is flat, one of the two would be lost"


def test_every_field_explains_itself():
    for config in (TrainConfig, *(method.Config for method in METHODS.values())):
        source = inspect.getsource(config)
        for field in dataclasses.fields(config):
            after = source.split(f"    {field.name}: ", 1)[1].splitlines()
            assert after[1].strip().startswith('"""'), f"{config.__name__}.{field.name}"


@pytest.mark.parametrize(
    ("num_epochs", "milestones", "relabel_epoch"),
    [
        (40, (15, 30), 10),
        (80, (30, 60), 20),
        (20, (8, 15), 5),  # 7.5 rounds to 8
        (16, (6, 12), 4),
        (4, (2, 3), 1),
        (1, (1, 1), 1),
    ],
)
def test_paper_schedule_scales_with_its_length(num_epochs, milestones, relabel_epoch):
    config = resolve("scn", "paper", num_epochs=num_epochs)
    assert config.train.lr_milestones == milestones
    assert config.settings.relabel_epoch == relabel_epoch


@pytest.mark.parametrize("num_epochs", [70, 35, 7, 140])
def test_reference_decay_ends_at_the_same_rate(num_epochs):
    config = resolve("scn", "reference", num_epochs=num_epochs)
    end = config.train.learning_rate * config.train.lr_decay**num_epochs
    assert end == pytest.approx(1e-3 * 0.9**70)
    assert config.settings.relabel_epoch == max(1, round(10 * num_epochs / 70))


def test_overridden_schedules_are_not_scaled():
    config = resolve("scn", "paper", num_epochs=20, lr_milestones=(15,), lr_decay=0.9, relabel_epoch=10)
    assert (config.train.lr_milestones, config.train.lr_decay) == ((15,), 0.9)
    assert config.settings.relabel_epoch == 10


def test_learning_rate_by_epoch():
    config = resolve("plain", "paper", num_epochs=8).train
    rates = [learning_rate(config, passed) for passed in range(8)]
    assert rates == pytest.approx([0.1] * 3 + [0.01] * 3 + [0.001] * 2)
    decayed = [learning_rate(resolve("plain", "reference").train, passed) for passed in (0.5, 1, 2.9)]
    assert decayed == pytest.approx([1e-3, 9e-4, 8.1e-4])


def test_cosine_rises_then_falls_from_batch_to_batch():
    config = resolve("plain", "modern", num_epochs=5).train
    rates = [learning_rate(config, passed) for passed in (0, 0.5, 1, 2, 3, 5)]
    assert rates == pytest.approx([0, 1e-3, 2e-3, 1e-3 * (1 + 0.5**0.5), 1e-3, 0])
    short = resolve("plain", "modern", num_epochs=1).train  # no more than half of a training is warm-up
    assert learning_rate(short, 0.5) == pytest.approx(2e-3)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("num_epochs", "16", 16),
        ("num_epochs", 16.0, 16),
        ("learning_rate", "5e-3", 0.005),
        ("learning_rate", 1, 1.0),
        ("lr_milestones", "3, 5", (3, 5)),
        ("lr_milestones", "7", (7,)),
        ("lr_milestones", "", ()),
        ("lr_milestones", [3, 5], (3, 5)),
        ("mean", "0.5,0.5,0.5", (0.5, 0.5, 0.5)),
        ("optimizer", "adam", "adam"),
        ("device", "cpu", "cpu"),
        ("rank_weight", "none", None),
        ("rank_weight", "None", None),
        ("rank_weight", None, None),
        ("rank_weight", "0.3", 0.3),
        ("relabel", "false", False),
        ("relabel", "Yes", True),
        ("relabel", "0", False),
        ("relabel", False, False),
        ("relabel_scope", "all", "all"),
    ],
)
def test_values_are_parsed_to_their_fields_type(name, given, expected):
    value = resolve("scn", "paper", **{name: given}).as_dict()[name]
    expected = list(expected) if isinstance(expected, tuple) else expected
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "snc"}, r"unknown method 'snc'; did you mean 'scn'\? \(allowed: plain, scn"),
        ({"recipe": "papers"}, r"unknown recipe 'papers'; did you mean 'paper'\?"),
        ({"lerning_rate": 1}, r"unknown field 'lerning_rate'; did you mean 'learning_rate'\?"),
        ({"method": "plain", "rank_margin": 0.1}, "unknown field 'rank_margin'"),
        ({"optimizer": "sdg"}, r"unknown optimizer 'sdg'; did you mean 'sgd'\? \(allowed: sgd, adam\)"),
        ({"select": "test"}, r"unknown select 'test'.*\(allowed: last, validation\)"),
        ({"augmentation": "flip"}, "unknown augmentation 'flip'"),
        ({"num_epochs": "ten"}, "num_epochs takes a whole number, not 'ten'"),
        ({"num_epochs": "2.5"}, "num_epochs takes a whole number, not '2.5'"),
        ({"num_epochs": 2.5}, "num_epochs takes a whole number, not 2.5"),
        ({"num_epochs": None}, "num_epochs takes a whole number, not None"),
        ({"num_epochs": float("inf")}, "num_epochs takes a whole number, not inf"),
        ({"learning_rate": "fast"}, "learning_rate takes a number, not 'fast'"),
        ({"relabel": "maybe"}, "relabel takes true or false, not 'maybe'"),
        ({"lr_milestones": "3,x"}, "lr_milestones takes a whole number, not 'x'"),
        ({"lr_milestones": 3}, "lr_milestones takes numbers separated by commas, not 3"),
        ({"mean": "0.5"}, "mean takes 3 numbers separated by commas, not '0.5'"),
        ({"rank_weight": "half"}, "rank_weight takes a number, not 'half'"),
        ({"num_epochs": 0}, "num_epochs must be at least 1, not 0"),
        ({"batch_size": 1}, "batch_size must be at least 2, not 1"),
        ({"image_size_px": 4}, "image_size_px must be at least 8, not 4"),
        ({"micro_batch_size": -1}, "micro_batch_size must be at least 0, not -1"),
        ({"learning_rate": -0.1}, "learning_rate must be at least 0, not -0.1"),
        ({"learning_rate": "nan"}, "learning_rate must be at least 0, not nan"),
        ({"weight_decay": -1}, "weight_decay must be at least 0, not -1"),
        ({"num_threads": -1}, "num_threads must be at least 0, not -1"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"lr_decay": 0}, "lr_decay must be above 0, not 0"),
        ({"std": "1,0,1"}, r"std must be above 0, not \(1.0, 0.0, 1.0\)"),
    ],
)
def test_a_mistake_is_one_clear_line(arguments, message):
    with pytest.raises(SelfcureError, match=message) as error:
        resolve(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_configuration_survives_json(method, recipe):
    config = resolve(method, recipe, num_epochs=7, mean="0.4,0.5,0.6", seed=11)
    saved = json.loads(json.dumps(config.as_dict()))
    assert ResolvedConfig.from_dict(saved) == config
    every = {f.name for part in (config.train, config.settings) for f in dataclasses.fields(part)}
    assert saved.keys() == every | {"method", "recipe"}, "written in full"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": None}, "missing or unknown: seed"),
        ({"recipe": None}, "missing or unknown: recipe"),
        ({"speed": 3}, "missing or unknown: speed"),
        ({"method": "later"}, "unknown method 'later'"),
        ({"method": None}, "unknown method 'None'"),
    ],
)
def test_a_configuration_of_another_version_is_refused(change, message):
    saved = {k: v for k, v in {**resolve().as_dict(), **change}.items() if k not in change or v is not None}
    with pytest.raises(SelfcureError, match=message):
        ResolvedConfig.from_dict(saved)
