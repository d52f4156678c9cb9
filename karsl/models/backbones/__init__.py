"""Backbones: (N, T, V, C) keypoints and their mask to (N, D) features."""

from karsl.models.backbones.st_transformer import STTransformer

__all__ = ["STTransformer"]
