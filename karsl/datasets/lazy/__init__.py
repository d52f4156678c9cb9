"""Recorded, not executed: datasets, steps and mixes that are done item by item."""

from karsl.datasets.encoders import Encoder, FeatureEncoder, LabelEncoder
from karsl.datasets.lazy.dataset import LazyDataset

__all__ = ["Encoder", "FeatureEncoder", "LabelEncoder", "LazyDataset"]
