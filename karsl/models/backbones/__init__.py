"""Backbones: (N, T, V, C) keypoints and their mask to (N, D) features."""

from karsl.discovery import import_modules
from karsl.models.backbones.st_transformer import STTransformer

__all__ = ["STTransformer"]

import_modules(__name__, __path__)
