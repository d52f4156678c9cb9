"""Batch samplers that tell actors what comes next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch.utils.data import BatchSampler

from karsl.errors import ConfigError
from karsl.registry import DATA_SAMPLERS

if TYPE_CHECKING:
    from karsl.remote.dataset import RemoteDataset


class AnnouncedBatches:
    """A batch sampler that tells a RemoteDataset what comes next; give it to a DataLoader as `batch_sampler`.

    Args:
        batches: A batch sampler, or any iterable of lists of places.
        dataset: Makes them ahead.
        ahead: Lists that are looked at ahead, at most.
    """

    def __init__(self, batches: Iterable[Sequence[int]], dataset: RemoteDataset, *, ahead: int = 64) -> None:
        self.batches, self.dataset, self.ahead = batches, dataset, ahead
        self.sampler = getattr(batches, "sampler", None)

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[int]]:
        waiting: deque[list[int]] = deque()
        told, source = 0, iter(self.batches)
        while True:
            while len(waiting) < self.ahead and (chosen := next(source, None)) is not None:
                waiting.append(list(chosen))
            while told < len(waiting) and self.dataset.announce(waiting[told]):
                told += 1
            if not waiting:
                return
            yield waiting.popleft()
            told = max(0, told - 1)


@DATA_SAMPLERS.register_module()
class AnnouncedBatchSampler(AnnouncedBatches):
    """The same as a config of MMEngine's Runner names it: `batch_sampler=dict(type='AnnouncedBatchSampler')`.

    Args:
        sampler: Of a RemoteDataset, which it has as `dataset`, as MMEngine's samplers do.
        batch_size, drop_last: Of the batches.
        ahead: See AnnouncedBatches.

    Raises:
        ConfigError: The sampler's dataset makes no batches ahead.
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool = False, *, ahead: int = 64) -> None:
        dataset: Any = getattr(sampler, "dataset", None)
        if not hasattr(dataset, "announce"):
            kind = type(dataset).__name__
            raise ConfigError(
                f"AnnouncedBatchSampler: the sampler is that of a {kind}, not of a RemoteDataset; leave it out"
            )
        super().__init__(BatchSampler(sampler, batch_size, drop_last), dataset, ahead=ahead)
