"""Cache samples in memory."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from karsl.datasets.combine.base import SingleWrapper
from karsl.datasets.rng import hash_name, sample_keys, splitmix64
from karsl.errors import ConfigError, type_name
from karsl.io.lru import LRU
from karsl.registry import DATASETS
from karsl.skeletons import Skeleton

_CACHE_ID = hash_name("CacheDataset")
_IMMUTABLE = (str, bytes, int, float, complex, np.generic, type(None), Skeleton)


@DATASETS.register_module()
class CacheDataset(SingleWrapper):
    """An LRU cache of samples, one per process.

    A cached sample is made once, so the random numbers below do not depend on the epoch, only on the seed; put random
    transforms above the cache, with MapDataset. Arrays are returned read-only and tensors as copies, so that a transform
    above cannot change the cache: one that edits an array in place must copy it first. Packs and tars need no cache, since
    the system caches their pages, and a batch over a cache is made sample by sample.

    Args:
        dataset: Dataset or config.
        max_bytes: Maximum size in bytes of the arrays and tensors in one process; a larger sample is not cached.
        lazy_init, seed: See DatasetWrapper.

    Raises:
        ConfigError: If `max_bytes` is negative, or indices below are other clips in each epoch.
    """

    transparent = False

    def __init__(
        self, dataset: Any, *, max_bytes: int = 256 << 20, lazy_init: bool = False, seed: int | None = None
    ) -> None:
        if not isinstance(max_bytes, (int, float)) or not max_bytes >= 0:
            raise ConfigError(f"{type_name(self)}: max_bytes={max_bytes!r}; expected a number of at least 0")
        self.max_bytes = max_bytes
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)
        self._clear()

    def _prepare(self) -> None:
        self._check_fixed_order()

    def get_sample(self, idx: int, *, rng_key: np.uint64 | None = None) -> Any:
        """Return one sample; `rng_key` is ignored, since a cached sample has the random numbers of its index."""
        self._ensure_initialized()
        index = self.check_index(idx)
        if self._cached_seed != self._seed:
            self._clear()
        sample = self._cache.get(index)
        if sample is None:
            self.misses += 1
            sample = _protect(self._make(index))
            self._cache.put(index, sample)
        else:
            self.hits += 1
        return _protect(sample)

    def __getitems__(self, indices: Any) -> list[Any]:
        return [self.get_sample(i) for i in indices]

    def _make(self, index: int) -> Any:
        key = sample_keys(splitmix64(self._seed ^ _CACHE_ID), 0, np.array([index]))[0]
        has_keys = hasattr(self.dataset, "get_sample")
        return self.dataset.get_sample(index, rng_key=key) if has_keys else self.dataset[index]

    @property
    def _seed(self) -> int:
        return self._epoch_state.seed or 0

    @property
    def nbytes(self) -> int:
        """Size in bytes of the cached samples of this process."""
        return self._cache.size

    def _clear(self) -> None:
        self._cache: LRU[Any] = LRU(self.max_bytes, nbytes_of)
        self.hits, self.misses, self._cached_seed = 0, 0, self._seed

    def _describe(self) -> str:
        return f"max_bytes={self.max_bytes:,}"

    def __getstate__(self) -> dict:
        """Leave out the cached samples."""
        return super().__getstate__() | dict(_cache=LRU(self.max_bytes, nbytes_of), hits=0, misses=0)


def nbytes_of(value: Any) -> int:
    """Return the size in bytes of the arrays and tensors in a sample.

    Example:
        >>> nbytes_of({"a": np.zeros(2), "b": [torch.zeros(3), "text"]})
        28
    """
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(nbytes_of, value.values()))
    return sum(map(nbytes_of, value)) if isinstance(value, (list, tuple)) else 0


def _protect(value: Any) -> Any:
    """Return a sample through which the given one cannot be changed: read-only views of arrays, copies of the rest."""
    if isinstance(value, np.ndarray):
        view = value.view()
        view.flags.writeable = False
        return view
    if isinstance(value, torch.Tensor):
        return value.clone()
    if type(value) is dict:
        return {key: _protect(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_protect, value))
    return value if isinstance(value, _IMMUTABLE) else copy.deepcopy(value)
