"""Clips in tars of the WebDataset format: write, list and index them, and map them, local or remote."""

from karsl.webdataset.index import TarIndex, index_tar, load_index
from karsl.webdataset.shards import TarShards, shard_names
from karsl.webdataset.write import repack_tar, write_tars

__all__ = ["TarIndex", "TarShards", "index_tar", "load_index", "repack_tar", "shard_names", "write_tars"]
