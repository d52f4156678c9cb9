"""Datasets of shards, local or remote: streams of packs and WebDataset tars, and random access to tars."""

from karsl.datasets.streaming.dataset import StreamDataset
from karsl.datasets.streaming.webdataset import TarDataset

__all__ = ["StreamDataset", "TarDataset"]
