"""Candidates of copies are exactly the close pairs, and an alignment in time finds a cut copy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from karsl.audit.copies import _close_pairs, _sharing_pairs, point_distance
from karsl.audit.measures import NO_HASH


@given(st.integers(0, 10_000), st.integers(0, 60), st.floats(0.05, 2.0))
@settings(max_examples=30)
def test_close_pairs_are_those_of_all_pairs(seed, count, distance):
    values = np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32).round(1)
    gaps = np.sqrt(np.square(values[:, None] - values).mean(-1))
    expected = {(a, b) for a in range(count) for b in range(a + 1, count) if gaps[a, b] < distance - 1e-4}
    allowed = {(a, b) for a in range(count) for b in range(a + 1, count) if gaps[a, b] < distance + 1e-4}
    found = list(_close_pairs(values, distance))
    assert len(found) == len(set(found))
    assert expected <= set(found) <= allowed


def test_rows_that_share_a_value_are_pairs_but_not_by_a_missing_one():
    hashes = np.array([[1, 5], [2, 5], [1, NO_HASH], [3, NO_HASH]], np.uint64)
    assert sorted(_sharing_pairs(hashes)) == [(0, 1), (0, 2)]


def test_a_cut_copy_has_distance_0_and_another_clip_has_not():
    clip = np.random.default_rng(0).normal(size=(20, 3, 2)).cumsum(0)
    assert point_distance(clip, clip[3:-2]) == 0
    assert point_distance(clip[:16], clip[4:]) == 0  # 12 common frames of 16
    assert point_distance(clip, clip[::-1]) > 0.1
    assert point_distance(clip, clip * np.nan) == np.inf
