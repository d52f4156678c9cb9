"""Datasets made of datasets: nothing is copied, every place is computed, batches of several packs stay one pass."""

from karsl.datasets.combine.balanced import ClassBalancedDataset
from karsl.datasets.combine.cache import CacheDataset
from karsl.datasets.combine.combinator import Combinator
from karsl.datasets.combine.concat import ConcatDataset
from karsl.datasets.combine.filter import FilterDataset
from karsl.datasets.combine.interleave import InterleaveDataset
from karsl.datasets.combine.map import MapDataset
from karsl.datasets.combine.mix import MixDataset
from karsl.datasets.combine.relabel import RelabelDataset
from karsl.datasets.combine.repeat import RepeatDataset
from karsl.datasets.combine.shuffle import ShuffleDataset
from karsl.datasets.combine.slice import SliceDataset
from karsl.datasets.splits import hash_split

__all__ = [
    "CacheDataset",
    "ClassBalancedDataset",
    "Combinator",
    "ConcatDataset",
    "FilterDataset",
    "InterleaveDataset",
    "MapDataset",
    "MixDataset",
    "RelabelDataset",
    "RepeatDataset",
    "ShuffleDataset",
    "SliceDataset",
    "hash_split",
]
