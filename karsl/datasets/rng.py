"""Counter-based random numbers: a pure function of (seed, epoch, sample, transform, name, position).

The generator has no state, so the numbers do not depend on the worker that draws them, on the order, or on the batch size.

Source: the mixing steps of SplitMix64, Steele et al. 2014, https://doi.org/10.1145/2714064.2660195
"""

from __future__ import annotations

import math
import zlib
from functools import lru_cache

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_INCREMENT = np.uint64(_GOLDEN)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def splitmix64(value: int) -> int:
    """Mix one Python integer with the finalizer of SplitMix64. `_mix` does the same on arrays."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def _mix(values: np.ndarray) -> np.ndarray:
    values = values + _INCREMENT
    values ^= values >> _SHIFTS[0]
    values *= _FACTORS[0]
    values ^= values >> _SHIFTS[1]
    values *= _FACTORS[1]
    values ^= values >> _SHIFTS[2]
    return values


def hash_name(name: str) -> int:
    """Hash a name to 64 bits, the same in every process (Python's `hash` differs from run to run)."""
    return splitmix64(zlib.crc32(name.encode()))


def epoch_key(seed: int, epoch: int) -> int:
    """Return the key that all samples of one epoch share."""
    return splitmix64(splitmix64(seed & _MASK) ^ (epoch & _MASK))


def sample_keys(seed: int, epoch: int, sample_idx: np.ndarray) -> np.ndarray:
    """Return one key per sample.

    Args:
        seed: Seed of the run.
        epoch: Current epoch.
        sample_idx: Dataset indices, integers (N,).

    Returns:
        uint64 (N,).

    Example:
        >>> a, b = sample_keys(0, 1, np.array([5, 6])), sample_keys(0, 1, np.array([6]))
        >>> bool(a[1] == b[0]), bool(a[0] == a[1])
        (True, False)
    """
    return _mix(np.atleast_1d(sample_idx).astype(np.uint64) ^ np.uint64(epoch_key(seed, epoch)))


@lru_cache(maxsize=1024)
def fold_in(transform_id: int, name: str) -> np.uint64:
    """Combine the id of a transform with the name of a random number."""
    return np.uint64(splitmix64(transform_id ^ hash_name(name)))


@lru_cache(maxsize=64)
def _counters(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint64) * np.uint64(_GOLDEN)


class CounterRNG:
    """Random numbers for N samples and one transform. Numbers of different names are independent.

    Args:
        keys: uint64 (N,) from `sample_keys`, or a single key.
        transform_id: `hash_name` of the transform, so that two transforms draw different numbers.

    Example:
        >>> one = CounterRNG(sample_keys(0, 0, np.array([3])), transform_id=1).uniform("angle", 2)
        >>> two = CounterRNG(sample_keys(0, 0, np.array([9, 3])), transform_id=1).uniform("angle", 2)
        >>> one.shape, bool((two[1] == one[0]).all())
        ((1, 2), True)
    """

    def __init__(self, keys: np.ndarray | np.uint64, *, transform_id: int) -> None:
        self.keys = np.atleast_1d(np.asarray(keys, dtype=np.uint64))
        self.transform_id = transform_id

    def __len__(self) -> int:
        return len(self.keys)

    def bits(self, name: str, *shape: int) -> np.ndarray:
        """Return random bits, uint64 (N, *shape)."""
        values = _mix(_mix(self.keys ^ fold_in(self.transform_id, name))[:, None] + _counters(math.prod(shape)))
        return values.reshape(len(self), *shape)

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """Return uniform numbers in [low, high), float64 (N, *shape)."""
        unit = (self.bits(name, *shape) >> np.uint64(11)) * 2.0**-53
        return low + (high - low) * unit

    def integers(self, name: str, high: np.ndarray | int) -> np.ndarray:
        """Return integers in [0, high), int64 (N,). `high` may differ per sample, (N,)."""
        return np.floor(self.uniform(name) * high).astype(np.int64)

    def bernoulli(self, name: str, prob: float, *shape: int) -> np.ndarray:
        """Return True with probability `prob`, bool (N, *shape). 0 is never and 1 is always."""
        return self.uniform(name, *shape) < prob
