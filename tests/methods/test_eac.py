"""EAC's attention maps and their difference against loops, erasing, and the backbones it takes."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from selfcure.backbones import build_backbone
from selfcure.core import Batch
from selfcure.errors import SelfcureError
from selfcure.methods.eac import Eac, EacConfig, attention_gap, erase

SIZE, CLASSES = 6, 3


class Tiny(nn.Module):
    """A map of 4 channels, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward_features(self, images):
        return self.conv(images).relu()

    def forward_head(self, features, pre_logits=True):
        return features.mean((2, 3))


class Symmetric(Tiny):
    """The same, of the image and its mirror image: attention mirrors with the face."""

    def forward_features(self, images):
        return super().forward_features(images) + super().forward_features(images.flip(3)).flip(3)


def build(backbone: type[Tiny] = Tiny, **setting) -> Eac:
    torch.manual_seed(0)
    return Eac(EacConfig(**setting), backbone=backbone(), num_features=4, num_classes=CLASSES)


def make_batch(dtype: torch.dtype = torch.float32) -> Batch:
    labels = torch.arange(SIZE) % CLASSES
    images = torch.randn(SIZE, 3, 5, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    return Batch(torch.arange(SIZE), images, labels, labels, epoch=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_is_that_of_a_loop(dtype):
    method, batch = build(attention_weight=5.0, erase_probability=0.0, bias=True), make_batch(dtype)
    method.module.to(dtype)
    output = method.step(batch, method.module)
    weight = method.module.classifier.weight
    gaps = []
    for image in batch.images:
        maps, mirrored = (method.backbone.forward_features(i[None])[0] for i in (image, image.flip(2)))
        squares = [
            ((weight[k] @ maps[:, y, x]) - (weight[k] @ mirrored[:, y, 7 - x])) ** 2
            for k in range(CLASSES)
            for y in range(5)
            for x in range(8)
        ]
        gaps.append(sum(squares) / len(squares))
    ce = F.cross_entropy(output.logits, batch.given_labels)
    torch.testing.assert_close(output.loss, ce + 5 * torch.stack(gaps).mean())
    torch.testing.assert_close(output.scores["consistency"], 1 / (1 + torch.stack(gaps).detach()))


def test_maps_average_to_the_logits():
    method, images = build(), make_batch().images
    outputs = method.module.train()(images)
    torch.testing.assert_close(outputs["attention"].mean((2, 3)), outputs["logits"])


def test_a_value_by_hand():
    # Two classes of one row and two columns; mirrored back [2, 1] and [5, 3]: squares 1, 1, 0 and 4, mean 1.5.
    attention = torch.tensor([[[[1.0, 2.0]], [[5.0, 5.0]]]])
    mirrored = torch.tensor([[[[1.0, 2.0]], [[3.0, 5.0]]]])
    assert attention_gap(attention, mirrored).tolist() == [1.5]


def test_without_attention_it_is_cross_entropy():
    method, batch = build(attention_weight=0.0, erase_probability=0.0), make_batch()
    output = method.step(batch, method.module)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, batch.given_labels))


def test_attention_that_mirrors_costs_nothing():
    method, batch = build(Symmetric), make_batch()
    output = method.step(batch, method.module)
    assert output.terms["attention_gap"].item() == pytest.approx(0, abs=1e-10)
    torch.testing.assert_close(output.scores["consistency"], torch.ones(SIZE))


def test_the_gap_moves_the_backbone_and_not_the_classifier():
    method, batch = build(erase_probability=0.0), make_batch()
    method.step(batch, method.module).terms["attention_gap"].backward()
    assert method.backbone.conv.weight.grad.abs().sum() > 0
    assert method.module.classifier.weight.grad is None


def test_gradient_reaches_both_images():
    attention, mirrored = (
        torch.randn(
            2, 2, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        ).requires_grad_()
        for seed in (0, 1)
    )
    assert torch.autograd.gradcheck(attention_gap, (attention, mirrored))


def test_the_mirror_image_is_that_of_the_erased_one():
    method, batch, seen = build(erase_probability=1.0), make_batch(), []

    def forward(images):
        seen.append(images)
        return method.module(images)

    before = batch.images.clone()
    method.step(batch, forward)
    assert torch.equal(seen[1], seen[0].flip(3))
    assert (seen[0] == 0).all(1).flatten(1).any(1).all(), "every image has lost something"
    assert torch.equal(batch.images, before)


def test_parts_are_erased_as_in_the_whole_batch():
    method, batch, seen = build(erase_probability=1.0), make_batch(), []

    def forward(images):
        seen.append(images)
        return method.module(batch.images)

    for part in (slice(None), slice(0, 2), slice(2, 6)):
        torch.manual_seed(0)
        method.step(dataclasses.replace(batch, images=batch.images[part], part=part), forward)
    assert torch.equal(torch.cat([seen[2], seen[4]]), seen[0])


def test_erases_a_rectangle_of_its_share():
    images = torch.ones(300, 3, 24, 30)
    draws = torch.rand(300, 5, generator=torch.Generator().manual_seed(0))
    erased = erase(images, draws, probability=0.5)
    assert torch.equal(images, torch.ones_like(images))
    gone = (erased == 0).all(1)
    assert torch.equal(gone, (erased == 0).any(1)), "all channels alike"
    hit = gone.flatten(1).any(1)
    assert torch.equal(hit, draws[:, 4] < 0.5)
    for mask in gone[hit]:
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        height, width = (int(x.max() - x.min()) + 1 for x in (rows, columns))
        assert mask.sum() == height * width
        assert 0.01 < height * width / (24 * 30) < 0.28
    assert torch.equal(erase(images, draws, probability=0.0), images)


@pytest.mark.parametrize("name", ["compact", "resnet18"])
def test_convolutional_backbones_are_taken(name):
    backbone, num_features = build_backbone(name)
    backbone.train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    method = Eac(EacConfig(), backbone=backbone, num_features=num_features, num_classes=CLASSES)
    assert backbone.training
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    outputs = method.module.train()(torch.zeros(2, 3, 64, 64))
    assert outputs["attention"].shape[:2] == (2, CLASSES)
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(
        method.module.eval()(images)["logits"], method.module.classifier(backbone(images))
    )


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("vit_tiny_patch16_224", r"maps \[1, 197, 192\]"),
        ("swin_tiny_patch4_window7_224", r"maps \[1, 7, 7, 768\]"),
        ("ir50", "a dense layer over its maps"),
    ],
)
def test_other_backbones_are_refused(name, has):
    backbone, num_features = build_backbone(name)
    with pytest.raises(SelfcureError, match=rf"this backbone has {has}: choose compact"):
        Eac(EacConfig(), backbone=backbone, num_features=num_features, num_classes=CLASSES)


def test_a_backbone_without_maps_is_refused():
    with pytest.raises(SelfcureError, match="this backbone has no such maps"):
        Eac(EacConfig(), backbone=nn.Flatten(), num_features=4, num_classes=CLASSES)


def test_inference_has_no_maps():
    assert set(build().module.eval()(make_batch().images)) == {"logits"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"attention_weight": -1.0}, "attention_weight must be at least 0, not -1.0"),
        ({"erase_probability": 1.5}, "erase_probability must lie in 0 … 1, not 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(SelfcureError, match=message):
        EacConfig(**setting)
