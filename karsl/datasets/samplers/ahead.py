"""Samplers know what comes next, so the disk can work ahead of the batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from karsl.datasets.combine.leaves import leaf_clips
from karsl.datasets.resume import OrderIterator

if TYPE_CHECKING:
    from karsl.datasets.samplers.base import OrderSampler


class AheadIterator(OrderIterator):
    """A pass that has clips fetched one run of places before they are given, while anything is new on the disk.

    Workers profit too: what the system fetched for this process it need not fetch for them.
    """

    _owner: OrderSampler
    _told = 0
    _useful = True

    def _listed(self, first: int, stop: int) -> Sequence[Any]:
        if self._useful:
            begin, end = max(first, self._told), min(2 * stop - first, len(self._share))
            self._told = end
            if begin < end:
                self._useful = read_ahead(self._owner.dataset, self._order.places(self._share.positions(begin, end)))
        return super()._listed(first, stop)


def read_ahead(dataset: Any, places: np.ndarray) -> bool:
    """Have clips of a dataset, or of those that it is made of, fetched from the disk.

    Args:
        dataset: Any; nothing happens where nobody in it has a `read_ahead`.
        places: int64 (N,), each in [0, n).

    Returns:
        Whether there was anything new to fetch.
    """
    readers = [clips for clips in leaf_clips(dataset, places) if hasattr(clips.dataset, "read_ahead")]
    new = [clips.dataset.read_ahead(clips.places) for clips in readers]
    return any(new)
