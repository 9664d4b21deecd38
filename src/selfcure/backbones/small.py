"""A small residual network for faces of about 48 pixels: the one of the model in the box."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import relu

_WIDTHS = (24, 48, 96, 160)
_DEPTHS = (1, 2, 2, 2)


class Small(nn.Module):
    """Seven residual blocks in four stages, 1.2 million parameters; images of 48 px are seen at 24, 12, 6 and 3.

    A ResNet (He et al. 2016, arXiv:1512.03385) that starts with a 3 × 3 convolution of stride 2 and no pooling, so that
    small faces keep their detail, and that averages before it projects (ResNet-D: He et al. 2019, arXiv:1812.01187).
    """

    num_features = _WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_convolution(3, _WIDTHS[0], stride=2), nn.ReLU())
        stages = []
        for stage, (before, width) in enumerate(pairwise((_WIDTHS[0], *_WIDTHS))):
            first = _Block(before, width, stride=2 if stage else 1)
            stages.append(nn.Sequential(first, *(_Block(width, width) for _ in range(_DEPTHS[stage] - 1))))
        self.stages = nn.Sequential(*stages)

    def forward_features(self, images: Tensor) -> Tensor:
        """The map before pooling, [B, 160, H/16, W/16]; by the name that timm's networks have for it."""
        return self.stages(self.stem(images))

    def forward_head(self, features: Tensor, pre_logits: bool = True) -> Tensor:
        """The map averaged, [B, 160]; there is no classifier to leave out."""
        return features.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))


class _Block(nn.Module):
    """relu(x + two convolutions of x)."""

    def __init__(self, before: int, width: int, *, stride: int = 1):
        super().__init__()
        self.convolutions = nn.Sequential(
            *_convolution(before, width, stride=stride), nn.ReLU(), *_convolution(width, width)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != width:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(before, width, 1, bias=False),
                nn.BatchNorm2d(width),
            )

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.convolutions(x) + self.shortcut(x))


def _convolution(before: int, width: int, *, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(before, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width)
