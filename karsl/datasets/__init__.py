"""Datasets: records, pipelines of transforms, wrappers, samplers and batches."""

from karsl.datasets import transforms
from karsl.datasets.collate import device_collate, keypoint_collate
from karsl.datasets.combine import (
    CacheDataset,
    ClassBalancedDataset,
    ConcatDataset,
    DatasetWrapper,
    FilterDataset,
    InterleaveDataset,
    LazyDataset,
    MapDataset,
    MixDataset,
    RelabelDataset,
    RepeatDataset,
    ShuffleDataset,
    SliceDataset,
)
from karsl.datasets.combine.filter import hash_split
from karsl.datasets.index.record_list import RecordList
from karsl.datasets.karsl import KArSLDataset
from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.datasets.order import BlockShuffleSampler, ClassBalancedSampler, LengthBucketSampler, ResumableSampler
from karsl.datasets.pipeline import Pipeline
from karsl.datasets.streaming import ArrayDataset, StreamDataset, TarDataset
from karsl.discovery import import_modules

__all__ = [
    "ArrayDataset",
    "BlockShuffleSampler",
    "CacheDataset",
    "ClassBalancedDataset",
    "ClassBalancedSampler",
    "ConcatDataset",
    "DatasetWrapper",
    "FilterDataset",
    "InterleaveDataset",
    "KArSLDataset",
    "KeypointDataset",
    "LazyDataset",
    "LengthBucketSampler",
    "MapDataset",
    "MixDataset",
    "Pipeline",
    "RecordList",
    "RelabelDataset",
    "RepeatDataset",
    "ResumableSampler",
    "ShuffleDataset",
    "SliceDataset",
    "StreamDataset",
    "TarDataset",
    "device_collate",
    "hash_split",
    "keypoint_collate",
    "transforms",
]

import_modules(__name__, __path__)
