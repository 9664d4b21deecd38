"""Backbones: image [B, 3, H, W] → pooled features [B, D]."""

from selfcure.backbones.checkpointing import checkpoint_activations
from selfcure.backbones.registry import BACKBONES, build_backbone, check_image_size
from selfcure.backbones.weights import WeightsReport, load_weights

__all__ = [
    "BACKBONES",
    "WeightsReport",
    "build_backbone",
    "check_image_size",
    "checkpoint_activations",
    "load_weights",
]
