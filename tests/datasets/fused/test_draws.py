"""Compiled draws are the numbers of `karsl.datasets.rng`, bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from karsl.datasets.fused.draws import CompiledDraw
from karsl.datasets.rng import CounterRNG

KEYS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5)


@given(keys=KEYS, stream=st.integers(0, 2**64 - 1), lane=st.text(max_size=5), count=st.integers(1, 60))
def test_bits_and_uniform_numbers_are_those_of_numpy(keys, stream, lane, count):
    plain, compiled = (kind(np.array(keys, np.uint64), stream=stream) for kind in (CounterRNG, CompiledDraw))
    np.testing.assert_array_equal(compiled.bits(lane, count), plain.bits(lane, count))
    np.testing.assert_array_equal(
        compiled.uniform(lane, count, low=-3.5, high=2), plain.uniform(lane, count, low=-3.5, high=2)
    )
    np.testing.assert_array_equal(compiled.uniform(lane), plain.uniform(lane))
    np.testing.assert_array_equal(compiled.integers(lane, 7), plain.integers(lane, 7))
