"""Datasets that make whole batches."""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from karsl.datasets.indexed import IndexedDataset
from karsl.datasets.pipeline import Pipeline
from karsl.skeletons import Skeleton

if TYPE_CHECKING:
    from karsl.datasets.fused.batching import BatchPart


class BatchedDataset(IndexedDataset):
    """An indexed dataset whose samples can be made N at once."""

    pipeline: Pipeline

    @property
    @abstractmethod
    def skeleton(self) -> Skeleton | None:
        """What the keypoints are."""

    @abstractmethod
    def _samples_are_usual(self) -> bool:
        """Whether no subclass, and no one from outside, changed how a sample is made."""

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """N samples at once, which PyTorch's DataLoader asks for; `keypoint_collate` takes them as one finished batch.

        The steps that can be deferred are done in one compiled pass, to 1e-6 what `dataset[i]` gives one by one. Without
        numba, or where a subclass changed how a sample is made, samples are made one by one.
        """
        places, batching = _inside(indices, len(self)), self._batching()
        batch = None if places is None or batching is None else batching.batch_of(self, places)
        return [self[i] for i in indices] if batch is None else batch

    def batch_segment(
        self, indices: np.ndarray, *, rng_keys: np.ndarray | None = None, rows: np.ndarray | None = None
    ) -> BatchPart | None:
        """The clips at some places as a part of a batch, for `karsl.datasets.fused.assembly.assemble`.

        Args:
            places: int64 (N,), each in [0, n).
            keys: uint64 (N,), random keys; those of the places if not given.
            at: int64 (N,), their rows of the batch.

        Returns:
            None where samples must be made one by one.

        Raises:
            KarslError, OSError: A clip cannot be read.
        """
        batching = self._batching()
        return None if batching is None else batching.part_of(self, indices, keys=rng_keys, at=rows)

    def _batching(self) -> ModuleType | None:
        """The module of batches, if samples here are what it makes."""
        usual = type(self.pipeline) is Pipeline and self.skeleton is not None and self._samples_are_usual()
        return batching_module() if usual else None


def _inside(indices: Sequence[int], length: int) -> np.ndarray | None:
    """int64 (N,), each in [0, length); None where there are none, or one is outside."""
    places = np.array(indices)
    if places.dtype != np.int64 or places.ndim != 1:
        places = np.array([operator.index(i) for i in indices], np.int64)
    if not len(places):
        return None
    if places.view(np.uint64).max() >= length:  # one is outside, or negative
        places = np.where(places < 0, places + length, places)
        if places.min() < 0 or places.max() >= length:
            return None
    return places


@cache
def batching_module() -> ModuleType | None:
    """`karsl.datasets.fused.batching`, or None without numba; an index alone does without its 0.4 s and 100 MiB."""
    if find_spec("numba") is None:
        return None
    return import_module("karsl.datasets.fused.batching")
