"""Datasets and packing on a Ray cluster, for work that one machine is not enough for; needs the extra `[ray]`."""

from karsl.remote.batches import AnnouncedBatches, AnnouncedBatchSampler
from karsl.remote.dataset import RemoteDataset
from karsl.remote.packing import pack_on_ray
from karsl.remote.ray_data import to_ray_dataset
from karsl.remote.session import connect, disconnect

__all__ = [
    "AnnouncedBatchSampler",
    "AnnouncedBatches",
    "RemoteDataset",
    "connect",
    "disconnect",
    "pack_on_ray",
    "to_ray_dataset",
]
