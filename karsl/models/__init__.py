"""Recognizers, backbones, heads and data preprocessors."""

from karsl.discovery import import_modules
from karsl.models.backbones import STTransformer
from karsl.models.data_preprocessor import KeypointDataPreprocessor
from karsl.models.head import ClassifierHead
from karsl.models.recognizer import KeypointRecognizer

__all__ = ["ClassifierHead", "KeypointDataPreprocessor", "KeypointRecognizer", "STTransformer"]

import_modules(__name__, __path__)
