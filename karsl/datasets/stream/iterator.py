"""One pass of a worker through a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from karsl.datasets.resume import OrderIterator
from karsl.datasets.stream.sample import SampleGroup, StreamSample

if TYPE_CHECKING:
    from karsl.datasets.stream.dataset import StreamDataset


class StreamIterator(OrderIterator):
    """Gives samples that are made when they are looked at; what a batch needs from elsewhere is asked for one batch ahead.

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
        ahead = min(stop + self._owner.ahead, len(self._share))
        if ahead > stop and self._owner.is_remote:
            self._owner.ask_for(self._order.places(self._share.positions(ahead - 1, ahead)))
        group = SampleGroup(self._owner, places, whole=self._whole)
        return [StreamSample(group, at) for at in range(len(places))]
