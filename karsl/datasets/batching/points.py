"""Points of N clips between two operations: NaN and score 0 where missing, as in the results of one clip.

Here are the conversions to and from stored frames (V, 4), whose missing points are zeros. A point that FillMissing gave
coordinates to is still missing; in a stored frame its score is `FILLED`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import carray, njit

from karsl.datasets.batching.simd import FILLED, address_of, pointer
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

_compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
_XYZ, _FLOATS = 3, np.zeros(0, np.float32)
_pool = BufferPool(max_free=4)  # coordinates, scores, and some clips before and after a step


class Points(NamedTuple):
    """Points of N clips. Compiled code takes the five attributes as its first arguments.

    Attributes:
        values: float32 (F', V, C), coordinates, NaN where unknown; or (F', V, C + 1) with the score.
        present: bool (F', V), True where the score is above 0.
        rows: int64 (N,), first row of each clip.
        lengths: int64 (N,), frames.
        channels: C.
    """

    values: np.ndarray
    present: np.ndarray
    rows: np.ndarray
    lengths: np.ndarray
    channels: int


class Scratch:
    """Memory for the points of some of N clips at a time, in one thread.

    Args:
        lengths: int64 (N,), frames.
        ends: int64 (N + 1,), start of each clip, and the end of the last.
        frames: Maximum number of frames at a time.
        num_keypoints: V.
    """

    def __init__(self, lengths: np.ndarray, ends: np.ndarray, frames: int, num_keypoints: int) -> None:
        self._lengths, self._ends, self._shape = lengths, ends, (frames, num_keypoints)
        self._memory: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def points(self, first: int, channels: int, slot: int = 0) -> Points:
        """Return memory for the clips from `first` on, with C coordinates and a score; contents are undefined.

        Args:
            first: First clip.
            channels: C.
            slot: Number of the memory; that of another number stays as it is.
        """
        key = channels, slot
        if key not in self._memory:
            self._memory[key] = scratch(*self._shape, channels + 1), np.empty(self._shape, bool)
        return Points(*self._memory[key], self._ends[:-1] - self._ends[first], self._lengths, channels)


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


@_compiled
def store_points(values, present, rows, lengths, channels, keep_filled, found, first_clip, last_clip):
    """Change missing points to those of stored frames.

    Args:
        keep_filled: Keep coordinates of missing points.
        found: bool (N,), set to True for clips in which some were kept.
    """
    for n in range(first_clip, last_clip):
        for r in range(rows[n], rows[n] + lengths[n]):
            if is_complete(present[r]):
                continue
            for v in range(present.shape[1]):
                if not present[r, v]:
                    known = keep_filled and not np.isnan(values[r, v, 0])
                    found[n] |= known
                    for c in range(channels):
                        if not known or np.isnan(values[r, v, c]):
                            values[r, v, c] = 0
                    values[r, v, channels] = FILLED if known else 0


@_compiled
def restore_points(values, present, rows, lengths, channels, first_clip, last_clip):
    """Undo `store_points`, for points that were written with NaN where missing."""
    for n in range(first_clip, last_clip):
        for r in range(rows[n], rows[n] + lengths[n]):
            for v in range(present.shape[1]):
                if values[r, v, channels] <= FILLED:
                    values[r, v, channels] = 0
                    present[r, v] = False


@_compiled
def copy_points(values, present, rows, lengths, channels, out, out_present, out_rows, first_clip, last_clip):
    """Copy points with scores to other rows, with or without scores."""
    points = present.shape[1]
    for n in range(first_clip, last_clip):
        for t in range(lengths[n]):
            r, s = rows[n] + t, out_rows[n] + t
            out_present[s] = present[r]
            if channels == _XYZ and out.shape[2] == _XYZ:
                source, target = address_of(values) + POINT_BYTES * points * r, address_of(out) + 12 * points * s
                _copy_xyz(source, target, points)
            else:
                out[s] = values[r, :, : out.shape[2]]


@njit(inline="always")
def _copy_xyz(source, target, points):
    v = 0
    while v + 4 <= points:
        store_xyz(load(4, source + POINT_BYTES * v), target + 12 * v)
        v += 4
    while v < points:
        store_xyz(load(1, source + POINT_BYTES * v), target + 12 * v)
        v += 1


@_compiled
def fill_unknown(values, present, rows, lengths, channels, fill, first_clip, last_clip):
    """Replace NaN in missing points by a coordinate."""
    for n in range(first_clip, last_clip):
        for r in range(rows[n], rows[n] + lengths[n]):
            if not is_complete(present[r]):
                _fill_frame(address_of(values[r]), values.shape[1] * values.shape[2], fill)


@njit(inline="always")
def _fill_frame(frame, size, fill):
    i = 0
    while i + 16 <= size:
        store(fill_nan(load(4, frame + 4 * i), fill), frame + 4 * i)
        i += 16
    rest = carray(pointer(_FLOATS, frame), size)
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


@_compiled
def split_points(values, present, rows, lengths, channels, keypoint, score, ends, first_clip, last_clip):
    """Copy points with scores to coordinates (F, V, C) and scores (F, V), one clip after the other."""
    points = values.shape[1]
    for n in range(first_clip, last_clip):
        for t in range(lengths[n]):
            r, f = rows[n] + t, ends[n] + t
            if channels == _XYZ:
                source, target = address_of(values) + POINT_BYTES * points * r, address_of(keypoint) + 12 * points * f
                _split_xyz(source, points, target, address_of(score) + 4 * points * f)
            else:
                keypoint[f] = values[r, :, :channels]
                score[f] = values[r, :, channels]


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


@_compiled
def join_points(values, present, rows, lengths, channels, like, keypoints, scores_of, fill, first_clip, last_clip):
    """Copy coordinates and scores, given by addresses int64 (N,), to points, with `fill` in place of NaN.

    Args:
        like: Empty float32 array.
    """
    width, points = values.shape[2], values.shape[1]
    for n in range(first_clip, last_clip):
        keypoint = carray(pointer(like, keypoints[n]), (lengths[n], points * channels))
        score = carray(pointer(like, scores_of[n]), (lengths[n], points))
        for t in range(lengths[n]):
            r = rows[n] + t
            here, seen, target = score[t], present[r], values[r].reshape(-1)
            if width == channels + 1 and channels == _XYZ:
                source, scores = keypoints[n] + 12 * points * t, scores_of[n] + 4 * points * t
                out, flags = address_of(values) + POINT_BYTES * points * r, address_of(present) + points * r
                _join_xyz(source, scores, fill, points, out, flags)
                continue
            for v in range(points):
                seen[v] = here[v] > 0
            if width == channels:
                _copy_filled(keypoint[t], fill, target)
            else:
                for v in range(points):
                    _copy_filled(keypoint[t, v * channels : (v + 1) * channels], fill, values[r, v, :channels])
                    values[r, v, channels] = here[v]


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


@njit(inline="always")
def _copy_filled(source, fill, out):
    for i in range(out.size):
        x = source[i]
        out[i] = fill if np.isnan(x) else x
