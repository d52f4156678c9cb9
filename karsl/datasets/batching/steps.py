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
from karsl.datasets.batching.simd import address_of
from karsl.datasets.batching.vectors import (
    POINT_BYTES,
    add,
    are_known,
    counted,
    gather,
    have_scores,
    hide_unknown,
    load,
    mean_of,
    scale_xyz,
    store,
    store_flags,
    subtract_xyz,
)
from karsl.datasets.rng import fold_in
from karsl.datasets.transforms.noise import BLOCK, OFFSETS, noise_table

_XYZ = 3
_LAST_OFFSET, _HALF = np.uint64(OFFSETS - 1), np.uint64(32)
_compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


class Step(NamedTuple):
    """One operation.

    Attributes:
        run: Function of `Points`, which it edits, and of a range of clips; or of input, output and a range of clips.
        channels: C of the output; 0 if the operation works in place.
        fills: True if missing points may have coordinates afterwards.
    """

    run: Callable[..., None]
    channels: int = 0
    fills: bool = False


def noise_step(keys: np.ndarray, sigma: float) -> Step:
    """Add noise, see `RandomGaussianNoise`; uint64 (N,) keys."""
    table, code = noise_table(_XYZ + 1).reshape(-1), fold_in(0, "block")

    def run(points: Points, first: int, last: int) -> None:
        _add_noise(*points, keys, code, np.float32(sigma), table, first, last)

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

    return Step(run, fills=True)


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
    """Points have scores."""
    points, row_bytes, longest = values.shape[1], values.shape[1] * POINT_BYTES, 0
    for n in range(first_clip, last_clip):
        longest = max(longest, lengths[n])
    slots = min(2 * radius + 1, longest)
    window = np.empty((slots, points, 4), np.float32)  # the frames around one, in the first-level cache
    known = address_of(window)
    for n in range(first_clip, last_clip):
        base, next_frame = address_of(values) + row_bytes * rows[n], 0
        for t in range(lengths[n]):
            first, end = max(t - radius, 0), min(t + radius + 1, lengths[n])
            while next_frame < end:
                _copy_known(base + row_bytes * next_frame, known + row_bytes * (next_frame % slots), points)
                next_frame += 1
            target, v = base + row_bytes * t, 0
            while v + 8 <= points:
                _write_mean(8, known + POINT_BYTES * v, row_bytes, slots, first, end, target + POINT_BYTES * v)
                v += 8
            while v < points:
                _write_mean(1, known + POINT_BYTES * v, row_bytes, slots, first, end, target + POINT_BYTES * v)
                v += 1


@njit(inline="always")
def _copy_known(source, target, points):
    v = 0
    while v + 4 <= points:
        store(counted(load(4, source + POINT_BYTES * v)), target + POINT_BYTES * v)
        v += 4
    while v < points:
        store(counted(load(1, source + POINT_BYTES * v)), target + POINT_BYTES * v)
        v += 1


@njit(inline="always")
def _write_mean(points, known, row_bytes, slots, first, end, target):
    """Write the mean of frames [first, end), added in this order; frame t is in row `t % slots` of `known`."""
    slot = first % slots
    total = load(points, known + row_bytes * slot)
    for _ in range(first + 1, end):
        slot = slot + 1 if slot + 1 < slots else 0
        total = add(total, load(points, known + row_bytes * slot))
    old, number = load(points, target), np.float32(end - first)
    known = have_scores(total, number)  # as usual: then three times as fast
    store(scale_xyz(total, np.float32(1) / number, old) if known else mean_of(total, old), target)


def streams_step(streams: Sequence[str], parents: np.ndarray) -> Step:
    """Replace points by joint, bone and motion streams, see `SkeletonFeatures`; int64 (V,) parents."""
    bones = np.array([name.startswith("bone") for name in streams])
    motions = np.array([name.endswith("motion") for name in streams])

    def edit(points: Points, first: int, last: int) -> None:
        _edit_stream(*points, bones[0], motions[0], parents, first, last)

    def write(points: Points, out: Points, first: int, last: int) -> None:
        _write_streams(*points, bones, motions, parents, out.values, out.present, out.rows, first, last)

    return Step(edit) if len(streams) == 1 else Step(write, channels=_XYZ * len(streams))


