"""Datasets: records, pipelines of transforms, wrappers, samplers and batches."""

from karsl.datasets import combine, transforms
from karsl.datasets.base import KeypointDataset
from karsl.datasets.collate import keypoint_collate, plan_collate
from karsl.datasets.index.buffer import SerializedList
from karsl.datasets.karsl import KArSLDataset
from karsl.datasets.order import BlockShuffleSampler, ClassBalancedSampler, LengthBucketSampler, ResumableSampler
from karsl.datasets.pipeline import Pipeline
from karsl.datasets.streaming import StreamDataset, TarDataset

__all__ = [
    "BlockShuffleSampler",
    "ClassBalancedSampler",
    "ConcatDataset",
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
    "plan_collate",
    "transforms",
]
