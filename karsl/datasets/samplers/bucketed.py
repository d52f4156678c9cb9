"""Clips of like length in one batch."""

from __future__ import annotations

from collections.abc import Sized

import numpy as np

from karsl.datasets.partition import EpochOrder
from karsl.datasets.samplers.base import ListedOrder, OrderSampler
from karsl.errors import ConfigError
from karsl.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class LengthBucketSampler(OrderSampler):
    """Every clip once an epoch, clips of like length in one batch: less padding where clips keep their lengths.

    The clips of an epoch are shuffled, sorted by length within windows of `window` batches, cut into batches, and the
    batches of all ranks are shuffled.

    Args:
        dataset, seed, mode: See `OrderSampler`; records have `num_frames`.
        batch_size: Of the loader of each rank.
        window: Batches that are sorted together; more is less padding and less chance.

    Raises:
        ConfigError: The records have no `num_frames`, or a number below 1.
    """

    def __init__(
        self, dataset: Sized, *, batch_size: int, seed: int | None = None, window: int = 32, mode: str = "pad"
    ) -> None:
        if batch_size < 1 or window < 1:
            raise ConfigError(f"LengthBucketSampler: batch_size={batch_size}, window={window}; expected 1 or more of each")
        super().__init__(dataset, seed=seed, mode=mode)
        self.batch_size, self.window = batch_size, window
        self._went_on = (-1, 0)
        self._lengths = self.column("num_frames", "put like lengths together")

    def options(self) -> tuple:
        return (self.window,)

    def state_dict(self) -> dict[str, int]:
        return super().state_dict() | {"step": self._step(self.epoch)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        super().load_state_dict(state)
        self._went_on = (int(state["epoch"]), int(state["step"])) if "step" in state else (-1, 0)

    def _step(self, epoch: int) -> int:
        """Clips of all ranks' batches; an epoch that was begun with another number ends with it, for it shapes the order."""
        begun, step = self._went_on
        return step if begun == epoch else (self.batch_size or 1) * self.share().world

    def order(self, seed: int, epoch: int) -> ListedOrder:
        total, batch = self.total, self._step(epoch)
        mixed = EpochOrder(total, seed=seed, epoch=epoch).places(np.arange(total))
        window = np.arange(total) // (batch * self.window)
        ordered = mixed[np.lexsort((self._lengths[mixed], window))]
        whole = total - total % batch  # the last, smaller batch stays last
        batches = EpochOrder(whole // batch, seed=seed, epoch=epoch).places(np.arange(whole // batch))
        return ListedOrder(np.concatenate([ordered[:whole].reshape(-1, batch)[batches].ravel(), ordered[whole:]]))
