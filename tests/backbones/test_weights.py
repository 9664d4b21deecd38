"""Checkpoints in the published namings really load: features before and after agree."""

import os
from argparse import Namespace

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet18, resnet50

import selfcure
from selfcure.backbones import build_backbone, load_weights
from selfcure.errors import SelfcureError
from stripes import TINY

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def published():
    """torchvision's ResNet-18 with running statistics that are not the fresh ones."""
    torch.manual_seed(1)
    network = resnet18(weights=None)
    network.train()(IMAGES)
    return network.eval()


def features_of(published: nn.Module) -> torch.Tensor:
    return nn.Sequential(*list(published.children())[:-1])(IMAGES).flatten(1)


def public_scn_names(published: nn.Module) -> dict[str, torch.Tensor]:
    """As the public SCN code saves it: nn.Sequential of ResNet's children, attention and classifier beside it."""
    features = nn.Sequential(*list(published.children())[:-2])
    state = {f"features.{name}": value for name, value in features.state_dict().items()}
    return {
        **state,
        "alpha.0.weight": torch.zeros(1, 512),
        "alpha.0.bias": torch.zeros(1),
        "fc.weight": torch.zeros(7, 512),
    }


SHAPES = {
    "torchvision": lambda p: p.state_dict(),
    "without counters": lambda p: {k: v for k, v in p.state_dict().items() if "num_batches" not in k},
    "nested state_dict of DataParallel": lambda p: {
        "epoch": 3,
        "state_dict": {f"module.{k}": v for k, v in p.state_dict().items()},
    },
    "public SCN code": lambda p: {
        "iter": 7,
        "model_state_dict": public_scn_names(p),
        "optimizer_state_dict": {"state": {}},
    },
    "MoCo encoder": lambda p: {"state_dict": {f"module.encoder.{k}": v for k, v in p.state_dict().items()}},
    "numbered children": lambda p: nn.Sequential(*list(p.children())[:-1]).state_dict(),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("shape", SHAPES)
def test_published_shapes_load(published, tmp_path, shape, suffix):
    content, path = SHAPES[shape](published), tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(content, path)
    elif all(isinstance(v, torch.Tensor) for v in content.values()):
        save_file(content, path)
    else:
        pytest.skip("safetensors does not nest")
    backbone, _ = build_backbone("resnet18")
    report = load_weights(backbone, path)
    assert report.share == 1
    assert not report.missing
    assert not report.misshapen
    torch.testing.assert_close(backbone.eval()(IMAGES), features_of(published))


def set_apart(network: nn.Module) -> nn.Module:
    """No weight or statistic a fresh network could have too, in evaluation mode."""
    generator = torch.Generator().manual_seed(2)
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            tensor.data.mul_(1 + 0.1 * torch.rand(tensor.shape, generator=generator))
    return network.eval()


# timm's name, image size, and the classifier that is left over.
TIMM = {
    "resnet18": (64, {"fc.weight", "fc.bias"}),
    "mobilenetv3_small_050": (64, {"classifier.weight", "classifier.bias"}),
    "efficientnet_b0": (64, {"classifier.weight", "classifier.bias"}),
    "vit_tiny_patch16_224": (224, {"head.weight", "head.bias"}),
    "convnext_atto": (64, {"head.fc.weight", "head.fc.bias"}),
}


@pytest.mark.parametrize(
    ("name", "suffix"), [*((name, ".pth") for name in TIMM), ("resnet18", ".safetensors")]
)
def test_timm_checkpoints_give_timms_features(name, suffix, tmp_path):
    size_px, classifier = TIMM[name]
    images = torch.randn(2, 3, size_px, size_px, generator=torch.Generator().manual_seed(0))
    theirs = set_apart(timm.create_model(name))
    path = tmp_path / f"model{suffix}"
    save_file(theirs.state_dict(), path) if suffix == ".safetensors" else torch.save(
        theirs.state_dict(), path
    )
    ours, _ = build_backbone(name)
    report = load_weights(ours, path)
    assert report.share == 1
    assert set(report.unexpected) == classifier
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
        torch.testing.assert_close(ours.eval()(images), expected, rtol=1e-6, atol=1e-6)


def test_torchvision_resnet50_gives_torchvisions_features(tmp_path):
    theirs = set_apart(resnet50(weights=None))
    torch.save(theirs.state_dict(), tmp_path / "resnet50.pth")
    ours, _ = build_backbone("resnet50")
    assert load_weights(ours, tmp_path / "resnet50.pth").share == 1
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(IMAGES), features_of(theirs), rtol=1e-5, atol=1e-5)


