"""Which numbers a dataset draws: by (seed, epoch), kept where every worker sees a change."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import get_worker_info

from karsl.datasets.draws import mix64, sample_keys

_UNSET = -1


class EpochState:
    """Seed and epoch in shared memory, so that workers that live over several epochs see each new one.

    While no seed is known, every access draws fresh numbers, seeded by torch as those of any PyTorch transform. Once a
    seed is given, here or with `set_epoch`, a sample's key is a pure function of (seed, epoch, sample).

    Args:
        seed: None waits for `set_epoch`.

    Example:
        >>> state = EpochState(seed=7)
        >>> first = state.key(3)
        >>> state.set_epoch(1)
        >>> bool(state.key(3) == first), bool(EpochState(seed=7).key(3) == first)
        (False, True)
    """

    def __init__(self, seed: int | None = None) -> None:
        self._shared = torch.tensor([0, _UNSET if seed is None else seed], dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The current epoch."""
        return int(self._shared[0])

    @property
    def seed(self) -> int | None:
        """The current seed, None while draws are fresh."""
        seed = int(self._shared[1])
        return None if seed == _UNSET else seed

    def set_epoch(self, epoch: int, *, seed: int | None = None) -> None:
        """Go to an epoch.

        Args:
            epoch: 0 or more.
            seed: Taken only if there is none yet; without any it becomes 0.

        Raises:
            ValueError: A negative number.
        """
        if epoch < 0 or (seed is not None and seed < 0):
            raise ValueError(f"set_epoch(epoch={epoch!r}, seed={seed!r}): expected numbers of at least 0")
        self._shared[0] = epoch
        if self.seed is None:
            self._shared[1] = seed or 0

    def key(self, sample_idx: int) -> np.uint64:
        """The random key of one sample, uint64."""
        return self.keys(np.array([sample_idx]))[0]

    def keys(self, sample_idx: np.ndarray) -> np.ndarray:
        """The random keys of N samples, uint64 (N,)."""
        epoch, seed = self._shared.tolist()
        return sample_keys(_fresh_entropy() if seed == _UNSET else seed, epoch, sample_idx)

    def __deepcopy__(self, memo: dict) -> EpochState:
        copy = EpochState(self.seed)
        copy._shared[0] = self.epoch
        return copy


def _fresh_entropy() -> int:
    """From torch's generator and the worker's seed; MMEngine seeds torch alike in every epoch, the latter differs."""
    drawn = int(torch.empty((), dtype=torch.int64).random_())
    worker = get_worker_info()
    return drawn if worker is None else drawn ^ mix64(worker.seed)
