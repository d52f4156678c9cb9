"""Samplers know what comes next, so the disk can work ahead of the batches."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from mmengine.logging import print_log

from karsl.datasets.batched import BatchedDataset
from karsl.datasets.resume import OrderIterator
from karsl.datasets.tree import resolve_leaves
from karsl.storage.readahead import FileRanges, advise, in_memory, rows_place

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
    return [part for clips in resolve_leaves(dataset, places) for part in _files(clips.dataset, clips.indices)]


def _files(dataset: Any, places: np.ndarray) -> Iterator[FileRanges]:
    """Where clips of a dataset lie in its files; nothing for archives, which are not mapped."""
    if not isinstance(dataset, BatchedDataset) or not dataset._fully_initialized or not dataset.serialize_data:
        return
    known = set(dataset.index.columns)
    if not {"pack", "num_frames"} <= known or not known & {"frame_start", "byte_start"}:
        return
    paths, codes = dataset.index.categories("pack"), dataset.column("pack")[places]
    lengths = dataset.column("num_frames")[places]
    for code in np.unique(codes).tolist():
        here = codes == code
        if "frame_start" in known:
            first_byte, frame_bytes = rows_place(paths[code])
            begins = first_byte + dataset.column("frame_start")[places[here]] * frame_bytes
        else:
            frame_bytes = _frame_bytes(dataset)
            begins = dataset.column("byte_start")[places[here]]
        yield FileRanges(paths[code], list(zip(begins.tolist(), (lengths[here] * frame_bytes).tolist(), strict=True)))


def _frame_bytes(dataset: BatchedDataset) -> int:
    """Of arrays inside files, which are all of one dtype where they are read in batches."""
    keypoints = 0 if dataset.skeleton is None else dataset.skeleton.num_keypoints
    return keypoints * 4 * np.dtype(dataset.index.categories("dtype")[0]).itemsize
