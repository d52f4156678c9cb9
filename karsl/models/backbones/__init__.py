"""Backbones: (N, T, V, C) keypoints and their mask to (N, D) features."""

from karsl.discovery import import_modules
from karsl.models.backbones.bilstm import BiLSTM
from karsl.models.backbones.conv1d_transformer import Conv1DTransformer
from karsl.models.backbones.st_transformer import STTransformer
from karsl.models.backbones.stgcn import STGCN

__all__ = ["STGCN", "BiLSTM", "Conv1DTransformer", "STTransformer"]

import_modules(__name__, __path__)
