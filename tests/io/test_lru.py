"""The cache keeps the most recently used values within its bound."""

import pickle

import numpy as np
import pytest

from karsl.io.lru import LRU, nbytes


def eight_bytes(value):
    return lambda: np.array([value], dtype=np.float64)


def test_the_least_recently_used_array_is_dropped_first():
    cache = LRU(16, nbytes)
    loads = []

    def get(key):
        return cache.get_or_load(key, lambda: loads.append(key) or np.zeros(1))

    for key in "abacab":
        get(key)
    assert loads == ["a", "b", "c", "b"]
    assert cache.size == 16


def test_bytes_are_bounded_and_an_array_too_large_is_passed_through():
    cache = LRU(8, nbytes)
    big = cache.get_or_load("big", lambda: np.zeros(2))
    assert (big.nbytes, cache.size) == (16, 0)
    assert cache.get_or_load("small", eight_bytes(1)).tolist() == [1]
    assert cache.size == 8


def test_a_bound_of_zero_stores_nothing():
    cache = LRU(0, nbytes)
    assert cache.get_or_load("a", eight_bytes(1)) is not cache.get_or_load("a", eight_bytes(1))


def test_values_that_are_replaced_or_removed_no_longer_count():
    cache = LRU(24, nbytes)
    cache.put("a", np.zeros(2))
    cache.put("a", np.zeros(1))
    assert (cache.size, len(cache)) == (8, 1)
    cache.pop("a")
    cache.pop("a")
    assert (cache.size, len(cache), cache.get("a")) == (0, 0, None)


def test_without_a_size_entries_are_counted():
    cache = LRU(2)
    for key in "abc":
        cache.put(key, key)
    assert [cache.get(key) for key in "abc"] == [None, "b", "c"]


def test_a_copy_for_another_process_starts_empty():
    cache = LRU(8, nbytes)
    cache.get_or_load("a", eight_bytes(1))
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.max_size, copy.size, copy.get_or_load("a", eight_bytes(2)).tolist()) == (8, 0, [2])


def test_a_negative_bound_is_rejected():
    with pytest.raises(ValueError, match="max_size=-1"):
        LRU(-1)
