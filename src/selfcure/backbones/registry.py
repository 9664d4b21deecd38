"""The backbones that a name on the command line can mean."""

from collections.abc import Callable

from torch import nn

from selfcure.backbones.compact import Compact
from selfcure.errors import check_choice


def _resnet18() -> nn.Module:
    import timm

    return timm.create_model("resnet18", num_classes=0)


BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "compact": Compact,
    "resnet18": _resnet18,
}
"""Name → function that builds the network with fresh weights and no classifier."""


def build_backbone(name: str) -> tuple[nn.Module, int]:
    """The backbone ``name`` with fresh weights drawn from torch's global generator, and D, its number of features.

    Raises:
        SelfcureError: there is no such backbone.
    """
    check_choice("backbone", name, BACKBONES)
    network = BACKBONES[name]()
    return network, int(network.num_features)  # type: ignore[arg-type]
