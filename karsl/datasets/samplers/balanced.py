"""Classes equally often."""

from __future__ import annotations

from collections.abc import Sized

import numpy as np

from karsl.datasets.partition import random_numbers
from karsl.datasets.rng import hash_name
from karsl.datasets.samplers.base import ListedOrder, OrderSampler
from karsl.registry import DATA_SAMPLERS

_TURNS, _CLIPS = hash_name("turns of classes"), hash_name("clips of a class")


@DATA_SAMPLERS.register_module()
class ClassBalancedSampler(OrderSampler):
    """Every class equally often, to one clip; clips of small classes come again, each as often as the others of its class.

    An epoch has as many clips as the dataset. Classes take turns in random order, and each goes through its clips in random
    order, going on in the next epoch where it stopped.

    Args:
        dataset, seed, mode: See `OrderSampler`; records have a `label`.

    Raises:
        ConfigError: The records have no label.
    """

    def __init__(self, dataset: Sized, *, seed: int | None = None, mode: str = "pad") -> None:
        super().__init__(dataset, seed=seed, mode=mode)
        labels = self.column("label", "balance classes")
        self._by_class = np.argsort(labels, kind="stable")
        self._sizes = np.unique(labels, return_counts=True)[1]
        self._starts = np.cumsum(self._sizes) - self._sizes

    def order(self, seed: int, epoch: int) -> ListedOrder:
        total, classes = self.total, len(self._sizes)
        if not total:
            return ListedOrder(np.zeros(0, np.int64))
        rounds = -(-total // classes)
        numbers = random_numbers(np.arange(rounds * classes), seed=seed, epoch=epoch, stream=_TURNS)
        label = np.argsort(numbers.reshape(rounds, classes), axis=1).ravel()[:total]
        turn = epoch * rounds + np.arange(total) // classes  # how often the class came before, in earlier epochs too
        passes, at = np.divmod(turn, self._sizes[label])
        pairs, which = np.unique(passes * classes + label, return_inverse=True)  # each pass of each class, by pass
        number, kind = np.divmod(pairs, classes)
        sizes = self._sizes[kind]
        first = np.cumsum(sizes) - sizes
        inside = np.arange(sizes.sum()) + np.repeat(self._starts[kind] - first, sizes)
        mixed = np.lexsort((_numbers(seed, np.repeat(number, sizes), inside), np.repeat(np.arange(len(pairs)), sizes)))
        return ListedOrder(self._by_class[inside[mixed[first[which] + at]]])


def _numbers(seed: int, passes: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """uint64 (n,): the random number of a clip in a pass; passes are in order."""
    begins = np.flatnonzero(np.diff(passes, prepend=-1))
    parts = zip(passes[begins].tolist(), np.split(clips, begins[1:]), strict=True)
    return np.concatenate([random_numbers(part, seed=seed, epoch=number, stream=_CLIPS) for number, part in parts])
