"""A random order of any length that need not be written down: each place is found from its number."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from karsl.datasets.rng import sample_keys

_ROUNDS = 6  # four mix large ranges; a range of a few numbers needs more
_WRITTEN = 1 << 20  # places; a shorter order is worked out once an epoch and kept, 4 bytes a place


def permute(places: np.ndarray, length: int, *, key: int) -> np.ndarray:
    """Where some places go in a random order of `length`; long orders take no memory, whoever asks for how much.

    Args:
        places: Integers in [0, length), any number of them.
        length: Of the whole order.
        key: Chooses the order; the same key is the same order in every process.

    Returns:
        int64, one for each place; all places together give each number once.

    Example:
        >>> order = permute(np.arange(5), 5, key=1)
        >>> sorted(order.tolist()), bool(permute(np.array([3]), 5, key=1)[0] == order[3])
        ([0, 1, 2, 3, 4], True)

    Source: a Feistel network over the next power of four, walked until it falls inside the range; Black and Rogaway 2002,
        Ciphers with Arbitrary Finite Domains, https://doi.org/10.1007/3-540-45760-7_9
    """
    if length <= _WRITTEN:
        return _order(length, key)[places].astype(np.int64)
    return _walked(places, length, key)


@lru_cache(maxsize=8)
def _order(length: int, key: int) -> np.ndarray:
    return _walked(np.arange(length), length, key).astype(np.int32)


def _walked(places: np.ndarray, length: int, key: int) -> np.ndarray:
    half = np.uint64(max(1, ((length - 1).bit_length() + 1) // 2))
    found = places.astype(np.uint64)
    outside = np.ones(len(found), bool)
    while outside.any():
        found[outside] = _mixed(found[outside], half, key)
        outside = found >= length
    return found.astype(np.int64)


def _mixed(values: np.ndarray, half: np.uint64, key: int) -> np.ndarray:
    mask = np.uint64((1 << int(half)) - 1)
    left, right = values >> half, values & mask
    for number in range(_ROUNDS):
        left, right = right, left ^ (sample_keys(key, number, right) & mask)
    return left << half | right
