"""Mixing of random bits in compiled code, as in `karsl.datasets.rng`."""

from __future__ import annotations

import numpy as np
from numba import njit

GOLDEN, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BY_30, _BY_27, _BY_31 = np.uint64(30), np.uint64(27), np.uint64(31)


@njit(inline="always")
def mix(value):
    """Compiled version of `karsl.datasets.rng.splitmix64`."""
    value = value + GOLDEN
    value = (value ^ (value >> _BY_30)) * _FIRST
    value = (value ^ (value >> _BY_27)) * _SECOND
    return value ^ (value >> _BY_31)
