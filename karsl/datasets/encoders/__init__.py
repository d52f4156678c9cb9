"""The last step of a recorded dataset: an item gets what a model eats."""

from karsl.datasets.encoders.base import Encoder
from karsl.datasets.encoders.features import FeatureEncoder
from karsl.datasets.encoders.labels import LabelEncoder

__all__ = ["Encoder", "FeatureEncoder", "LabelEncoder"]
