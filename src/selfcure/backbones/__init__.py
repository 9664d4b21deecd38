"""Backbones: image [B, 3, H, W] → pooled features [B, D]."""

from selfcure.backbones.registry import BACKBONES, build_backbone

__all__ = ["BACKBONES", "build_backbone"]
