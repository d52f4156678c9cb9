"""Compiled operations on the points of a clip that a pass over single points cannot express.

Each does to a clip what `apply` of its transform does, with the same roundings. It works in place, on coordinates and scores
float32 (T, V, 4) and flags bool (T, V), see `karsl.datasets.batching.points`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from karsl.datasets.batching.points import fill_unknown, is_complete
from karsl.datasets.batching.rng import GOLDEN, mix
from karsl.datasets.batching.simd import address_of, compiled
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

_NOISE, _FILL, _PREVIOUS, _LINEAR, _SMOOTH, _STREAM = range(6)
_BONE, _MOTION = 1, 2
_XYZ = 3
_BLOCK_CODE, _LAST_OFFSET, _HALF = np.uint64(fold_in(0, "block")), np.uint64(OFFSETS - 1), np.uint64(32)
_NO_TABLE = noise_table(_XYZ + 1).reshape(-1)[:0]  # read-only too, since compiled code is compiled for either kind


class Step(NamedTuple):
    """One operation.

    Attributes:
        code: Which one.
        number: Its number.
        keys: uint64 (N,), random keys of N clips.
        parents: int64 (V,), other ends of the bones.
    """

    code: int
    number: float = 0
    keys: np.ndarray | None = None
    parents: np.ndarray | None = None

    @property
    def fills(self) -> bool:
        """True if missing points may have coordinates afterwards."""
        return self.code in (_FILL, _PREVIOUS, _LINEAR)


class StepTable(NamedTuple):
    """S operations on N clips for compiled code.

    Attributes:
        codes: int64 (S,).
        numbers: float32 (S,).
        keys: uint64 (S, N).
        parents: int64 (S, V).
        noise: float32, see `noise_table`; (0,) without noise.
    """

    codes: np.ndarray
    numbers: np.ndarray
    keys: np.ndarray
    parents: np.ndarray
    noise: np.ndarray


def noise_step(keys: np.ndarray, sigma: float) -> Step:
    """Add noise, see `RandomGaussianNoise`; uint64 (N,) keys."""
    return Step(_NOISE, sigma, keys=keys)


def fill_steps(mode: str, value: float) -> list[Step]:
    """Give coordinates to missing points, see `FillMissing`."""
    gaps = {"constant": [], "previous": [Step(_PREVIOUS)], "linear": [Step(_LINEAR)]}
    return [*gaps[mode], Step(_FILL, value)]


def smooth_step(radius: int) -> Step:
    """Replace present points by their mean over neighboring frames, see `SmoothKeypoints`."""
    return Step(_SMOOTH, radius)


def stream_step(stream: str, parents: np.ndarray) -> Step:
    """Replace points by one stream, see `SkeletonFeatures`; int64 (V,) parents."""
    kind = _BONE * stream.startswith("bone") + _MOTION * stream.endswith("motion")
    return Step(_STREAM, kind, parents=parents)


def step_table(steps: Sequence[Step], clips: int, points: int) -> StepTable:
    """Return steps for compiled code."""
    keys, parents = np.zeros((len(steps), clips), np.uint64), np.zeros((len(steps), points), np.int64)
    for s, step in enumerate(steps):
        if step.keys is not None:
            keys[s] = step.keys
        if step.parents is not None:
            parents[s] = step.parents
    codes, numbers = np.array([step.code for step in steps], np.int64), np.array([step.number for step in steps], np.float32)
    noise = noise_table(_XYZ + 1).reshape(-1) if _NOISE in codes else _NO_TABLE
    return StepTable(codes, numbers, keys, parents, noise)


class Streams(NamedTuple):
    """Streams next to each other, see `SkeletonFeatures`.

    Attributes:
        bones: bool (K,), True for streams of bones.
        motions: bool (K,), True for streams of differences.
        parents: int64 (V,).
    """

    bones: np.ndarray
    motions: np.ndarray
    parents: np.ndarray

    @classmethod
    def from_names(cls, names: Sequence[str], parents: np.ndarray) -> Streams:
        """Return the streams of K names."""
        bones, motions = [name.startswith("bone") for name in names], [name.endswith("motion") for name in names]
        return cls(np.array(bones, bool), np.array(motions, bool), parents.copy())  # writable, as those of NO_STREAMS


NO_STREAMS = Streams.from_names((), np.zeros(0, np.int64))


@compiled
def apply_steps(steps, n, clip, present):
    """Apply all steps of a `StepTable` to clip `n`."""
    for s in range(steps.codes.size):
        code, number = steps.codes[s], steps.numbers[s]
        if code == _NOISE:
            _add_noise(clip, steps.keys[s, n], number, steps.noise)
        elif code == _FILL:
            fill_unknown(clip, present, number)
        elif code in (_PREVIOUS, _LINEAR):
            _fill_gaps(clip, present, code == _LINEAR)
        elif code == _SMOOTH:
            _smooth(clip, int(number))
        else:
            _replace_by_stream(clip, present, int(number), steps.parents[s])


@compiled
def _add_noise(clip, key, sigma, table):
    width, flat, block_key = clip.shape[2], clip.reshape(-1), mix(key ^ _BLOCK_CODE)
    count = clip.shape[0] * clip.shape[1]
    for start in range(0, count, BLOCK):
        bits, size = mix(block_key + np.uint64(start // BLOCK) * GOLDEN), width * min(BLOCK, count - start)
        offset_a, offset_b = np.int64(bits & _LAST_OFFSET) * width, np.int64((bits >> _HALF) & _LAST_OFFSET) * width
        a, b = table[offset_a : offset_a + size], table[offset_b : offset_b + size]
        target = flat[start * width : start * width + size]
        for i in range(size):
            target[i] += sigma * (a[i] + b[i])


@compiled
def _fill_gaps(clip, present, linear):
    frames = clip.shape[0]
    for t in range(frames):
        if is_complete(present[t]):
            continue
        for v in range(present.shape[1]):
            if present[t, v] or (t > 0 and not present[t - 1, v]):
                continue  # the gap was filled at its first frame
            after = t + 1
            while after < frames and not present[after, v]:
                after += 1
            if t > 0 or after < frames:
                _fill_gap(clip, v, t, after, linear)


@njit(inline="always")
def _fill_gap(clip, v, gap, after, linear):
    """Fill frames [gap, after) of point `v`, which is present next to the gap."""
    before = gap - 1 if gap > 0 else after
    behind = after if after < clip.shape[0] else before
    steps = np.float64(max(behind - before, 1))
    for t in range(gap, after):
        weight = np.float32((t - before) / steps) if linear and before < behind else np.float32(0)
        for c in range(_XYZ):
            x = clip[before, v, c]
            clip[t, v, c] = x if weight == 0 else x + (clip[behind, v, c] - x) * weight


@compiled
def _smooth(clip, radius):
    frames, points, row_bytes = clip.shape[0], clip.shape[1], clip.shape[1] * POINT_BYTES
    slots = min(2 * radius + 1, frames)
    window = np.empty((slots, points, 4), np.float32)  # the frames around one, in the first-level cache
    known, base, next_frame = address_of(window), address_of(clip), 0
    for t in range(frames):
        first, end = max(t - radius, 0), min(t + radius + 1, frames)
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


@compiled
def _replace_by_stream(clip, present, kind, parents):
    is_bone, is_motion = kind & _BONE != 0, kind & _MOTION != 0
    points, row_bytes = clip.shape[1], clip.shape[1] * POINT_BYTES
    both = np.empty((2, points, 4), np.float32)  # joints or bones of this frame and of the last, before the difference
    for t in range(clip.shape[0]):
        row, flags = address_of(clip) + row_bytes * t, address_of(present) + points * t
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


@compiled
def write_streams(clip, present, streams, out):
    """Write K streams of a clip.

    Args:
        clip, present: A clip; `present` becomes False where a stream lacks a point.
        streams: See `Streams`.
        out: float32 (T, V, 3K) or (T, V, 3K + 1) with the score, the output.
    """
    bones, motions, parents = streams.bones, streams.motions, streams.parents
    points, row_bytes, width = clip.shape[1], clip.shape[1] * POINT_BYTES, _XYZ * bones.size
    both = np.empty((2, points, 4), np.float32)  # bones of this frame and of the last
    stream, unused = np.empty((points, 4), np.float32), np.empty(points, np.bool_)
    at, ignored = address_of(stream), address_of(unused)
    for t in range(clip.shape[0]):
        joint, bone = address_of(clip) + row_bytes * t, address_of(both) + row_bytes * (t & 1)
        bone_before = address_of(both) + row_bytes * (1 - (t & 1))
        if bones.any():
            _write_bones(joint, address_of(parents), points, bone)
        for s in range(bones.size):
            now, before = (bone, bone_before) if bones[s] else (joint, joint - row_bytes)
            if motions[s] and t == 0:
                now, before = joint, joint
            if motions[s]:
                _write_difference(now, before, points, at, ignored)
            else:
                _write_copy(now, points, at, ignored)
            for v in range(points):
                for c in range(_XYZ):  # a loop: slices take seconds to compile
                    out[t, v, _XYZ * s + c] = stream[v, c]
        for v in range(points):
            total = np.float32(0)
            for i in range(width):
                total += out[t, v, i]
            seen = clip[t, v, _XYZ] > 0 and not np.isnan(total)
            present[t, v] = seen
            for i in range(width):
                out[t, v, i] = out[t, v, i] if seen else np.float32(np.nan)
            if out.shape[2] > width:
                out[t, v, width] = clip[t, v, _XYZ] if seen else np.float32(0)


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
