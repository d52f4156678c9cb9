"""Compiled random numbers are those of `karsl.datasets.rng`, bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from karsl.datasets.batching.segment import CompiledRNG
from karsl.datasets.rng import CounterRNG

KEYS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5)


@given(keys=KEYS, stream=st.integers(0, 2**64 - 1), name=st.text(max_size=5), count=st.integers(1, 60))
def test_bits_and_uniform_numbers_are_those_of_numpy(keys, stream, name, count):
    plain, compiled = (kind(np.array(keys, np.uint64), transform_id=stream) for kind in (CounterRNG, CompiledRNG))
    np.testing.assert_array_equal(compiled.bits(name, count), plain.bits(name, count))
    np.testing.assert_array_equal(
        compiled.uniform(name, count, low=-3.5, high=2), plain.uniform(name, count, low=-3.5, high=2)
    )
    np.testing.assert_array_equal(compiled.uniform(name), plain.uniform(name))
    np.testing.assert_array_equal(compiled.integers(name, 7), plain.integers(name, 7))
