"""Recognizers, backbones, heads and data preprocessors."""

from karsl.discovery import import_modules
from karsl.models.backbones import STGCN, BiLSTM, Conv1DTransformer, STTransformer
from karsl.models.data_preprocessor import KeypointDataPreprocessor
from karsl.models.head import ClassifierHead
from karsl.models.recognizer import KeypointRecognizer

__all__ = [
    "STGCN",
    "BiLSTM",
    "ClassifierHead",
    "Conv1DTransformer",
    "KeypointDataPreprocessor",
    "KeypointRecognizer",
    "STTransformer",
]

import_modules(__name__, __path__)
