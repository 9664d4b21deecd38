"""Activation checkpointing changes what is kept, and nothing that is computed."""

import copy

import pytest
import timm
import torch
from torch import nn

from selfcure.backbones import build_backbone, checkpoint_activations
from selfcure.errors import SelfcureError

# Name, image size, number of blocks, and what timm takes to put dropout and stochastic depth into it.
NETWORKS = {
    "resnet18": (48, 8, {"drop_path_rate": 0.2}),
    "test_convnext": (64, 9, {"drop_path_rate": 0.2}),
    "test_vit": (160, 6, {"proj_drop_rate": 0.1, "attn_drop_rate": 0.1}),
    "test_efficientnet": (64, 5, {"drop_path_rate": 0.2}),  # its batch norm has parts
    "ir50": (32, 24, None),
}


def build(name):
    size_px, num_blocks, dropout = NETWORKS[name]
    torch.manual_seed(1)
    network = (
        build_backbone(name)[0] if dropout is None else timm.create_model(name, num_classes=0, **dropout)
    )
    return network.train(), size_px, num_blocks


def two_steps(network, size_px):
    """Losses, gradients and state after two batches, dropout drawn from one seed."""
    torch.manual_seed(2)
    losses = []
    for _ in range(2):
        loss = network(torch.randn(3, 3, size_px, size_px)).square().sum()
        loss.backward()
        losses.append(loss.detach())
    gradients = {name: p.grad for name, p in network.named_parameters()}
    return losses, gradients, network.state_dict(), torch.get_rng_state()


@pytest.mark.parametrize("name", NETWORKS)
def test_loss_gradients_statistics_and_random_numbers_are_the_same(name):
    network, size_px, num_blocks = build(name)
    plain = two_steps(copy.deepcopy(network), size_px)
    names = list(network.state_dict())
    assert checkpoint_activations(network) == num_blocks
    assert list(network.state_dict()) == names
    torch.testing.assert_close(two_steps(network, size_px), plain, rtol=0, atol=0)


def bytes_kept(network, size_px):
    """Of the activations that autograd keeps of one forward."""
    weights = {p.data_ptr() for p in network.parameters()}
    kept = {}

    def note(tensor):
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = network(torch.zeros(2, 3, size_px, size_px))  # held, so that no address is used twice
    assert outputs.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_less_is_kept_for_the_backward_pass(name):
    network, size_px, _ = build(name)
    before = bytes_kept(network, size_px)
    checkpoint_activations(network)
    assert 0 < bytes_kept(network, size_px) < 0.6 * before


def test_blocks_are_computed_once_forward_and_once_backward():
    network, _, _ = build("resnet18")
    checkpoint_activations(network)
    calls = []
    network.layer1[0].conv2.register_forward_hook(lambda *_: calls.append(1))
    loss = network(torch.randn(2, 3, 32, 32)).sum()
    assert len(calls) == 1
    loss.backward()
    assert len(calls) == 2
    with torch.no_grad():
        network(torch.randn(2, 3, 32, 32))
    assert len(calls) == 3


def test_a_copy_recomputes_its_own_blocks():
    network, size_px, _ = build("resnet18")
    checkpoint_activations(network)
    clone = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    fresh, _, _ = build("resnet18")
    torch.testing.assert_close(two_steps(clone, size_px), two_steps(fresh, size_px), rtol=0, atol=0)


def test_a_backbone_without_blocks_is_refused():
    with pytest.raises(SelfcureError, match="made of blocks, such as resnet18"):
        checkpoint_activations(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.GELU())

    def forward(self, maps):
        return self.layers(maps)


@pytest.mark.slow  # the compiler's import
def test_compiled_it_computes_the_same():
    plain = nn.Sequential(nn.Sequential(Block(), Block()), nn.Flatten())
    images = torch.randn(2, 3, 8, 8)
    network = copy.deepcopy(plain)
    assert checkpoint_activations(network) == 2
    results = []
    for run in (plain, torch.compile(network, dynamic=False, backend="aot_eager")):
        run(images).square().sum().backward()
        results.append([p.grad for p in run.parameters()] + list(run.buffers()))
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-5)
