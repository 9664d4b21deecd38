"""MetaCleaner's subsets, its clean representations against a loop, and the two parts of its loss."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from selfcure.core import Batch
from selfcure.errors import SelfcureError
from selfcure.methods.metacleaner import MetaCleaner, MetaCleanerConfig, class_subsets

SIZE, DIMS, CLASSES = 10, 12, 3


def build(**setting) -> MetaCleaner:
    torch.manual_seed(0)
    return MetaCleaner(
        MetaCleanerConfig(**setting), backbone=nn.Flatten(), num_features=DIMS, num_classes=CLASSES
    )


def make_batch(dtype: torch.dtype = torch.float32) -> Batch:
    generator = torch.Generator().manual_seed(1)
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 2])
    images = torch.randn(SIZE, 3, 2, 2, generator=generator).to(dtype)
    return Batch(torch.arange(SIZE), images, labels, labels, epoch=1)


def step(method: MetaCleaner, batch: Batch, seed: int = 0):
    torch.manual_seed(seed)
    return method.step(batch, method.module)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.integers(2, 5))
@settings(deadline=None)
def test_subsets_are_of_one_class_and_hold_everybody(labels, size):
    subsets = class_subsets(torch.tensor(labels), size)
    assert subsets.shape[1] == size
    for row in subsets.tolist():
        assert len({labels[place] for place in row}) == 1
    assert set(subsets.flatten().tolist()) == set(range(len(labels)))
    assert len(subsets) == sum(-(-labels.count(k) // size) for k in set(labels)), "no more than needed"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_is_that_of_a_loop(dtype):
    method, batch = build(subset_size=3, plain_weight=0.7, clean_weight=1.3), make_batch(dtype)
    method.module.to(dtype)
    output = step(method, batch)
    torch.manual_seed(0)
    order = torch.randperm(SIZE).tolist()
    features, labels = batch.images.flatten(1), batch.given_labels.tolist()
    first, _, second = method.module.weighting
    losses, scores = [], {place: [] for place in range(SIZE)}
    for label in sorted(set(labels)):
        members = [place for place in order if labels[place] == label]
        while len(members) % 3:
            members.append(members[len(members) - sum(labels[p] == label for p in order)])
        for start in range(0, len(members), 3):
            subset = members[start : start + 3]
            hidden = (first.weight @ torch.cat([features[p] for p in subset]) + first.bias).clamp(min=0)
            alpha = (second.weight @ hidden + second.bias).softmax(0)
            clean = sum(a * features[p] for a, p in zip(alpha, subset, strict=True))
            losses.append(-(method.module.classifier.weight @ clean).log_softmax(0)[label])
            for a, place in zip(alpha.tolist(), subset, strict=True):
                scores[place].append(3 * a)
    plain = F.cross_entropy(output.logits, batch.given_labels)
    torch.testing.assert_close(output.loss, 0.7 * plain + 1.3 * torch.stack(losses).mean())
    expected = torch.tensor([sum(s) / len(s) for s in scores.values()], dtype=dtype)
    torch.testing.assert_close(output.scores["relative_weight"], expected)


def test_a_value_by_hand():
    # The weighting network gives logits (0, log 3), so α = ¼, ¾: ¼·[4, 0] + ¾·[0, 4] = [1, 3].
    method = MetaCleaner(
        MetaCleanerConfig(subset_size=2), backbone=nn.Identity(), num_features=2, num_classes=2
    )
    last = method.module.weighting[2]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, 3.0]).log().nan_to_num(neginf=0.0))
    clean, alpha = method.module.hallucinate(torch.tensor([[[4.0, 0.0], [0.0, 4.0]]]))
    torch.testing.assert_close(alpha, torch.tensor([[0.25, 0.75]]))
    torch.testing.assert_close(clean, torch.tensor([[1.0, 3.0]]))


def test_without_clean_representations_it_is_cross_entropy():
    method, batch = build(clean_weight=0.0), make_batch()
    output = step(method, batch)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, batch.given_labels))


def test_a_subset_of_one_image_is_that_image():
    batch = make_batch()
    method, alone = (
        build(),
        Batch(
            *(getattr(batch, n)[9:] for n in ("ids", "images", "given_labels", "original_labels")), epoch=1
        ),
    )
    output = step(method, alone)
    torch.testing.assert_close(output.terms["clean_ce"], output.terms["plain_ce"])
    torch.testing.assert_close(output.scores["relative_weight"], torch.ones(1))


def test_weights_of_full_subsets_average_to_one():
    method, batch = build(subset_size=5), make_batch()
    assert step(method, batch).scores["relative_weight"][:5].mean().item() == pytest.approx(1)


def test_the_draw_comes_from_the_global_generator():
    method, batch = build(), make_batch()
    first, again, other = (step(method, batch, seed).loss for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_gradient_is_right():
    method, batch = build(subset_size=2, weighting_width=3), make_batch(torch.float64)
    method.module.double()

    def loss(images):
        torch.manual_seed(0)
        fresh = Batch(batch.ids, images, batch.given_labels, batch.original_labels, 1)
        return method.step(fresh, method.module).loss

    assert torch.autograd.gradcheck(loss, batch.images.requires_grad_())


def test_inference_is_the_plain_network():
    outputs = build().module.eval()(torch.zeros(2, 3, 2, 2))
    assert set(outputs) == {"logits"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"subset_size": 1}, "subset_size must be at least 2, not 1"),
        ({"weighting_width": 0}, "weighting_width must be at least 1, not 0"),
        ({"plain_weight": -1.0}, "plain_weight must be at least 0, not -1.0"),
        ({"clean_weight": float("nan")}, "clean_weight must be at least 0, not nan"),
        ({"plain_weight": 0.0, "clean_weight": 0.0}, "must not both be 0"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(SelfcureError, match=message):
        MetaCleanerConfig(**setting)
