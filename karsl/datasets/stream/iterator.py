"""One pass of a worker through a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from karsl.datasets.resume import OrderIterator
from karsl.datasets.stream.sample import SampleGroup, StreamSample

if TYPE_CHECKING:
    from karsl.datasets.stream.dataset import StreamDataset


class StreamIterator(OrderIterator):
    """Gives samples that are made when they are looked at; what comes from elsewhere is asked for beforehand.

    Args:
        stream: Whose clips.
        batch_size, num_workers, worker: See `OrderIterator`.
    """

    _owner: StreamDataset

    def __init__(self, stream: StreamDataset, *, batch_size: int | None, num_workers: int, worker: int) -> None:
        self._whole = batch_size is not None and num_workers > 1
        super().__init__(stream, batch_size=batch_size, num_workers=num_workers, worker=worker)

    def _listed(self, first: int, stop: int) -> Sequence[StreamSample]:
        places = self._order.places(self._share.positions(first, stop))
        if self._owner.is_remote:
            self._look_ahead(first)
        group = SampleGroup(self._owner, places, whole=self._whole)
        return [StreamSample(group, at) for at in range(len(places))]

    def _look_ahead(self, first: int) -> None:
        """Ask for this worker's next batch where clips come one by one, else for the shard that is a window ahead."""
        size = self._batch_size
        ahead = first - first % size + self._num_workers * size
        if not self._owner.fetches_ranges:
            ahead, size = first + self._owner.ahead, 1
        positions = self._share.positions(ahead, ahead + size)
        if len(positions):
            self._owner.ask_for(self._order.places(positions))
