"""The backbones that a name on the command line can mean: ours, and every one of timm's."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from selfcure.backbones.compact import Compact
from selfcure.backbones.improved_resnet import IR50, IResNet50
from selfcure.backbones.small import Small
from selfcure.errors import SelfcureError

BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "compact": Compact,
    "small": Small,
    "ir50": IR50,
    "iresnet50": IResNet50,
}
"""Name → function that builds our own networks; any other name is timm's."""


def build_backbone(name: str) -> tuple[nn.Module, int]:
    """The backbone ``name`` with fresh weights drawn from torch's global generator, and D, its number of features.

    Args:
        name: a key of :data:`BACKBONES`, or any timm model, such as ``resnet18``; its classifier is left out.

    Raises:
        SelfcureError: there is no such backbone.

    >>> network, num_features = build_backbone("compact")
    >>> num_features
    128
    """
    if name in BACKBONES:
        network = BACKBONES[name]()
        return network, int(network.num_features)  # type: ignore[arg-type]
    import timm

    if not timm.is_model(name):
        near = get_close_matches(name, [*BACKBONES, *timm.list_models()], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise SelfcureError(
            f"unknown backbone {name!r}{hint} ({', '.join(BACKBONES)}, or any model of timm, for instance resnet18)"
        )
    network = timm.create_model(name, num_classes=0)
    # Some networks have a layer between pooling and classifier, so that num_features alone is not what comes out.
    num_features: Any = getattr(network, "head_hidden_size", None) or network.num_features
    return network, int(num_features)


def check_image_size(backbone: nn.Module, image_size_px: int) -> None:
    """Run one blank image through the backbone, since many transformers take images of one size only.

    Raises:
        SelfcureError: the backbone does not take square images of this size.
    """
    parameter, training = next(backbone.parameters()), backbone.training
    try:
        with torch.no_grad():
            backbone.eval()(parameter.new_zeros(1, 3, image_size_px, image_size_px))
    except (AssertionError, RuntimeError, ValueError) as error:  # each network refuses in its own way
        made_for: Any = getattr(backbone, "default_cfg", {}).get("input_size")
        hint = f"; it was made for image_size_px={made_for[-1]}" if made_for else ""
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SelfcureError(
            f"this backbone does not take images of {image_size_px} px: {reason.rstrip('.')}{hint}"
        ) from error
    finally:
        backbone.train(training)
