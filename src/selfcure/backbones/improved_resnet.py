"""The 50-layer face network of improved residual blocks (IR-50; Deng et al. 2019, ArcFace), as it was published twice.

Both have a 3 × 3 stem at full resolution, 3 + 4 + 14 + 3 blocks that halve the image four times, batch norm before the
first convolution of a block and the stride in its second, and one dense layer over the 7 × 7 map to 512 features. They
differ within the block and in its shortcut, so neither loads the other's weights:

- :class:`IR50` is face.evoLVe's ``IR_50`` (ZhaoJ9014/face.evoLVe, ``backbone/model_irse.py``),
- :class:`IResNet50` is InsightFace's ``iresnet50`` (deepinsight/insightface, ``recognition/arcface_torch``).

Modules bear the published names, so that the published checkpoints load literally.

Where we differ: the dense layer is that of 112-px images at every size. Published code makes another one, four times as
large, for 224 px (no such weights were found); here a map that is not 7 × 7 is averaged to it first. At 112 px the
features are exactly the published network's.
"""

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

_GRID = 7  # side of the map of a 112-px image


class FaceNetwork(nn.Module):
    """Images [B, 3, H, W] → features [B, 512], by way of maps [B, 512, H/16, W/16], rounded up."""

    num_features = 512

    def forward_features(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Maps → features [B, 512]; ``pre_logits`` is timm's and changes nothing here: there is no classifier."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))


class IR50(FaceNetwork):
    """face.evoLVe's IR-50: BN, conv, PReLU, conv, BN beside a plain shortcut; half of the map is dropped at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(_conv3x3(3, 64), nn.BatchNorm2d(64), nn.PReLU(64))
        self.body = nn.Sequential(*(IRBlock(*shape) for stage in _stages() for shape in stage))
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(512 * _GRID**2, 512),
            nn.BatchNorm1d(512),
        )

    def forward_features(self, images: Tensor) -> Tensor:
        return self.body(self.input_layer(images))

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        return self.output_layer(_to_grid(features))


class IRBlock(nn.Module):
    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.Identity()
        if in_channels != channels:
            self.shortcut_layer = _projection(in_channels, channels, stride)
        elif stride > 1:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            _conv3x3(in_channels, channels),
            nn.PReLU(channels),
            _conv3x3(channels, channels, stride),
            nn.BatchNorm2d(channels),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.res_layer(maps) + self.shortcut_layer(maps)


class IResNet50(FaceNetwork):
    """InsightFace's iresnet50: one batch norm more in the block, and a projection wherever the block halves the map.

    Its last batch norm learns its scale here, which is fixed at 1 where faces are told apart by angle.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv3x3(3, 64)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(*(IBasicBlock(*shape) for shape in stage)) for stage in _stages()
        )
        self.bn2 = nn.BatchNorm2d(512)
        self.fc = nn.Linear(512 * _GRID**2, 512)
        self.features = nn.BatchNorm1d(512)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.1)

    def forward_features(self, images: Tensor) -> Tensor:
        maps = self.prelu(self.bn1(self.conv1(images)))
        return self.layer4(self.layer3(self.layer2(self.layer1(maps))))

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        return self.features(self.fc(self.bn2(_to_grid(features)).flatten(1)))


class IBasicBlock(nn.Module):
    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = _conv3x3(in_channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)
        self.prelu = nn.PReLU(channels)
        self.conv2 = _conv3x3(channels, channels, stride)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample = _projection(in_channels, channels, stride) if stride > 1 else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.prelu(self.bn2(self.conv1(self.bn1(maps))))
        return self.bn3(self.conv2(branch)) + self.downsample(maps)


def _stages() -> list[list[tuple[int, int, int]]]:
    """(channels in, channels out, stride) of every block of the four stages; the first of each halves the map."""
    stages, in_channels = [], 64
    for channels, depth in ((64, 3), (128, 4), (256, 14), (512, 3)):
        stages.append([(in_channels, channels, 2)] + [(channels, channels, 1)] * (depth - 1))
        in_channels = channels
    return stages


def _conv3x3(in_channels: int, channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)


def _projection(in_channels: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))


def _to_grid(maps: Tensor) -> Tensor:
    # Pooling 7 × 7 to itself would be exact too, but its gradient is not deterministic on CUDA.
    return maps if maps.shape[-2:] == (_GRID, _GRID) else adaptive_avg_pool2d(maps, _GRID)
