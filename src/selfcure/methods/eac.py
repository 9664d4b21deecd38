"""Erasing Attention Consistency: what the network looks at in a face and in its mirror image must be the same.

Paper: Zhang, Wang, Ling, Deng, "Learn From All: Erasing Attention Consistency for Noisy Label Facial Expression
Recognition", ECCV 2022.

From the map F [C, H, W] before global pooling, the class activation map of each class k is M_k(h, w) = Σ_c W_kc·F_c(h, w).
With M' the maps of the mirrored image:

    L = mean CE(W·pool(F), y) + λ·mean (M(h, w) − M'(h, W + 1 − w))²

The cross-entropy sees the image alone, not its mirror image; faces are randomly erased before they are mirrored, so
that a network cannot remember a wrong label by one part of a face.

Checked against the authors' public code (zyh-uaiaaaa/Erasing-Attention-Consistency): λ = 5, the mean over samples,
classes and places, both maps with gradient, W detached in the maps and no bias in them, one branch classified; erasing
as torchvision's with probability 0.5 and 2 to 25 % of the image. The paper itself was not at hand beyond its abstract
and introduction.

Different from the code: a mirror image is always that of the very image that was classified, erased rectangle and all;
the code does so for a file of clean labels, but for noisy ones erases the two on their own. The recipe ``reference``
leaves erasing to its augmentation, which is the code's; ``paper``, whose augmentation has none, erases here, and cuts
a rectangle that does not fit where torchvision draws again.
"""

from dataclasses import dataclass
from math import log
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfcure.core import Batch, StepOutput
from selfcure.errors import SelfcureError
from selfcure.methods.base import Forward, Method, Outputs


@dataclass(frozen=True, kw_only=True)
class EacConfig:
    """Settings of EAC."""

    attention_weight: float = 5.0
    """λ, weight of the difference between attention maps."""
    erase_probability: float = 0.5
    """Share of the images that lose a rectangle here, beside what the augmentation does."""
    bias: bool = False
    """Give the classifier a bias."""

    def __post_init__(self) -> None:
        if not 0 <= self.attention_weight < float("inf"):
            raise SelfcureError(f"attention_weight must be at least 0, not {self.attention_weight}")
        if not 0 <= self.erase_probability <= 1:
            raise SelfcureError(f"erase_probability must lie in 0 … 1, not {self.erase_probability}")


class EacNet(nn.Module):
    """Backbone and linear classifier, whose weights make the attention maps too."""

    backbone: Any  # forward_features and forward_head are timm's, not nn.Module's

    def __init__(self, backbone: nn.Module, num_features: int, num_classes: int, *, bias: bool):
        super().__init__()
        check_feature_map(backbone, num_features)
        self.backbone = backbone
        self.classifier = nn.Linear(num_features, num_classes, bias=bias)

    def forward(self, images: Tensor) -> Outputs:
        feature_map = self.backbone.forward_features(images)  # [B, C, H, W]
        outputs = {"logits": self.classifier(self.backbone.forward_head(feature_map, pre_logits=True))}
        if not self.training:
            return outputs
        attention = torch.einsum("bchw,kc->bkhw", feature_map, self.classifier.weight.detach())
        return {**outputs, "attention": attention}


