"""Dataset wrappers: combine, select, transform and cache datasets without copying clips."""

from karsl.datasets.combine.base import DatasetWrapper
from karsl.datasets.combine.cache import CacheDataset
from karsl.datasets.combine.filter import FilterDataset
from karsl.datasets.combine.lazy import LazyDataset
from karsl.datasets.combine.map import MapDataset, RelabelDataset
from karsl.datasets.combine.mix import ConcatDataset, InterleaveDataset, MixDataset
from karsl.datasets.combine.select import ClassBalancedDataset, RepeatDataset, ShuffleDataset, SliceDataset
from karsl.discovery import import_modules

__all__ = [
    "CacheDataset",
    "ClassBalancedDataset",
    "ConcatDataset",
    "DatasetWrapper",
    "FilterDataset",
    "InterleaveDataset",
    "LazyDataset",
    "MapDataset",
    "MixDataset",
    "RelabelDataset",
    "RepeatDataset",
    "ShuffleDataset",
    "SliceDataset",
]

import_modules(__name__, __path__)
