"""Recorded, not executed: datasets, steps and mixes that are done item by item."""

from karsl.datasets.lazy.dataset import LazyDataset
from karsl.datasets.lazy.encoder import Encoder
from karsl.datasets.lazy.features import FeatureEncoder
from karsl.datasets.lazy.glosses import LabelEncoder

__all__ = ["Encoder", "FeatureEncoder", "LabelEncoder", "LazyDataset"]