class Eac(Method):
    """Cross-entropy, and attention that mirrors with the face.

    Score ``consistency``: 1/(1 + mean squared difference of a sample's maps), in (0, 1]; higher is more trusted.

    Raises:
        SelfcureError: the backbone does not end in feature maps that are averaged.
    """

    Config = EacConfig
    recipes: ClassVar = {
        "paper": EacConfig(),
        "reference": EacConfig(erase_probability=0.0, bias=True),
        "modern": EacConfig(bias=True),
    }

    def __init__(self, config: EacConfig, *, backbone: nn.Module, num_features: int, num_classes: int):
        self.config, self.backbone = config, backbone
        self.module = EacNet(backbone, num_features, num_classes, bias=config.bias)

    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        images = batch.images
        if self.config.erase_probability > 0:
            # Drawn for the whole batch and before the network draws: the same numbers in every process.
            draws = torch.rand(len(batch.ids), 5)[batch.part]
            images = erase(images, draws, probability=self.config.erase_probability)
        outputs = forward(images)
        gaps = attention_gap(outputs["attention"], forward(images.flip(3))["attention"])  # [B]
        ce, gap = F.cross_entropy(outputs["logits"], batch.given_labels), gaps.mean()
        return StepOutput(
            loss=ce + self.config.attention_weight * gap,
            logits=outputs["logits"],
            terms={"ce": ce, "attention_gap": gap},
            scores={"consistency": 1 / (1 + gaps.detach())},
        )


def attention_gap(attention: Tensor, mirrored: Tensor) -> Tensor:
    """Mean squared difference between the maps of an image and those of its mirror image, mirrored back.

    Args:
        attention, mirrored: [B, K, H, W].

    Returns:
        [B] ≥ 0; lower is more consistent.

    The mirrored map is 3, 2, 1 the right way round, so the differences are 0, 0 and 3:

    >>> attention_gap(torch.tensor([[[[3.0, 2.0, 4.0]]]]), torch.tensor([[[[1.0, 2.0, 3.0]]]]))
    tensor([3.])
    """
    return (attention - mirrored.flip(3)).square().mean(dim=(1, 2, 3))


def erase(images: Tensor, draws: Tensor, *, probability: float) -> Tensor:
    """Zero, the mean colour of normalised images, in a rectangle of 2 to 25 % of some images.

    Args:
        images: [b, 3, H, W]; not changed.
        draws: [b, 5] in [0, 1).
        probability: share of the images that are erased.
    """
    height, width = images.shape[2:]
    draws = draws.to(images.device)
    share = 0.02 + 0.23 * draws[:, 0]
    aspect = (log(0.3) + (log(3.3) - log(0.3)) * draws[:, 1]).exp()  # height ÷ width
    inside = (draws[:, 4] < probability)[:, None, None]  # [b, H, W] in the end
    for side, ratio, place, dim in ((height, aspect, draws[:, 2], 2), (width, 1 / aspect, draws[:, 3], 1)):
        extent = (share * height * width * ratio).sqrt().round().clamp(1, side - 1)  # [b]
        start = (place * (side - extent + 1)).floor()
        at = torch.arange(side, device=images.device)
        within = (at >= start[:, None]) & (at < (start + extent)[:, None])  # [b, side]
        inside = inside & within.unsqueeze(dim)
    return images.masked_fill(inside[:, None], 0)


@torch.no_grad()
def check_feature_map(backbone: Any, num_features: int) -> None:
    """Try one image.

    Raises:
        SelfcureError: there is no map [B, C, H, W] with C = ``num_features`` that is pooled over its places.
    """
    has = "no such maps"
    if hasattr(backbone, "forward_features") and hasattr(backbone, "forward_head"):
        was_training = backbone.training
        backbone.eval()
        size = getattr(backbone, "default_cfg", {}).get("input_size", (3, 64, 64))
        shape = backbone.forward_features(torch.zeros(1, *size)).shape
        has = f"maps {list(shape)}"
        if len(shape) == 4 and shape[1] == num_features:
            has = "a dense layer over its maps"  # which looks at each place in its own way
            ramp = torch.linspace(-1, 1, shape.numel()).view(shape)
            one, mirrored = (backbone.forward_head(m, pre_logits=True) for m in (ramp, ramp.flip(3)))
            if torch.allclose(one, mirrored, atol=1e-4):
                has = ""
        backbone.train(was_training)
    if has:
        raise SelfcureError(
            f"eac makes attention maps from feature maps [B, {num_features}, H, W] that are averaged; this backbone has "
            f"{has}: choose compact or a network like resnet18"
        )
