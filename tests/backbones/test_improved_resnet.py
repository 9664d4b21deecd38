"""IR-50 in both published topologies: checkpoints in the published names give the published network's features.

The two references below are written from the published files, plainly and at 112 px only:
ZhaoJ9014/face.evoLVe ``backbone/model_irse.py`` and deepinsight/insightface
``recognition/arcface_torch/backbones/iresnet.py``.
"""

import pytest
import torch
from torch import nn

from selfcure.backbones import build_backbone, load_weights
from selfcure.errors import SelfcureError
from selfcure.training.config import resolve

IMAGES = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1
STAGES = ((64, 64, 3), (64, 128, 4), (128, 256, 14), (256, 512, 3))  # channels in, out, blocks


class EvolveBlock(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        if cin == cout:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(cin, cout, (1, 1), stride, bias=False), nn.BatchNorm2d(cout)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(cin),
            nn.Conv2d(cin, cout, (3, 3), (1, 1), 1, bias=False),
            nn.PReLU(cout),
            nn.Conv2d(cout, cout, (3, 3), stride, 1, bias=False),
            nn.BatchNorm2d(cout),
        )

    def forward(self, x):
        return self.shortcut_layer(x) + self.res_layer(x)


class Evolve(nn.Module):
    def __init__(self, side=7):
        super().__init__()
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, 64, (3, 3), 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)
        )
        blocks = []
        for cin, cout, num in STAGES:
            blocks += [EvolveBlock(cin, cout, 2)] + [EvolveBlock(cout, cout, 1) for _ in range(num - 1)]
        self.body = nn.Sequential(*blocks)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512),
            nn.Dropout(),
            nn.Flatten(),
            nn.Linear(512 * side * side, 512),
            nn.BatchNorm1d(512),
        )

    def forward(self, x):
        return self.output_layer(self.body(self.input_layer(x)))


class InsightBlock(nn.Module):
    def __init__(self, cin, cout, stride, downsample):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(cin, eps=1e-05)
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout, eps=1e-05)
        self.prelu = nn.PReLU(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(cout, eps=1e-05)
        self.downsample = downsample

    def forward(self, x):
        out = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return out + (x if self.downsample is None else self.downsample(x))


class Insight(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64, eps=1e-05)
        self.prelu = nn.PReLU(64)
        for number, (cin, cout, num) in enumerate(STAGES, 1):
            down = nn.Sequential(
                nn.Conv2d(cin, cout, 1, stride=2, bias=False), nn.BatchNorm2d(cout, eps=1e-05)
            )
            blocks = [InsightBlock(cin, cout, 2, down)]
            blocks += [InsightBlock(cout, cout, 1, None) for _ in range(num - 1)]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.bn2 = nn.BatchNorm2d(512, eps=1e-05)
        self.dropout = nn.Dropout(p=0, inplace=True)
        self.fc = nn.Linear(512 * 7 * 7, 512)
        self.features = nn.BatchNorm1d(512, eps=1e-05)

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.features(self.fc(self.dropout(torch.flatten(self.bn2(x), 1))))


PUBLISHED = {"ir50": Evolve, "iresnet50": Insight}

SHAPES = {
    "bare": lambda state: state,
    "DataParallel with its ArcFace head": lambda state: {
        "state_dict": {"head.kernel": torch.zeros(512, 9), "fc.weight": torch.zeros(7, 512)}
        | {f"module.{k}": v for k, v in state.items()},
        "best_acc": torch.tensor(0.9),
    },
    "arcface_torch's checkpoint_gpu_0.pt": lambda state: {
        "epoch": 20,
        "state_dict_backbone": state,
        "state_dict_softmax_fc": {"weight": torch.zeros(9, 512)},
        "state_optimizer": {"state": {}},
    },
}


@pytest.fixture(scope="module", params=PUBLISHED)
def published(request):
    """The published network's weights (no statistic a fresh one) and features, and our network of that name."""
    torch.manual_seed(1)
    network = PUBLISHED[request.param]().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.1)
    with torch.no_grad():
        return network.state_dict(), network(IMAGES), build_backbone(request.param)[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_published_checkpoints_give_the_published_features(published, tmp_path, shape):
    state, features, ours = published
    path = tmp_path / "backbone.pth"
    torch.save(SHAPES[shape](state), path)
    for tensor in ours.state_dict().values():
        tensor.zero_()
    report = load_weights(ours, path)
    path.unlink()  # 170 MB
    assert report.share == 1
    assert not report.missing
    assert not report.misshapen
    assert len(report.unexpected) == (2 if "head" in shape else 0)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(IMAGES), features, rtol=1e-6, atol=1e-6)


def test_features_are_the_head_on_the_maps(published):
    *_, network = published
    network.eval()
    images = torch.randn(1, 3, 48, 48)
    with torch.no_grad():
        features = network.forward_head(network.forward_features(images), pre_logits=True)
        torch.testing.assert_close(features, network(images))


def test_at_224_px_the_dense_layer_sees_the_mean_of_every_2_by_2(published):
    *_, network = published
    network.eval()
    maps = torch.randn(2, 512, 14, 14)
    means = maps.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    with torch.no_grad():
        torch.testing.assert_close(network.forward_head(maps), network.forward_head(means))


def test_every_weight_gets_a_gradient(published):
    *_, network = published
    network.train()(torch.randn(3, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes(name):
    with torch.device("meta"):
        network, num_features = build_backbone(name)
        theirs = PUBLISHED[name]()
        for size_px, side in ((224, 14), (112, 7), (48, 3), (50, 4)):
            maps = network.forward_features(torch.zeros(2, 3, size_px, size_px))
            assert maps.shape == (2, 512, side, side)
            assert network.forward_head(maps).shape == (2, num_features)
    shapes = [{k: v.shape for k, v in n.state_dict().items()} for n in (network, theirs)]
    assert shapes[0] == shapes[1]


def test_the_two_have_no_name_in_common():
    with torch.device("meta"):
        first, second = (build_backbone(name)[0].state_dict().keys() for name in PUBLISHED)
    assert not first & second


def test_the_output_layer_of_224_px_does_not_fit(tmp_path):
    network, _ = build_backbone("ir50")
    large = torch.zeros(()).expand(512, 512 * 14 * 14)  # takes no room on disk
    torch.save(network.state_dict() | {"output_layer.3.weight": large}, tmp_path / "ir50.pth")
    with pytest.raises(SelfcureError, match=r"1 misshapen \(output_layer.3.weight\)"):
        load_weights(network, tmp_path / "ir50.pth")
    (tmp_path / "ir50.pth").unlink()


def test_their_normalisation_can_be_set():
    train = resolve("plain", "paper", mean="0.5,0.5,0.5", std="0.5,0.5,0.5", backbone="ir50").train
    assert train.mean == train.std == (0.5, 0.5, 0.5)
