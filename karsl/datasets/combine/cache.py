"""Samples kept in memory."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import numpy as np
import torch

from karsl.datasets.combine.one import OneMember
from karsl.datasets.rng import hash_name, sample_keys, splitmix64
from karsl.errors import ConfigError, type_name
from karsl.registry import DATASETS
from karsl.skeletons import Skeleton

_STREAM = hash_name("CacheDataset")
_UNCHANGING = (str, bytes, int, float, complex, np.generic, type(None), Skeleton)


@DATASETS.register_module()
class CacheDataset(OneMember):
    """Keeps samples of a dataset in each process, the least recently used go first.

    What is kept is made once, so draws below are the same in every epoch, until another seed is told; put random steps
    above, with MapDataset. Arrays are given read-only and tensors as copies, so a step above cannot change what is kept: one
    that edits an array in place copies it first. Packs and tars need no cache: their pages are the system's, and a batch
    over a cache is made sample by sample.

    Args:
        dataset: Dataset or config.
        max_bytes: Of all arrays and tensors kept in one process; a sample above it is passed through.
        lazy_init, seed: See Combinator.

    Raises:
        ConfigError: `max_bytes` below 0, or places below are other clips in each epoch.
    """

    looks_through = False

    def __init__(
        self, dataset: Any, *, max_bytes: int = 256 << 20, lazy_init: bool = False, seed: int | None = None
    ) -> None:
        if not isinstance(max_bytes, (int, float)) or not max_bytes >= 0:
            raise ConfigError(f"{type_name(self)}: max_bytes={max_bytes!r}; expected a number of at least 0")
        self.max_bytes = max_bytes
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)
        self._empty()

    def _prepare(self) -> None:
        self._need_fixed_places()

    def get_sample(self, idx: int, *, rng_key: np.uint64 | None = None) -> Any:
        """The sample at a place; `key` changes nothing, since what is kept is drawn once."""
        self._ready()
        place = self.place(idx)
        if self._drawn_with != self._seed:
            self._empty()
        if place in self._kept:
            self._kept.move_to_end(place)
            self.hits += 1
            return _given(self._kept[place])
        self.misses += 1
        found = _given(self._below(place))
        size = nbytes_of(found)
        if size <= self.max_bytes:
            self._kept[place], self._sizes[place] = found, size
            self.nbytes += size
            while self.nbytes > self.max_bytes:
                oldest, _ = self._kept.popitem(last=False)
                self.nbytes -= self._sizes.pop(oldest)
        return _given(found)

    def __getitems__(self, indices: Any) -> list[Any]:
        return [self.get_sample(i) for i in indices]

    def get_data_info(self, idx: int) -> dict:
        place = self.place(idx)
        return self.dataset.get_data_info(place) | {"sample_idx": place}

    def get_cat_ids(self, idx: int) -> list[int]:
        return self.dataset.get_cat_ids(self.place(idx))

    def column(self, name: str) -> np.ndarray:
        return self.dataset.column(name)

    def _below(self, place: int) -> Any:
        key = sample_keys(splitmix64(self._seed ^ _STREAM), 0, np.array([place]))[0]
        return self.dataset.get_sample(place, rng_key=key) if hasattr(self.dataset, "get_sample") else self.dataset[place]

    @property
    def _seed(self) -> int:
        return self._epoch_state.seed or 0

    @property
    def skeleton(self):
        return getattr(self.dataset, "skeleton", None)

    @property
    def output_skeleton(self):
        return getattr(self.dataset, "output_skeleton", None)

    @property
    def output_channels(self) -> int:
        return getattr(self.dataset, "output_channels", 3)

    def _empty(self) -> None:
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._sizes: dict[int, int] = {}
        self.nbytes = self.hits = self.misses = 0
        self._drawn_with = self._seed

    def _describe(self) -> str:
        return f"max_bytes={self.max_bytes:,}"

    def __getstate__(self) -> dict:
        """What is kept stays in the process that made it."""
        empty = dict(_kept=OrderedDict(), _sizes={}, nbytes=0, hits=0, misses=0)
        return super().__getstate__() | empty


def nbytes_of(value: Any) -> int:
    """Bytes of the arrays and tensors in a sample.

    Example:
        >>> nbytes_of({"a": np.zeros(2), "b": [torch.zeros(3), "text"]})
        28
    """
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(nbytes_of, value.values()))
    return sum(map(nbytes_of, value)) if isinstance(value, (list, tuple)) else 0


def _given(value: Any) -> Any:
    """A sample that shares its numbers with the one given, and cannot change them: read-only arrays, copies of the rest."""
    if isinstance(value, np.ndarray):
        view = value.view()
        view.flags.writeable = False
        return view
    if isinstance(value, torch.Tensor):
        return value.clone()
    if type(value) is dict:
        return {key: _given(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_given, value))
    return value if isinstance(value, _UNCHANGING) else copy.deepcopy(value)
