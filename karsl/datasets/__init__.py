"""Datasets: an index of records, a pipeline of transforms, batches."""

from karsl.datasets import combine, transforms
from karsl.datasets.base import KeypointDataset
from karsl.datasets.collate import keypoint_collate, plan_collate
from karsl.datasets.index.buffer import SerializedList
from karsl.datasets.karsl import KArSLDataset
from karsl.datasets.pipeline import Pipeline
from karsl.datasets.samplers import ChunkSampler, ClassBalancedSampler, LengthBucketSampler, ResumableSampler
from karsl.datasets.stream import StreamDataset, TarDataset

__all__ = [
    "ChunkSampler",
    "ClassBalancedSampler",
    "KArSLDataset",
    "KeypointDataset",
    "LengthBucketSampler",
    "Pipeline",
    "ResumableSampler",
    "SerializedList",
    "StreamDataset",
    "TarDataset",
    "combine",
    "keypoint_collate",
    "plan_collate",
    "transforms",
]
