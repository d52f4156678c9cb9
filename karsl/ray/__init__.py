"""Datasets and packing on a Ray cluster; requires the extra `[ray]`."""

from karsl.ray.dataset import PrefetchBatches, PrefetchBatchSampler, RayDataset
from karsl.ray.pack import pack_on_ray
from karsl.ray.ray_data import to_ray_dataset
from karsl.ray.session import connect, disconnect

__all__ = [
    "PrefetchBatchSampler",
    "PrefetchBatches",
    "RayDataset",
    "connect",
    "disconnect",
    "pack_on_ray",
    "to_ray_dataset",
]
