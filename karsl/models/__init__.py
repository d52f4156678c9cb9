"""Recognisers: a baseline to start from and the parts to build others."""

from karsl.models.data_preprocessor import KeypointDataPreprocessor
from karsl.models.head import ClassifierHead
from karsl.models.recognizer import KeypointRecognizer
from karsl.models.st_transformer import STTransformer

__all__ = ["ClassifierHead", "KeypointDataPreprocessor", "KeypointRecognizer", "STTransformer"]
