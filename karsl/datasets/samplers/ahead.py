"""Samplers know what comes next, so the disk can work ahead of the batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from mmengine.logging import print_log

from karsl.datasets.combine.leaves import leaf_clips
from karsl.datasets.resume import OrderIterator
from karsl.storage.readahead import FileRanges, advise, in_memory

if TYPE_CHECKING:
    from karsl.datasets.samplers.base import OrderSampler


_PROBES = 32  # of a run: if they are in memory, nearly all of it is
_QUIET_RUNS = 8


class AheadIterator(OrderIterator):
    """A pass that has clips read from the disk one run of places before they are given.

    Workers profit too: what the system reads for this process it need not read for them. Where there is nothing to read,
    the next look is some runs later.
    """

    _owner: OrderSampler

    def _begin(self, seed: int, epoch: int, start: int, done: int = 0) -> None:
        self._told = self._quiet_until = done
        super()._begin(seed, epoch, start, done)

    def _listed(self, first: int, stop: int) -> Sequence[Any]:
        begin, end = max(first, self._told), min(2 * stop - first, len(self._share))
        if self._quiet_until <= first and begin < end:
            self._told = end
            if not self._tell(begin, end):
                self._quiet_until = first + _QUIET_RUNS * (stop - first)
        return super()._listed(first, stop)

    def _tell(self, begin: int, end: int) -> bool:
        try:
            return read_ahead(self._owner.dataset, self._order.places(self._share.positions(begin, end)))
        except Exception as error:  # whatever is wrong, the batch that reads it says so; advice is not worth an error
            print_log(f"clips are not read ahead: {error!r}", logger="current", level=logging.DEBUG)
            return False


def read_ahead(dataset: Any, places: np.ndarray) -> bool:
    """Have clips of packs and mapped files read from the disk, unless they are in memory; comes back at once.

    Args:
        dataset: Any; combinators and wrappers are looked through.
        places: int64 (N,), each in [0, n).

    Returns:
        Whether anything has to be read.

    Raises:
        OSError, ValueError: A file is not there, or not what the index says.
    """
    some = _parts(dataset, places[:: len(places) // _PROBES + 1])
    if not some or in_memory(some):
        return False
    Thread(target=advise, args=(_parts(dataset, places),), name="read ahead", daemon=True).start()
    return True


def _parts(dataset: Any, places: np.ndarray) -> list[FileRanges]:
    return [
        part
        for clips in leaf_clips(dataset, places)
        if hasattr(clips.dataset, "file_ranges")
        for part in clips.dataset.file_ranges(clips.places)
    ]
