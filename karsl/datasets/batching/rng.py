"""Random numbers of `karsl.datasets.rng` in compiled code, bit for bit, without an array per operation."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from karsl.datasets.rng import CounterRNG, fold_in

GOLDEN, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BY_30, _BY_27, _BY_31, _TO_53_BITS = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


@njit(inline="always")
def mix(value):
    """Compiled version of `karsl.datasets.rng.splitmix64`."""
    value = value + GOLDEN
    value = (value ^ (value >> _BY_30)) * _FIRST
    value = (value ^ (value >> _BY_27)) * _SECOND
    return value ^ (value >> _BY_31)


@_compiled
def _bits(keys, code, out):
    for n in range(keys.size):
        key = mix(keys[n] ^ code)
        for k in range(out.shape[1]):
            out[n, k] = mix(key + np.uint64(k) * GOLDEN)


@_compiled
def _uniform(keys, code, low, high, out):
    for n in range(keys.size):
        key = mix(keys[n] ^ code)
        for k in range(out.shape[1]):
            unit = np.float64(mix(key + np.uint64(k) * GOLDEN) >> _TO_53_BITS) * 2.0**-53
            out[n, k] = low + (high - low) * unit


class CompiledRNG(CounterRNG):
    """Compiled counter-based random numbers for batches."""

    def bits(self, name: str, *shape: int) -> np.ndarray:
        """Return uint64 (N, *shape)."""
        out = np.empty((len(self), math.prod(shape)), np.uint64)
        _bits(self.keys, fold_in(self.transform_id, name), out)
        return out.reshape(len(self), *shape)

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """Return float64 (N, *shape) in [low, high)."""
        out = np.empty((len(self), math.prod(shape)))
        _uniform(self.keys, fold_in(self.transform_id, name), float(low), float(high), out)
        return out.reshape(len(self), *shape)
