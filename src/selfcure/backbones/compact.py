"""A small network for demos and tests: eight times cheaper than ResNet-18 and quick to learn small faces."""

from torch import Tensor, nn


class Compact(nn.Module):
    """Six 3 × 3 convolutions with batch norm, halved by max pooling after the first, second and fourth, then averaged.

    It works at full resolution before it pools: on 48-px faces ResNet's strided stem loses what tells lids and lips
    apart, and learns several times more slowly.
    """

    num_features = 128

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        for stage, (channels, depth) in enumerate(((16, 1), (32, 1), (64, 2), (128, 2))):
            for _ in range(depth):
                layers += [nn.Conv2d(width, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
                layers.append(nn.ReLU(inplace=True))
                width = channels
            if stage < 3:
                layers.insert(-1, nn.MaxPool2d(2))  # before the ReLU: the same, on a quarter of the values
        self.layers = nn.Sequential(*layers)

    def forward_features(self, images: Tensor) -> Tensor:
        """The map before pooling, [B, 128, H/8, W/8]; by the name that timm's networks have for it."""
        return self.layers(images)

    def forward_head(self, features: Tensor, pre_logits: bool = True) -> Tensor:
        """The map averaged, [B, 128]; there is no classifier to leave out."""
        return features.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))
