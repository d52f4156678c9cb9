"""Points of a clip between two operations: coordinates and scores, NaN and 0 where missing, as in the results of one clip.

A clip is float32 (T, V, C + 1), and bool (T, V), True where the score is above 0. Here are the conversions to and from
stored frames (V, 4), whose missing points are zeros, and separate arrays. A point that FillMissing gave coordinates to is
still missing; in a stored frame its score is `FILLED`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import carray, njit

from karsl.datasets.batching.simd import FILLED, address_of, compiled, pointer
from karsl.datasets.batching.vectors import (
    POINT_BYTES,
    fill_nan,
    load,
    load_apart,
    store,
    store_flags,
    store_scores,
    store_xyz,
)
from karsl.datasets.transfer import BufferPool

_XYZ, FLOATS = 3, np.zeros(0, np.float32)
_pool = BufferPool(max_free=4)


def scratch(*shape: int) -> np.ndarray:
    """Return float32 memory that is reused when no array refers to it any more."""
    size = 4 * math.prod(shape)
    return _pool.acquire(size)[:size].view(np.float32).reshape(shape)


@njit(inline="always")
def is_complete(present):
    """Return True if no point of a frame, bool (V,), is missing. Without branches: 10 times as fast as one per point."""
    complete = True
    for v in range(present.size):
        complete &= present[v]
    return complete


@compiled
def store_points(clip, present, keep_filled):
    """Change missing points to those of stored frames; return True if one has coordinates.

    Args:
        clip, present: C is 3.
        keep_filled: Keep such coordinates.
    """
    found = False
    for t in range(clip.shape[0]):
        if is_complete(present[t]):
            continue
        for v in range(present.shape[1]):
            if not present[t, v]:
                known = keep_filled and not np.isnan(clip[t, v, 0])
                found |= known
                for c in range(_XYZ):
                    if not known or np.isnan(clip[t, v, c]):
                        clip[t, v, c] = 0
                clip[t, v, _XYZ] = FILLED if known else 0
    return found


@compiled
def restore_points(clip, present):
    """Undo `store_points`, for points that were written with NaN where missing."""
    for t in range(clip.shape[0]):
        for v in range(present.shape[1]):
            if clip[t, v, _XYZ] <= FILLED:
                clip[t, v, _XYZ] = 0
                present[t, v] = False


@compiled
def copy_points(clip, present, out, out_present):
    """Copy a clip to `out` (T, V, C) or (T, V, C + 1) and its flags."""
    width = out.shape[2]
    if clip.shape[2] == _XYZ + 1 and width == _XYZ:
        _copy_xyz(address_of(clip), address_of(out), clip.shape[0] * clip.shape[1])
        width = 0
    for t in range(clip.shape[0]):  # loops: slices take seconds to compile
        for v in range(clip.shape[1]):
            out_present[t, v] = present[t, v]
            for c in range(width):
                out[t, v, c] = clip[t, v, c]


@njit(inline="always")
def _copy_xyz(source, target, points):
    v = 0
    while v + 4 <= points:
        store_xyz(load(4, source + POINT_BYTES * v), target + 12 * v)
        v += 4
    while v < points:
        store_xyz(load(1, source + POINT_BYTES * v), target + 12 * v)
        v += 1


@compiled
def fill_unknown(values, present, fill):
    """Replace NaN in missing points by a coordinate, in (T, V, C) or (T, V, C + 1)."""
    for t in range(values.shape[0]):
        if not is_complete(present[t]):
            _fill_frame(address_of(values[t]), values.shape[1] * values.shape[2], fill)


@njit(inline="always")
def _fill_frame(frame, size, fill):
    i = 0
    while i + 16 <= size:
        store(fill_nan(load(4, frame + 4 * i), fill), frame + 4 * i)
        i += 16
    rest = carray(pointer(FLOATS, frame), size)
    while i < size:
        rest[i] = fill if np.isnan(rest[i]) else rest[i]
        i += 1


class ClipArrays(NamedTuple):
    """Coordinates and scores of N clips in separate float32 arrays, as transforms of one clip see them.

    Attributes:
        keypoint: int64 (N,), addresses of (T, V, C).
        score: int64 (N,), addresses of (T, V).
        channels: C.
        memory: Arrays that keep the addresses valid.
    """

    keypoint: np.ndarray
    score: np.ndarray
    channels: int
    memory: Any

    @classmethod
    def from_block(cls, keypoint: np.ndarray, score: np.ndarray, ends: np.ndarray) -> ClipArrays:
        """Refer to clips in (F, V, C) and (F, V), whose frames begin at int64 (N + 1,) `ends`."""
        first, second = (array.ctypes.data + ends[:-1] * array.strides[0] for array in (keypoint, score))
        return cls(first, second, keypoint.shape[2], (keypoint, score))

    @classmethod
    def from_clips(cls, keypoints: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> ClipArrays:
        """Refer to N contiguous arrays (T, V, C) and (T, V)."""
        first, second = (
            np.array([array.__array_interface__["data"][0] for array in arrays], np.int64) for arrays in (keypoints, scores)
        )
        return cls(first, second, keypoints[0].shape[2], (keypoints, scores))


@compiled
def split_points(clip, keypoint, score):
    """Copy a clip to coordinates (T, V, C) and scores (T, V)."""
    if clip.shape[2] == _XYZ + 1:
        _split_xyz(address_of(clip), clip.shape[0] * clip.shape[1], address_of(keypoint), address_of(score))
    else:
        keypoint[:] = clip[:, :, :-1]
        score[:] = clip[:, :, -1]


@njit(inline="always")
def _split_xyz(source, points, keypoint, score):
    v = 0
    while v + 4 <= points:
        point = load(4, source + POINT_BYTES * v)
        store_xyz(point, keypoint + 12 * v)
        store_scores(point, score + 4 * v)
        v += 4
    while v < points:
        point = load(1, source + POINT_BYTES * v)
        store_xyz(point, keypoint + 12 * v)
        store_scores(point, score + 4 * v)
        v += 1


@compiled
def join_points(keypoint, score, channels, fill, clip, present):
    """Copy coordinates (T, V, C) and scores (T, V), given by address, to a clip, with `fill` in place of NaN.

    Args:
        clip: Without scores if its width is C.
        present: Set.
    """
    points, width = clip.shape[0] * clip.shape[1], clip.shape[2]
    if width == channels + 1 and channels == _XYZ:
        _join_xyz(keypoint, score, fill, points, address_of(clip), address_of(present))
        return
    coordinates, scores = carray(pointer(FLOATS, keypoint), (points, channels)), carray(pointer(FLOATS, score), points)
    target, seen = clip.reshape(points, width), present.reshape(-1)
    for v in range(points):
        seen[v] = scores[v] > 0
        for c in range(channels):
            x = coordinates[v, c]
            target[v, c] = fill if np.isnan(x) else x
        if width > channels:
            target[v, channels] = scores[v]


@njit(inline="always")
def _join_xyz(source, scores, fill, points, out, flags):
    v = 0
    while v + 4 <= points:
        point = fill_nan(load_apart(4, source + 12 * v, scores + 4 * v), fill)
        store(point, out + POINT_BYTES * v)
        store_flags(point, flags + v)
        v += 4
    while v < points:
        point = fill_nan(load_apart(1, source + 12 * v, scores + 4 * v), fill)
        store(point, out + POINT_BYTES * v)
        store_flags(point, flags + v)
        v += 1
