"""Vectors of points in compiled code, by known answers."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from karsl.datasets.batching.simd import address_of
from karsl.datasets.batching.vectors import (
    POINT_BYTES,
    are_known,
    counted,
    gather,
    hide_unknown,
    load,
    load_apart,
    load_half,
    store,
    store_flags,
    store_scores,
    store_xyz,
    subtract_xyz,
)

NAN = np.float32(np.nan)


@njit
def _read(points, half, keypoint, score, parents, out):
    size = POINT_BYTES * 4
    store(load_half(4, address_of(half)), address_of(out))
    store(load_apart(4, address_of(keypoint), address_of(score)), address_of(out) + size)
    store(
        subtract_xyz(load(4, address_of(points)), gather(4, address_of(points), address_of(parents))),
        address_of(out) + 2 * size,
    )


def test_points_are_read_from_float16_from_separate_arrays_and_by_number():
    points = np.arange(16, dtype=np.float32).reshape(4, 4)
    out = np.zeros((3, 4, 4), np.float32)
    parents = np.array([0, 0, 3, 2])
    _read(points, points.astype(np.float16).view(np.uint16), points[:, :3].copy(), points[:, 3].copy(), parents, out)
    np.testing.assert_array_equal(out[0], points)
    np.testing.assert_array_equal(out[1], points)
    differences = [[0, 0, 0, 3], [4, 4, 4, 7], [-4, -4, -4, 11], [4, 4, 4, 15]]
    assert out[2].tolist() == differences, "the score is that of the first point"


@njit
def _write(points, out, xyz, scores, flags, known):
    known[0] = are_known(load(4, address_of(points)))
    store(counted(load(4, address_of(points))), address_of(out))
    hidden = hide_unknown(load(4, address_of(points)))
    store_xyz(hidden, address_of(xyz))
    store_scores(hidden, address_of(scores))
    store_flags(hidden, address_of(flags))


@pytest.mark.parametrize("axis", range(3))
def test_a_point_with_one_unknown_coordinate_is_hidden_and_one_without_score_is_not_counted(axis):
    points = np.array([[1, 2, 3, 0.5], [4, 5, 6, 1], [7, 8, 9, 0], [NAN, NAN, NAN, 0]], np.float32)
    points[1, axis] = NAN
    out, xyz, scores, flags = (
        np.zeros((4, 4), np.float32),
        np.zeros((4, 3), np.float32),
        np.zeros(4, np.float32),
        np.zeros(4, bool),
    )
    known = np.zeros(1, bool)
    _write(points, out, xyz, scores, flags, known)
    assert out[[0, 2, 3]].tolist() == [[1, 2, 3, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert (xyz[0].tolist(), scores.tolist(), flags.tolist()) == ([1, 2, 3], [0.5, 0, 0, 0], [True, False, False, False])
    assert np.isnan(xyz[1:]).all()
    assert not known[0]
    _write(np.ones((4, 4), np.float32), out, xyz, scores, flags, known)
    assert known[0]
    assert flags.all()
