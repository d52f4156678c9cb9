"""What every sampler here shares: an order per epoch, dealt out to ranks, that can be gone on with."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
from torch.utils.data import Sampler

from karsl.datasets.resume import RUN, Resumable
from karsl.datasets.samplers.ahead import AheadIterator
from karsl.errors import ConfigError


class OrderSampler(Resumable, Sampler[int]):
    """Gives the places of an order; a subclass says which order, with `order(seed, epoch)`.

    MMEngine builds it with the dataset and the run's seed, and calls `set_epoch` before each epoch.

    Args:
        dataset: Has a length.
        seed: None takes one that all ranks agree on.
        mode: `'pad'` repeats a few clips so that ranks have equally many, `'drop'` leaves a few out, `'uneven'` gives every
            clip exactly once.
    """

    def __init__(self, dataset: Sized, *, seed: int | None = None, mode: str = "pad") -> None:
        self.dataset = dataset
        super().__init__(seed=seed, mode=mode)

    @property
    def total(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        self._find_rank()
        return AheadIterator(self, batch_size=max(RUN, self.batch_size or 0))

    def column(self, key: str, needed_for: str) -> np.ndarray:
        """int64 (n,), one number of each record of the dataset, without reading records one by one where it is kept.

        Raises:
            ConfigError: The records do not have it.
        """
        dataset = self.dataset
        try:
            return np.asarray(dataset.column(key), dtype=np.int64)  # type: ignore[attr-defined]
        except (AttributeError, KeyError):
            pass
        try:
            values = [dataset.get_data_info(place)[key] for place in range(len(dataset))]  # type: ignore[attr-defined]
        except (AttributeError, KeyError) as error:
            raise ConfigError(
                f"{type(self).__name__}: records of {type(dataset).__name__} have no {key!r}, which it needs to {needed_for}"
            ) from error
        return np.array(values, dtype=np.int64)


class ListedOrder:
    """An order that is written out.

    Args:
        places: int64 (n,).
    """

    def __init__(self, places: np.ndarray) -> None:
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def places(self, positions: np.ndarray) -> np.ndarray:
        """int64, the clips at some positions."""
        return self._places[positions]
