"""Every backbone turns images into features of the size it names, with weights drawn from the seed."""

import pytest
import torch

from selfcure.backbones import BACKBONES, build_backbone, check_image_size
from selfcure.errors import SelfcureError
from selfcure.training.seeding import torch_seed

# Ours, and of timm's one of each way to end: pooled, with a hidden layer in the head, and a transformer.
NAMES = [*BACKBONES, "resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224"]


@pytest.mark.parametrize("name", NAMES)
def test_features_have_the_size_it_names(name):
    network, num_features = build_backbone(name)
    size = 224 if name.startswith("vit") else 48
    with torch.no_grad():
        features = network.eval()(torch.randn(2, 3, size, size))
    assert features.shape == (2, num_features)
    assert features.isfinite().all()
    assert not torch.equal(features[0], features[1])


@pytest.mark.parametrize("name", ["compact", "small", "resnet18"])
@pytest.mark.parametrize("size_px", [16, 48, 61])
def test_images_of_any_size_are_taken(name, size_px):
    network, num_features = build_backbone(name)
    with torch.no_grad():
        assert network.eval()(torch.randn(1, 3, size_px, size_px)).shape == (1, num_features)


@pytest.mark.parametrize("name", ["compact", "resnet18"])
def test_weights_belong_to_the_seed(name):
    states = []
    for seed in (1, 1, 2):
        with torch_seed(seed):
            states.append(build_backbone(name)[0].state_dict())
    first, same, other = states
    assert all(torch.equal(first[k], same[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


@pytest.mark.parametrize("name", ["compact", "small"])
def test_every_weight_gets_a_gradient(name):
    network, _ = build_backbone(name)
    network.train()(torch.randn(4, 3, 32, 32)).square().sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


def test_compact_is_much_smaller_than_resnet18():
    compact, resnet = (
        sum(p.numel() for p in build_backbone(n)[0].parameters()) for n in ("compact", "resnet18")
    )
    # 3·16 + 16·32 + 32·64 + 64² + 64·128 + 128² weights of 3 × 3, and two numbers of batch norm for each channel
    assert compact == 9 * (3 * 16 + 16 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128) + 2 * (
        16 + 32 + 2 * 64 + 2 * 128
    )
    assert resnet > 30 * compact


def test_small_is_a_residual_network_of_four_stages():
    network, _ = build_backbone("small")

    def block(before: int, width: int) -> int:  # two convolutions, their batch norms, and the shortcut's
        return 9 * width * (before + width) + 4 * width + (width * before + 2 * width) * (before != width)

    blocks = ((24, 24), (24, 48), (48, 48), (48, 96), (96, 96), (96, 160), (160, 160))
    assert sum(p.numel() for p in network.parameters()) == 27 * 24 + 48 + sum(block(*b) for b in blocks)
    image = torch.randn(1, 3, 48, 48)
    assert network.eval().forward_features(image).shape == (1, 160, 3, 3)
    block = network.stages[1][1]
    for parameter in block.convolutions.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(1, 48, 12, 12)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize(("name", "hint"), [("compat", "compact"), ("resnet-18", "resnet18")])
def test_an_unknown_name_is_refused_with_a_hint(name, hint):
    with pytest.raises(SelfcureError, match=rf"unknown backbone '{name}'; did you mean '{hint}'\?"):
        build_backbone(name)


@pytest.mark.parametrize(
    ("name", "size_px", "message"),
    [
        ("vit_tiny_patch16_224", 48, r"does not take images of 48 px: .*made for image_size_px=224$"),
        ("levit_128s", 48, r"images of 48 px: .*made for image_size_px=224$"),
        ("inception_v3", 48, r"images of 48 px: .*made for image_size_px=299$"),
    ],
)
def test_an_image_size_that_the_network_refuses_is_one_clear_line(name, size_px, message):
    network, _ = build_backbone(name)
    with pytest.raises(SelfcureError, match=message) as caught:
        check_image_size(network, size_px)
    assert "\n" not in str(caught.value)
    assert network.training


def test_checking_an_image_size_changes_nothing():
    network, _ = build_backbone("resnet18")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random_state = torch.get_rng_state()
    check_image_size(network.eval(), 48)
    assert not network.training
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
