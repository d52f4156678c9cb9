import pickle

import numpy as np
import pytest

from karsl.storage import ArrayCache


def eight_bytes(value):
    return lambda: np.array([value], dtype=np.float64)


def test_the_least_recently_used_array_goes_first():
    cache = ArrayCache(16)
    loads = []

    def get(key):
        return cache.get(key, lambda: loads.append(key) or np.zeros(1))

    for key in "abacab":
        get(key)
    assert loads == ["a", "b", "c", "b"]
    assert cache.nbytes == 16


def test_bytes_are_bounded_and_an_array_too_large_is_passed_through():
    cache = ArrayCache(8)
    big = cache.get("big", lambda: np.zeros(2))
    assert (big.nbytes, cache.nbytes) == (16, 0)
    assert cache.get("small", eight_bytes(1)).tolist() == [1]
    assert cache.nbytes == 8


def test_zero_bytes_keep_nothing():
    cache = ArrayCache(0)
    assert cache.get("a", eight_bytes(1)) is not cache.get("a", eight_bytes(1))


def test_arrays_given_out_cannot_be_edited():
    with pytest.raises(ValueError, match="read-only"):
        ArrayCache(8).get("a", eight_bytes(1))[0] = 2


def test_a_copy_for_another_process_starts_empty():
    cache = ArrayCache(8)
    cache.get("a", eight_bytes(1))
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.max_bytes, copy.nbytes, copy.get("a", eight_bytes(2)).tolist()) == (8, 0, [2])


def test_a_negative_bound_is_refused():
    with pytest.raises(ValueError, match="max_bytes=-1"):
        ArrayCache(-1)
