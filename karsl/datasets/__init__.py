"""Datasets: an index of records, a pipeline of transforms, batches."""

from karsl.datasets import combine, lazy, transforms
from karsl.datasets.base import KeypointDataset
from karsl.datasets.buffer import SerializedList
from karsl.datasets.collate import keypoint_collate, plan_collate
from karsl.datasets.karsl import KArSLDataset
from karsl.datasets.pipeline import Pipeline

__all__ = [
    "KArSLDataset",
    "KeypointDataset",
    "Pipeline",
    "SerializedList",
    "combine",
    "keypoint_collate",
    "lazy",
    "plan_collate",
    "transforms",
]
