"""A dataset in random order."""

from __future__ import annotations

from typing import Any

import numpy as np

from karsl.datasets.combine.one import OneMember
from karsl.datasets.combine.permutation import permute
from karsl.datasets.rng import epoch_key, hash_name, splitmix64
from karsl.registry import DATASETS

_STREAM = hash_name("ShuffleDataset")


@DATASETS.register_module()
class ShuffleDataset(OneMember):
    """A dataset in an order that is drawn from (seed, epoch); each place is computed, no list of places is kept.

    Args:
        dataset: Dataset or config.
        reshuffle: Another order in each epoch; False keeps that of epoch 0.
        lazy_init, seed: See Combinator; without a seed the order is that of seed 0.
    """

    def __init__(self, dataset: Any, *, reshuffle: bool = True, lazy_init: bool = False, seed: int | None = None) -> None:
        self.reshuffle = self.redraws = reshuffle
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    def inner(self, places: np.ndarray) -> np.ndarray:
        key = epoch_key(self._epoch_state.seed or 0, self._epoch_state.epoch if self.reshuffle else 0)
        return permute(places, self._length, key=splitmix64(key ^ _STREAM))

    def _describe(self) -> str:
        return "" if self.reshuffle else "reshuffle=False"
