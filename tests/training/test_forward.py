"""A batch in pieces: the same loss, gradients and decisions as at once."""

import copy

import pytest
import torch
from torch import nn

from selfcure.core import Batch
from selfcure.methods.scn import Scn, ScnConfig
from selfcure.training.forward import MicroBatchedForward, WholeForward

SIZE, NUM_CLASSES, NUM_FEATURES = 16, 3, 6
SIZES = [1, 2, 5, 7, 15, 16, 100]


class Backbone(nn.Module):
    """A small network without batch norm; ``layer`` goes between its convolution and its features."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.conv, self.layer = nn.Conv2d(3, 4, 3), layer
        self.out = nn.Linear(4, NUM_FEATURES)

    def forward(self, images):
        return self.out(torch.tanh(self.layer(self.conv(images))).mean((2, 3)))


def make(layer: nn.Module, **settings) -> Scn:
    # A wide margin keeps the hinge active, so the ranks of the batch matter in every gradient.
    settings = {"rank_margin": 0.9, "learn_rank_margin": True, "relabel_margin": 0.05, **settings}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        method = Scn(
            ScnConfig(**settings),
            backbone=Backbone(layer),
            num_features=NUM_FEATURES,
            num_classes=NUM_CLASSES,
        )
        nn.init.normal_(method.module.head.attention.weight, std=3)
        nn.init.normal_(method.module.head.classifier.weight, std=3)
    method.module.double().train()
    return method


def make_batch() -> Batch:
    generator = torch.Generator().manual_seed(2)
    images = 3 * torch.randn(SIZE, 3, 8, 8, generator=generator, dtype=torch.float64)
    labels = torch.randint(NUM_CLASSES, (SIZE,), generator=generator)
    return Batch(torch.arange(SIZE), images, labels, labels, epoch=50)


def gradients(method: Scn) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in method.module.named_parameters()}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-12, rtol=1e-12, msg=name)


def run(method: Scn, forward, batch: Batch):
    torch.manual_seed(3)
    output = method.step(batch, forward)
    forward.backward(output.loss)
    return output, gradients(method)


@pytest.mark.parametrize("size", SIZES)
def test_pieces_give_the_loss_gradients_and_decisions_of_the_whole(size):
    whole, parts, batch = make(nn.Identity()), make(nn.Identity()), make_batch()
    expected, expected_gradients = run(whole, WholeForward(whole.module), batch)
    output, found = run(parts, MicroBatchedForward(parts.module, size), batch)
    assert expected.terms["rank"] > 0.1, "an inactive hinge would prove too little"
    assert expected_gradients["loss.rank.rank_margin"].item() == pytest.approx(0.5)
    assert (expected.relabels.labels != batch.given_labels[expected.relabels.ids]).any()
    assert output.loss.item() == pytest.approx(expected.loss.item(), abs=1e-12)
    assert_same(found, expected_gradients)
    assert torch.equal(output.relabels.ids, expected.relabels.ids)
    assert torch.equal(output.relabels.labels, expected.relabels.labels)


def test_ranking_each_piece_alone_would_be_another_loss():
    batch = make_batch()
    whole = make(nn.Identity())
    expected, expected_gradients = run(whole, WholeForward(whole.module), batch)
    pieces = make(nn.Identity())
    losses = []
    for rows in torch.arange(SIZE).tensor_split(4):
        piece = Batch(
            *(x[rows] for x in (batch.ids, batch.images, batch.given_labels)), batch.original_labels[rows], 50
        )
        losses.append(pieces.step(piece, WholeForward(pieces.module)).loss)
    torch.stack(losses).mean().backward()
    assert abs(torch.stack(losses).mean() - expected.loss) > 1e-3
    weight = "head.attention.weight"
    assert (gradients(pieces)[weight] - expected_gradients[weight]).abs().max() > 1e-3


@pytest.mark.parametrize("size", [1, 5, 8])
def test_dropout_draws_the_same_in_both_passes(size):
    parts, oracle, batch = make(nn.Dropout(0.5)), make(nn.Dropout(0.5)), make_batch()
    output, found = run(parts, MicroBatchedForward(parts.module, size), batch)

    def in_pieces_with_gradient(images):
        outputs = [oracle.module(piece) for piece in images.tensor_split(-(-SIZE // size))]
        return {name: torch.cat([one[name] for one in outputs]) for name in outputs[0]}

    torch.manual_seed(3)
    expected = oracle.step(batch, in_pieces_with_gradient)
    expected.loss.backward()
    assert output.loss.item() == pytest.approx(expected.loss.item(), abs=1e-12)
    assert_same(found, gradients(oracle))


def test_batch_norm_statistics_move_once_for_each_piece():
    parts, oracle, batch = make(nn.BatchNorm2d(4)), make(nn.BatchNorm2d(4)), make_batch()
    run(parts, MicroBatchedForward(parts.module, 4), batch)
    with torch.no_grad():
        for piece in batch.images.tensor_split(4):
            oracle.module(piece)
    norm, expected = parts.module.backbone.layer, oracle.module.backbone.layer
    assert norm.num_batches_tracked == 4
    assert not torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean))
    for name, value in expected.named_buffers():
        torch.testing.assert_close(dict(norm.named_buffers())[name], value, atol=1e-12, rtol=0)
    assert norm.track_running_stats


def test_a_failing_forward_leaves_batch_norm_tracking():
    method = make(nn.BatchNorm2d(4))
    with pytest.raises(RuntimeError):
        MicroBatchedForward(method.module, 4)(torch.zeros(SIZE, 5, 8, 8, dtype=torch.float64))
    assert method.module.backbone.layer.track_running_stats


def two_views(forward, images, labels, *, use_second: bool):
    first, second = forward(images)["logits"], forward(images.flip(3))["logits"]
    loss = nn.functional.cross_entropy(first, labels)
    return loss + (first - second).square().mean() if use_second else loss


@pytest.mark.parametrize("use_second", [True, False], ids=["both used", "one only looked at"])
@pytest.mark.parametrize("layer", [nn.Identity(), nn.BatchNorm2d(4)], ids=["", "batch norm"])
def test_two_forward_calls_in_a_step(use_second, layer):
    method, batch = make(layer), make_batch()
    found = {}
    for kind, wrap in {"whole": WholeForward, "parts": lambda m: MicroBatchedForward(m, SIZE)}.items():
        module = copy.deepcopy(method.module)
        forward = wrap(module)
        loss = two_views(forward, batch.images, batch.given_labels, use_second=use_second)
        forward.backward(loss)
        norms = dict(module.named_buffers())
        found[kind] = ({n: p.grad for n, p in module.named_parameters() if p.grad is not None}, norms, loss)
    assert found["parts"][2].item() == pytest.approx(found["whole"][2].item(), abs=1e-12)
    assert_same(found["parts"][0], found["whole"][0])
    assert_same(
        {k: v.double() for k, v in found["parts"][1].items()},
        {k: v.double() for k, v in found["whole"][1].items()},
    )


def test_two_forward_calls_in_small_pieces():
    method, batch = make(nn.Identity()), make_batch()
    found = []
    for size in (3, 100):
        module = copy.deepcopy(method.module)
        forward = MicroBatchedForward(module, size)
        forward.backward(two_views(forward, batch.images, batch.given_labels, use_second=True))
        found.append({n: p.grad for n, p in module.named_parameters() if p.grad is not None})
    assert_same(*found)


def test_nothing_is_left_over_for_the_next_step():
    method, batch = make(nn.Identity()), make_batch()
    forward = MicroBatchedForward(method.module, 5)
    _, first = run(method, forward, batch)
    first = {name: g.clone() for name, g in first.items()}
    method.module.zero_grad()
    _, second = run(method, forward, batch)
    assert_same(first, second)
