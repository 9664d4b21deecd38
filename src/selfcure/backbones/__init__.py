"""Backbones: image [B, 3, H, W] → pooled features [B, D]."""

from selfcure.backbones.registry import BACKBONES, build_backbone
from selfcure.backbones.weights import WeightsReport, load_weights

__all__ = ["BACKBONES", "WeightsReport", "build_backbone", "load_weights"]
