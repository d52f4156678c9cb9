"""Samplers: which clips come when. All can be left at any clip and gone on with, by any number of ranks."""

from karsl.datasets.samplers.balanced import ClassBalancedSampler
from karsl.datasets.samplers.base import OrderSampler
from karsl.datasets.samplers.bucketed import LengthBucketSampler
from karsl.datasets.samplers.chunked import ChunkSampler
from karsl.datasets.samplers.shuffled import ResumableSampler

__all__ = ["ChunkSampler", "ClassBalancedSampler", "LengthBucketSampler", "OrderSampler", "ResumableSampler"]
