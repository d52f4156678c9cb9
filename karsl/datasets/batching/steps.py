"""Compiled operations on the points of N clips that a pass over single points cannot express.

Each does to N clips what `apply` of its transform does to one, with the same roundings. A step works in place, or writes
other points; `DeferredBatch` chooses the memory, at the end of a pipeline the batch itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from karsl.datasets.batching.points import Points, fill_unknown, is_complete
from karsl.datasets.batching.rng import GOLDEN, mix
from karsl.datasets.batching.simd import average_point, subtract_point, subtract_xyz
from karsl.datasets.rng import fold_in
from karsl.datasets.transforms.noise import BLOCK, OFFSETS, noise_table

_XYZ, _POINT_BYTES = 3, 16
_LAST_OFFSET, _HALF = np.uint64(OFFSETS - 1), np.uint64(32)
_compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


class Step(NamedTuple):
    """One operation.

    Attributes:
        run: Function of `Points`, which it edits, and of a range of clips; or of input, output and a range of clips.
        channels: C of the output; 0 if the operation works in place.
    """

    run: Callable[..., None]
    channels: int = 0


def noise_step(keys: np.ndarray, sigma: float) -> Step:
    """Add noise, see `RandomGaussianNoise`; uint64 (N,) keys."""

    def run(points: Points, first: int, last: int) -> None:
        table = noise_table(points.values.shape[2]).reshape(-1)
        _add_noise(*points, keys, fold_in(0, "block"), np.float32(sigma), table, first, last)

    return Step(run)


@_compiled
def _add_noise(values, present, rows, lengths, channels, keys, code, sigma, table, first_clip, last_clip):
    width, flat = values.shape[2], values.reshape(-1)
    for n in range(first_clip, last_clip):
        key, first, count = mix(keys[n] ^ code), rows[n] * values.shape[1], lengths[n] * values.shape[1]
        for start in range(0, count, BLOCK):
            bits, size = mix(key + np.uint64(start // BLOCK) * GOLDEN), width * min(BLOCK, count - start)
            offset_a, offset_b = np.int64(bits & _LAST_OFFSET) * width, np.int64((bits >> _HALF) & _LAST_OFFSET) * width
            a, b = table[offset_a : offset_a + size], table[offset_b : offset_b + size]
            target = flat[(first + start) * width : (first + start) * width + size]
            for i in range(size):
                target[i] += sigma * (a[i] + b[i])


def fill_step(mode: str, value: float) -> Step:
    """Give coordinates to missing points, see `FillMissing`."""

    def run(points: Points, first: int, last: int) -> None:
        if mode != "constant":
            _fill_gaps(*points, mode == "linear", first, last)
        fill_unknown(*points, np.float32(value), first, last)

    return Step(run)


@_compiled
def _fill_gaps(values, present, rows, lengths, channels, linear, first_clip, last_clip):
    for n in range(first_clip, last_clip):
        start, end = rows[n], rows[n] + lengths[n]
        for r in range(start, end):
            if is_complete(present[r]):
                continue
            for v in range(present.shape[1]):
                if present[r, v] or (r > start and not present[r - 1, v]):
                    continue  # the gap was filled at its first frame
                after = r + 1
                while after < end and not present[after, v]:
                    after += 1
                if r > start or after < end:
                    _fill_gap(values, v, channels, start, r, after, end, linear)


@njit(inline="always")
def _fill_gap(values, v, channels, start, gap, after, end, linear):
    """Fill frames [gap, after) of point `v` of a clip of frames [start, end), which is present next to the gap."""
    before = gap - 1 if gap > start else after
    behind = after if after < end else before
    steps = np.float64(max(behind - before, 1))
    for r in range(gap, after):
        weight = np.float32((r - before) / steps) if linear and before < behind else np.float32(0)
        for c in range(channels):
            x = values[before, v, c]
            values[r, v, c] = x if weight == 0 else x + (values[behind, v, c] - x) * weight


def smooth_step(radius: int) -> Step:
    """Replace present points by their mean over neighboring frames, see `SmoothKeypoints`."""

    def run(points: Points, first: int, last: int) -> None:
        _smooth(*points, radius, first, last)

    return Step(run)


@_compiled
def _smooth(values, present, rows, lengths, channels, radius, first_clip, last_clip):
    points, width, longest = values.shape[1], values.shape[2], 0
    for n in range(first_clip, last_clip):
        longest = max(longest, lengths[n])
    known, total = np.empty((longest, 4 * points), np.float32), np.empty(4 * points, np.float32)  # x y z 1, or zeros
    for n in range(first_clip, last_clip):
        for t in range(lengths[n]):
            _copy_known(values[rows[n] + t], present[rows[n] + t], known[t])
        for t in range(lengths[n]):
            total[:] = 0
            for near in range(max(t - radius, 0), min(t + radius + 1, lengths[n])):
                frame = known[near]
                for i in range(total.size):
                    total[i] += frame[i]
            r = rows[n] + t
            if width == 4 and is_complete(present[r]):
                target = values.ctypes.data + _POINT_BYTES * points * r
                for v in range(points):
                    average_point(total.ctypes.data + _POINT_BYTES * v, target + _POINT_BYTES * v)
            else:
                for v in range(points):
                    if present[r, v]:
                        for c in range(_XYZ):
                            values[r, v, c] = total[4 * v + c] / total[4 * v + 3]


@njit(inline="always")
def _copy_known(points, present, out):
    """Copy one frame to float32 (4 V,): x, y, z, 1, or zeros where missing."""
    for v in range(present.size):
        for c in range(_XYZ):
            out[4 * v + c] = points[v, c] if present[v] else np.float32(0)
        out[4 * v + 3] = np.float32(1) if present[v] else np.float32(0)


def streams_step(streams: Sequence[str], parents: np.ndarray) -> Step:
    """Replace points by joint, bone and motion streams, see `SkeletonFeatures`; int64 (V,) parents."""
    bones = np.array([name.startswith("bone") for name in streams])
    motions = np.array([name.endswith("motion") for name in streams])

    def run(points: Points, out: Points, first: int, last: int) -> None:
        _write_streams(*points, bones, motions, parents, out.values, out.present, out.rows, first, last)

    return Step(run, channels=_XYZ * len(streams))


@_compiled
def _write_streams(
    values, present, rows, lengths, channels, bones, motions, parents, out, out_present, out_rows, first_clip, last_clip
):
    points, row_bytes, target_bytes = values.shape[1], values.shape[1] * _POINT_BYTES, 4 * out.shape[2]
    both, nothing = np.empty((2, points, 4), np.float32), np.zeros(4, np.float32)  # bones of this frame and of the last
    for n in range(first_clip, last_clip):
        for t in range(lengths[n]):
            r, target = rows[n] + t, out_rows[n] + t
            joint, bone = values.ctypes.data + row_bytes * r, both.ctypes.data + row_bytes * (t & 1)
            joint_before, bone_before = joint - row_bytes, both.ctypes.data + row_bytes * (1 - (t & 1))
            for v in range(points if bones.any() else 0):
                subtract_point(joint + _POINT_BYTES * v, joint + _POINT_BYTES * parents[v], bone + _POINT_BYTES * v)
            for s in range(bones.size):
                now, before, step = bone if bones[s] else joint, nothing.ctypes.data, 0
                if motions[s] and t == 0:
                    now, before, step = joint, joint, _POINT_BYTES  # 0, also where the other end of a bone is missing
                elif motions[s]:
                    before, step = bone_before if bones[s] else joint_before, _POINT_BYTES
                at = out.ctypes.data + target_bytes * points * target + 4 * _XYZ * s
                if bones.size == 1 and out.shape[2] == 4:
                    for v in range(points):
                        subtract_point(now + _POINT_BYTES * v, before + step * v, at + _POINT_BYTES * v)
                else:
                    for v in range(points):
                        subtract_xyz(now + _POINT_BYTES * v, before + step * v, at + target_bytes * v)
            if is_complete(present[r]) and (t == 0 or is_complete(present[r - 1])):
                out_present[target] = True
                if bones.size > 1 and out.shape[2] > _XYZ * bones.size:
                    out[target, :, _XYZ * bones.size] = values[r, :, _XYZ]
            else:
                _mark_missing(present[r], values[r], out[target], out_present[target], _XYZ * bones.size)


@njit(inline="always")
def _mark_missing(present, now, out, out_present, width):
    """Set score and mask of one frame, and NaN where a stream lacks a point."""
    for v in range(present.size):
        total = np.float32(0)
        for i in range(width):
            total += out[v, i]
        out_present[v] = seen = present[v] and not np.isnan(total)
        if out.shape[1] > width:
            out[v, width] = now[v, _XYZ] if seen else np.float32(0)
        if not seen:
            out[v, :width] = np.nan
