"""Datasets of shards, local or remote: streams of packs, tars and array files, and random access to tars and rows."""

from karsl.datasets.streaming.dataset import StreamDataset
from karsl.datasets.streaming.rows import ArrayDataset
from karsl.datasets.streaming.webdataset import TarDataset

__all__ = ["ArrayDataset", "StreamDataset", "TarDataset"]
