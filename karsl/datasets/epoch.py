"""Which numbers a dataset draws: by (seed, epoch), kept where every worker sees a change."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import get_worker_info

from karsl.datasets.draws import mix64, sample_keys
from karsl.datasets.shared_numbers import SharedNumbers
from karsl.errors import ConfigError

_UNSET = -1
_LIMIT = 1 << 63


class EpochState:
    """Seed and epoch, shared with workers, so that those that live over several epochs see each new one.

    While no seed is known, every access draws fresh numbers, seeded by torch as those of any PyTorch transform. Once a
    seed is given, here or with `set_epoch`, a sample's key is a pure function of (seed, epoch, sample).

    Args:
        seed: None waits for `set_epoch`.

    Raises:
        ConfigError: The seed is not a whole number of 0 to 2**63 - 1.

    Example:
        >>> state = EpochState(seed=7)
        >>> first = state.key(3)
        >>> state.set_epoch(1)
        >>> bool(state.key(3) == first), bool(EpochState(seed=7).key(3) == first)
        (False, True)
    """

    def __init__(self, seed: int | None = None) -> None:
        if seed is not None:
            check_whole("a dataset", seed=seed)
        self._shared = SharedNumbers([0, _UNSET if seed is None else seed])

    @property
    def epoch(self) -> int:
        """The current epoch."""
        return self._shared[0]

    @property
    def seed(self) -> int | None:
        """The current seed, None while draws are fresh."""
        seed = self._shared[1]
        return None if seed == _UNSET else seed

    def set_epoch(self, epoch: int, *, seed: int | None = None) -> None:
        """Go to an epoch.

        Args:
            epoch: 0 or more.
            seed: Taken only if there is none yet; without any it becomes 0.

        Raises:
            ConfigError: Not a whole number of 0 to 2**63 - 1.
        """
        check_whole("set_epoch", epoch=epoch, seed=seed or 0)
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


def check_whole(where: str, *, low: int = 0, **numbers: int) -> None:
    """See that seeds, epochs and counts can be kept.

    Raises:
        ConfigError: One is not a whole number of `low` to 2**63 - 1.

    Example:
        >>> check_whole("a dataset", seed=-1)
        Traceback (most recent call last):
        karsl.errors.ConfigError: a dataset: seed=-1; expected a whole number of 0 to 2**63 - 1
    """
    for name, value in numbers.items():
        if not isinstance(value, (int, np.integer)) or not low <= value < _LIMIT:
            raise ConfigError(f"{where}: {name}={value!r}; expected a whole number of {low} to 2**63 - 1")


def _fresh_entropy() -> int:
    """From torch's generator and the worker's seed; MMEngine seeds torch alike in every epoch, the latter differs."""
    drawn = int(torch.empty((), dtype=torch.int64).random_())
    worker = get_worker_info()
    return drawn if worker is None else drawn ^ mix64(worker.seed)