def test_a_checkpoint_of_timms_training_script(published, tmp_path):
    content = {
        "epoch": 3,
        "arch": "resnet18",
        "state_dict": published.state_dict(),
        "optimizer": {"state": {}},
        "args": Namespace(model="resnet18", lr=0.1),
        "metric": torch.tensor(0.7),
    }
    torch.save(content, tmp_path / "last.pth.tar")
    assert load_weights(build_backbone("resnet18")[0], tmp_path / "last.pth.tar").share == 1


def test_a_classifier_of_a_layers_name_does_not_take_its_place(tmp_path):
    backbone, _ = build_backbone("compact")
    state = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    first = next(iter(backbone.state_dict()))
    torch.save({first: torch.zeros(7, 5)} | state, tmp_path / "both.pth")
    report = load_weights(backbone, tmp_path / "both.pth")
    assert report.share == 1
    assert report.unexpected == (first,)


def test_what_is_left_over_is_named(published, tmp_path):
    torch.save(public_scn_names(published), tmp_path / "scn.pth")
    backbone, _ = build_backbone("resnet18")
    report = load_weights(backbone, tmp_path / "scn.pth")
    assert report.unexpected == ("alpha.0.weight", "alpha.0.bias", "fc.weight")
    assert "3 unexpected (alpha.0.weight" in str(report)


def test_too_little_is_an_error_and_changes_nothing(published, tmp_path):
    state = {f"other.{k}" if "layer4" in k else k: v for k, v in published.state_dict().items()}
    torch.save(state, tmp_path / "half.pth")
    backbone, _ = build_backbone("resnet18")
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    with pytest.raises(SelfcureError, match=r"do not fit .* missing \(layer4.*at least 90 %"):
        load_weights(backbone, tmp_path / "half.pth")
    assert all(torch.equal(v, before[k]) for k, v in backbone.state_dict().items())
    assert load_weights(backbone, tmp_path / "half.pth", min_share=0).share < 0.5


def test_another_network_is_an_error(published, tmp_path):
    torch.save(published.state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(SelfcureError, match="do not fit"):
        load_weights(build_backbone("compact")[0], tmp_path / "resnet18.pth")


def test_another_shape_is_counted(tmp_path):
    backbone, _ = build_backbone("compact")
    state = backbone.state_dict()
    state["layers.0.weight"] = torch.zeros(16, 1, 3, 3)
    torch.save(state, tmp_path / "gray.pth")
    assert load_weights(backbone, tmp_path / "gray.pth").misshapen == ("layers.0.weight",)


class Malicious:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Malicious()}, "bad.pth")
    with pytest.raises(SelfcureError, match="without running code"):
        load_weights(build_backbone("compact")[0], "bad.pth")
    assert not os.path.exists("harmed")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.pth", None, "do not exist"),
        ("torn.safetensors", b"abc", "damaged"),
        ("torn.pth", b"abc", "damaged"),
    ],
)
def test_bad_files_are_one_clear_error(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SelfcureError, match=message):
        load_weights(build_backbone("compact")[0], tmp_path / name)


def test_a_list_is_no_checkpoint(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(SelfcureError, match="no named tensors"):
        load_weights(build_backbone("compact")[0], tmp_path / "list.pth")


def test_a_run_starts_from_another_run(stripes_folder, tmp_path):
    first = selfcure.train(stripes_folder, out=tmp_path / "first", method="scn", **TINY)
    second = selfcure.train(
        stripes_folder,
        out=tmp_path / "second",
        method="plain",
        weights=str(first.path),
        **{**TINY, "learning_rate": 0.0},
    )
    assert "100.0 % of the backbone" in second.document["weights"]
    before, after = (selfcure.training.api.load_run(run)[0].backbone for run in (first, second))
    for (name, a), b in zip(before.named_parameters(), after.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_any_timm_model_by_name_and_a_typo():
    network, num_features = build_backbone("mobilenetv3_small_050")
    assert network.eval()(IMAGES).shape == (2, num_features)
    with pytest.raises(SelfcureError, match="did you mean 'resnet18'"):
        build_backbone("resnet-18")