@_compiled
def _edit_stream(values, present, rows, lengths, channels, is_bone, is_motion, parents, first_clip, last_clip):
    points, row_bytes = values.shape[1], values.shape[1] * POINT_BYTES
    both = np.empty((2, points, 4), np.float32)  # joints or bones of this frame and of the last, before the difference
    for n in range(first_clip, last_clip):
        for t in range(lengths[n]):
            row, flags = address_of(values) + row_bytes * (rows[n] + t), address_of(present) + points * (rows[n] + t)
            now, before = address_of(both) + row_bytes * (t & 1), address_of(both) + row_bytes * (1 - (t & 1))
            if is_bone:
                _write_bones(row, address_of(parents), points, now)
            elif is_motion:
                _copy_frame(row, points, now)
            if is_motion and t == 0:
                now, before = row, row  # 0, also where the other end of a bone is missing
            if is_motion:
                _write_difference(now, before, points, row, flags)
            else:
                _write_copy(now if is_bone else row, points, row, flags)


@_compiled
def _write_streams(
    values, present, rows, lengths, channels, bones, motions, parents, out, out_present, out_rows, first_clip, last_clip
):
    points, row_bytes, width = values.shape[1], values.shape[1] * POINT_BYTES, out.shape[2] - 1
    both = np.empty((2, points, 4), np.float32)  # bones of this frame and of the last
    stream = np.empty((points, 4), np.float32)
    at = address_of(stream)
    for n in range(first_clip, last_clip):
        for t in range(lengths[n]):
            r, target = rows[n] + t, out_rows[n] + t
            joint, bone = address_of(values) + row_bytes * r, address_of(both) + row_bytes * (t & 1)
            flags, bone_before = address_of(out_present) + points * target, address_of(both) + row_bytes * (1 - (t & 1))
            if bones.any():
                _write_bones(joint, address_of(parents), points, bone)
            for s in range(bones.size):
                now, before = (bone, bone_before) if bones[s] else (joint, joint - row_bytes)
                if motions[s] and t == 0:
                    now, before = joint, joint
                if motions[s]:
                    _write_difference(now, before, points, at, flags)
                else:
                    _write_copy(now, points, at, flags)
                out[target, :, _XYZ * s : _XYZ * (s + 1)] = stream[:, :_XYZ]
            _mark_missing(values[r], out[target], out_present[target], width)


@njit(inline="always")
def _copy_frame(source, points, out):
    for v in range(points):
        store(load(1, source + POINT_BYTES * v), out + POINT_BYTES * v)


@njit(inline="always")
def _write_bones(joint, parent_of, points, out):
    v = 0
    while v + 4 <= points:
        parents = gather(4, joint, parent_of + 8 * v)
        store(subtract_xyz(load(4, joint + POINT_BYTES * v), parents), out + POINT_BYTES * v)
        v += 4
    while v < points:
        parents = gather(1, joint, parent_of + 8 * v)
        store(subtract_xyz(load(1, joint + POINT_BYTES * v), parents), out + POINT_BYTES * v)
        v += 1


@njit(inline="always")
def _write_difference(now, before, points, out, flags):
    v = 0
    while v + 4 <= points:
        moved = subtract_xyz(load(4, now + POINT_BYTES * v), load(4, before + POINT_BYTES * v))
        _write_known(moved, out + POINT_BYTES * v, flags + v)
        v += 4
    while v < points:
        moved = subtract_xyz(load(1, now + POINT_BYTES * v), load(1, before + POINT_BYTES * v))
        _write_known(moved, out + POINT_BYTES * v, flags + v)
        v += 1


@njit(inline="always")
def _write_copy(source, points, out, flags):
    v = 0
    while v + 4 <= points:
        _write_known(load(4, source + POINT_BYTES * v), out + POINT_BYTES * v, flags + v)
        v += 4
    while v < points:
        _write_known(load(1, source + POINT_BYTES * v), out + POINT_BYTES * v, flags + v)
        v += 1


@njit(inline="always")
def _write_known(v, out, flags):
    known = v if are_known(v) else hide_unknown(v)
    store(known, out)
    store_flags(known, flags)


@njit(inline="always")
def _mark_missing(now, out, present, width):
    """Set score and mask of one frame, and NaN where a stream lacks a point."""
    for v in range(present.size):
        total = np.float32(0)
        for i in range(width):
            total += out[v, i]
        present[v] = seen = now[v, _XYZ] > 0 and not np.isnan(total)
        out[v, width] = now[v, _XYZ] if seen else np.float32(0)
        if not seen:
            out[v, :width] = np.nan
