"""Clips in the order of their shards: packs and tars, here or elsewhere, dealt out to ranks and workers."""

from karsl.datasets.stream.dataset import StreamDataset
from karsl.datasets.stream.tars import TarDataset

__all__ = ["StreamDataset", "TarDataset"]
