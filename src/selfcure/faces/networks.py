"""The three networks of MTCNN under the names of facenet-pytorch, whose wheel carries their weights.

That package is not imported: it would import torchvision, which takes longer than all else a small job does.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from selfcure.errors import SelfcureError


@dataclass(frozen=True)
class _Shape:
    """Convolutions as (channels, kernel, pooling window or 0), inputs and outputs of a dense layer, heads by size."""

    convolutions: tuple[tuple[int, int, int], ...]
    dense: tuple[int, int] | None
    heads: tuple[tuple[str, int], ...]
    """The first is of scores, the second of shifts, a third of landmarks."""


SHAPES = {
    "pnet": _Shape(((10, 3, 2), (16, 3, 0), (32, 3, 0)), None, (("conv4_1", 2), ("conv4_2", 4))),
    "rnet": _Shape(((28, 3, 3), (48, 3, 3), (64, 2, 0)), (576, 128), (("dense5_1", 2), ("dense5_2", 4))),
    "onet": _Shape(
        ((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)),
        (1152, 256),
        (("dense6_1", 2), ("dense6_2", 4), ("dense6_3", 10)),
    ),
}


class CascadeNetwork(nn.Module):
    """One of :data:`SHAPES`, with its weights.

    Raises:
        SelfcureError: facenet-pytorch is not installed, or its weights are not there.
    """

    def __init__(self, name: str):
        super().__init__()
        shape = SHAPES[name]
        self._steps: list[str] = []
        channels = 3
        for number, (width, kernel, window) in enumerate(shape.convolutions, 1):
            self._add(f"conv{number}", nn.Conv2d(channels, width, kernel))
            self._add(f"prelu{number}", nn.PReLU(width))
            if window:
                self._add(f"pool{number}", nn.MaxPool2d(window, 2, ceil_mode=True))
            channels = width
        if shape.dense:
            number = len(shape.convolutions) + 1
            self._add("flat", _Columns())
            self._add(f"dense{number}", nn.Linear(*shape.dense))
            self._add(f"prelu{number}", nn.PReLU(shape.dense[1]))
        self._heads = [head for head, _ in shape.heads]
        for head, size in shape.heads:
            layer = nn.Linear(shape.dense[1], size) if shape.dense else nn.Conv2d(channels, size, 1)
            self.add_module(head, layer)
        self.load_state_dict(_weights(name))
        self.eval()

    def _add(self, name: str, layer: nn.Module) -> None:
        self.add_module(name, layer)
        self._steps.append(name)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """From [N, 3, H, W], (RGB - 127.5) / 128, probability of a face, shift of the box, and perhaps landmarks.

        The first network gives maps, [N, h, w] and [N, 4, h, w]; the others [N], [N, 4] and [N, 10].
        """
        for name in self._steps:
            pixels = self.get_submodule(name)(pixels)
        logits, *others = (self.get_submodule(name)(pixels) for name in self._heads)
        return (logits.softmax(1)[:, 1], *others)


class _Columns(nn.Module):
    """[N, C, H, W] → [N, W · H · C], the order of the Caffe model that the weights come from."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.permute(0, 3, 2, 1).flatten(1)


def _weights(name: str) -> dict[str, Tensor]:
    package = find_spec("facenet_pytorch")
    places = (package and package.submodule_search_locations) or []
    files = [file for place in places if (file := Path(place) / "data" / f"{name}.pt").is_file()]
    if not files:
        raise SelfcureError(
            "detector 'mtcnn' needs the weights of facenet-pytorch: pip install facenet-pytorch"
        )
    return torch.load(files[0], weights_only=True)
