"""Shuffling that reads in long runs."""

from __future__ import annotations

from collections.abc import Sized

import numpy as np

from karsl.datasets.partition import EpochOrder
from karsl.datasets.samplers.base import OrderSampler
from karsl.errors import ConfigError
from karsl.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ChunkSampler(OrderSampler):
    """Random runs of neighbouring clips, mixed a window at a time, for packs larger than memory.

    Clips that lie together are read together: a window takes `window` chunks from random parts of the pack, each of `chunk`
    neighbours, and mixes their clips. Each chunk is then one run on the disk.

    Args:
        dataset, seed, mode: See `OrderSampler`.
        chunk: Neighbouring clips that are read together; 64 of KArSL's are 3.6 MB of float16.
        window: Chunks that are mixed; their clips should fit into memory. The larger, the nearer to a full shuffle.

    Raises:
        ConfigError: `chunk` or `window` below 1.

    Example:
        >>> sampler = ChunkSampler(range(1000), seed=0, chunk=10, window=20)
        >>> sorted(sampler) == list(range(1000)), len({place // 10 for place in list(sampler)[:200]}) < 45
        (True, True)
    """

    def __init__(
        self, dataset: Sized, *, seed: int | None = None, chunk: int = 64, window: int = 32, mode: str = "pad"
    ) -> None:
        if chunk < 1 or window < 1:
            raise ConfigError(f"ChunkSampler: chunk={chunk}, window={window}; expected 1 or more of each")
        super().__init__(dataset, seed=seed, mode=mode)
        self.chunk, self.window = chunk, window

    def options(self) -> tuple:
        return self.chunk, self.window

    def order(self, seed: int, epoch: int) -> EpochOrder:
        sizes = np.diff(np.append(np.arange(0, self.total, self.chunk), self.total))
        return EpochOrder(sizes, seed=seed, epoch=epoch, window=self.chunk * self.window)
