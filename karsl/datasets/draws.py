"""Random numbers that are a pure function of (seed, epoch, sample, transform, lane, position).

No generator has a state, so the numbers do not depend on which worker draws them, in what order, or how many samples are
drawn together.

Source: the mixing steps of SplitMix64, Steele et al. 2014, https://doi.org/10.1145/2714064.2660195
"""

from __future__ import annotations

import math
import zlib
from functools import lru_cache

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def mix64(value: int) -> int:
    """SplitMix64's finaliser on one Python integer; `_mix` is the same on arrays."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def _mix(values: np.ndarray) -> np.ndarray:
    values = values + np.uint64(_GOLDEN)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def name_code(name: str) -> int:
    """A stable number of a name; Python's `hash` differs from run to run."""
    return mix64(zlib.crc32(name.encode()))


def epoch_key(seed: int, epoch: int) -> int:
    """The key that all samples of one epoch share."""
    return mix64(mix64(seed & _MASK) ^ (epoch & _MASK))


def sample_keys(seed: int, epoch: int, sample_idx: np.ndarray) -> np.ndarray:
    """uint64 (N,), one key a sample.

    Args:
        seed: Of the run.
        epoch: Of the run.
        sample_idx: Integers (N,), places in the dataset.

    Example:
        >>> a, b = sample_keys(0, 1, np.array([5, 6])), sample_keys(0, 1, np.array([6]))
        >>> bool(a[1] == b[0]), bool(a[0] == a[1])
        (True, False)
    """
    return _mix(np.atleast_1d(sample_idx).astype(np.uint64) ^ np.uint64(epoch_key(seed, epoch)))


@lru_cache(maxsize=1024)
def lane_code(stream: int, lane: str) -> np.uint64:
    """The number of a lane of a transform."""
    return np.uint64(mix64(stream ^ name_code(lane)))


@lru_cache(maxsize=64)
def _counters(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint64) * np.uint64(_GOLDEN)


class Draw:
    """Numbers for N samples and one transform; every named lane is independent of the others.

    Args:
        keys: uint64 (N,) from `sample_keys`, or one of them.
        stream: `name_code` of the transform, so that two transforms do not draw the same numbers.

    Example:
        >>> one = Draw(sample_keys(0, 0, np.array([3])), stream=1).uniform("angle", 2)
        >>> two = Draw(sample_keys(0, 0, np.array([9, 3])), stream=1).uniform("angle", 2)
        >>> one.shape, bool((two[1] == one[0]).all())
        ((1, 2), True)
    """

    def __init__(self, keys: np.ndarray | np.uint64, *, stream: int) -> None:
        self.keys = np.atleast_1d(np.asarray(keys, dtype=np.uint64))
        self.stream = stream

    def __len__(self) -> int:
        return len(self.keys)

    def bits(self, lane: str, *shape: int) -> np.ndarray:
        """uint64 (N, *shape)."""
        values = _mix(_mix(self.keys ^ lane_code(self.stream, lane))[:, None] + _counters(math.prod(shape)))
        return values.reshape(len(self), *shape)

    def uniform(self, lane: str, *shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """float64 (N, *shape) in [low, high)."""
        unit = (self.bits(lane, *shape) >> np.uint64(11)) * 2.0**-53
        return low + (high - low) * unit

    def integers(self, lane: str, high: np.ndarray | int) -> np.ndarray:
        """int64 (N,), each in [0, high); `high` may differ from sample to sample."""
        return np.floor(self.uniform(lane) * high).astype(np.int64)

    def chance(self, lane: str, prob: float, *shape: int) -> np.ndarray:
        """bool (N, *shape), True with probability `prob`; 0 is never and 1 is always."""
        return self.uniform(lane, *shape) < prob
