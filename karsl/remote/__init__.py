"""Datasets in Ray actors, for work that one machine is not enough for; needs the extra `[ray]`."""

from karsl.remote.calls import RemoteError
from karsl.remote.dataset import AnnouncedBatches, RemoteDataset
from karsl.remote.session import connect, disconnect

__all__ = ["AnnouncedBatches", "RemoteDataset", "RemoteError", "connect", "disconnect"]
