"""Compiled passes over a batch: read clips at frame positions, interpolate, permute, transform and write points.

A stored frame is (V, 4): x, y, z, score; a missing point is all zeros. Frames of other projects, (V, 3 or 4), are read in
place, too. Clips are given by address, so one pass reads clips of several mapped files. While one clip is written the next
is prefetched from main memory (12 us per clip without).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numba import carray, njit

from karsl.datasets.batching.simd import (
    address_of,
    compiled,
    half_to_float,
    is_present,
    point_values,
    pointer,
    prefetch,
    span,
)
from karsl.datasets.batching.vectors import are_canonical, load, store
from karsl.io.addresses import row_offset

_POINTS = 4  # points per step; the remaining points of a span are written one by one
_BYTES_PER_THREAD = 1 << 20  # of the batch: less is done before a thread wakes up
_MAX_THREADS = 8  # more are limited by main memory
_pool: ThreadPoolExecutor | None = None

GATHERED = -(1 << 40)
"""Value of `PointOps.shift` where the points of a group do not keep their order."""


class FrameReads(NamedTuple):
    """Frames to read of N clips.

    Attributes:
        like: Empty array of the stored dtype: float32, or uint16 for float16; its dimensions are the layout, see
            `karsl.datasets.batching.simd.LAYOUT_NDIM`.
        addresses: int64 (N,), addresses of the first frames.
        lengths: int64 (N,), stored frames.
        width: V, points of a stored frame.
        positions: float64 (F,), frame positions in the clips, one clip after the other.
        ends: int64 (N + 1,), start of each clip in `positions`, and the end of the last.
        missing_is_zero: Interpolate missing points as zeros.
    """

    like: np.ndarray
    addresses: np.ndarray
    lengths: np.ndarray
    width: int
    positions: np.ndarray
    ends: np.ndarray
    missing_is_zero: bool


class PointOps(NamedTuple):
    """Operations on the points of N clips.

    Attributes:
        groups: int64 (G, 2), first and last + 1 output point of each group.
        order: int32 (P, V), stored point of each output point.
        order_of: int64 (N,), row of `order` and `shift` for each clip.
        shift: int64 (P, G), stored minus output point where a group keeps its order, else `GATHERED`.
        affine: float64 (N, G, 7): m00 m01 m10 m11 dx dy, scale of z.
        hidden: bool (H, V), points to hide.
        hidden_of: int64 (N,), row of `hidden` for each clip.
        hidden_frames: bool (F,), frames to hide, or (0,).
    """

    groups: np.ndarray
    order: np.ndarray
    order_of: np.ndarray
    shift: np.ndarray
    affine: np.ndarray
    hidden: np.ndarray
    hidden_of: np.ndarray
    hidden_frames: np.ndarray


def write_clips(
    reads: FrameReads, ops: PointOps, rows: np.ndarray, fill: np.float32, out: np.ndarray, mask: np.ndarray
) -> None:
    """Write N clips into a batch, with as many threads as PyTorch uses: one in a worker of a loader, else all cores.

    Each thread writes some of the clips, so the batch is the same for any number of threads.

    Args:
        reads: Frames to read.
        ops: Operations on their points.
        rows: int64 (N,), first row of `out` for each clip.
        fill: Coordinate of missing points.
        out: float32 (F', V, 3 or 4), the output.
        mask: bool (F', V), the output; True where a point is present.
    """
    in_threads(lambda first, last: read_clips(reads, ops, rows, fill, out, mask, first, last), reads.ends, out.nbytes)


def in_threads(work: Callable[[int, int], object], ends: np.ndarray, nbytes: int) -> None:
    """Call `work(first_clip, last_clip)` for parts of N clips, in the threads of `write_clips`.

    Args:
        work: Compiled work that does not hold the interpreter lock.
        ends: int64 (N + 1,), start of each clip in frames, and the end of the last.
        nbytes: Bytes that are written.
    """
    count = len(ends) - 1
    number = min(torch.get_num_threads(), _MAX_THREADS, count, nbytes // _BYTES_PER_THREAD)
    if number < 2:
        work(0, count)
        return
    edges = np.searchsorted(ends, np.linspace(0, ends[-1], number + 1)).tolist()
    edges[0], edges[-1] = 0, count
    others = [_threads().submit(work, first, last) for first, last in zip(edges[1:-1], edges[2:], strict=True)]
    try:
        work(edges[0], edges[1])
    finally:
        wait(others)  # also after an interrupt: no thread may write to the memory of an abandoned batch
    for other in others:
        other.result()


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_MAX_THREADS - 1, thread_name_prefix="karsl-batch")
    return _pool


def _discard_pool() -> None:
    global _pool
    _pool = None


@cache
def _load_compiler() -> None:
    """Have numba fill its tables, which takes 0.3 s and 70 MB: before the first fork, so that workers share them."""
    fill_canonical(np.zeros((1, 1, 4), np.float32), np.empty((1, 1, 4), np.float32))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_load_compiler, after_in_child=_discard_pool)


def _pair(*, gathered: bool, channels: int):
    several, single = (span(points, gathered=gathered, channels=channels) for points in (_POINTS, 1))

    @njit(inline="always")
    def write(like, frame0, frame1, order, hidden, weight, zero, move, fill, out, mask, first, last):
        left = several(like, frame0, frame1, order, hidden, weight, zero, move, fill, out, mask, first, last)
        if left < last:
            single(like, frame0, frame1, order, hidden, weight, zero, move, fill, out, mask, left, last)

    return write


_ordered_3, _gathered_3 = _pair(gathered=False, channels=3), _pair(gathered=True, channels=3)
_ordered_4, _gathered_4 = _pair(gathered=False, channels=4), _pair(gathered=True, channels=4)


@njit(inline="always")
def _find_spans(groups, shifts, affine, spans, moves):
    """Fill `spans` (G, 3) with first, last and shift, and `moves` (G, 12) with factors and offsets; return their number.

    Neighboring groups with equal affine and shift are one span.
    """
    count = 0
    for g in range(groups.shape[0]):
        same = g > 0
        for i in range(7):
            same = same and affine[g, i] == affine[g - 1, i]
        shift = shifts[g]
        if same and spans[count - 1, 2] == shift:
            spans[count - 1, 1] = groups[g, 1]
            continue
        spans[count, 0], spans[count, 1], spans[count, 2] = groups[g, 0], groups[g, 1], shift
        m, a = moves[count], affine[g]
        m[0], m[1], m[2], m[3] = a[0], a[3], a[6], 1
        m[4], m[5], m[6], m[7] = a[1], a[2], 0, 0
        m[8], m[9], m[10], m[11] = a[4], a[5], 0, 0
        count += 1
    return count


@compiled
def read_clips(reads, ops, rows, fill, out, mask, first_clip, last_clip):
    """Write clips [first_clip, last_clip), with the arguments of `write_clips`."""
    like, addresses, lengths, positions, ends = reads.like, reads.addresses, reads.lengths, reads.positions, reads.ends
    order, shift, affine, hidden, hidden_frames = ops.order, ops.shift, ops.affine, ops.hidden, ops.hidden_frames
    zero = reads.missing_is_zero
    points, channels, point_bytes = out.shape[1], out.shape[2], point_values(like) * like.itemsize
    frame_bytes, out_bytes = reads.width * point_bytes, 4 * points * channels
    spans, moves = np.empty((ops.groups.shape[0], 3), np.int64), np.empty((ops.groups.shape[0], 12), np.float32)
    for n in range(first_clip, last_clip):
        base, last, pick, count = addresses[n], lengths[n] - 1, ops.order_of[n], ends[n + 1] - ends[n]
        orders, hide = address_of(order) + 4 * points * pick, address_of(hidden) + points * ops.hidden_of[n]
        target, flags = address_of(out) + out_bytes * rows[n], address_of(mask) + points * rows[n]
        following = min(n + 1, addresses.size - 1)  # also of the clips that another call writes
        num_spans = _find_spans(ops.groups, shift[pick], affine[n], spans, moves)
        for t in range(count):
            p = ends[n] + t
            prefetch(addresses[following], lengths[following] * frame_bytes, t, count)
            f0 = int(positions[p])
            weight = positions[p] - f0
            frame0 = base + f0 * frame_bytes
            frame1 = frame0 if np.float32(weight) == 0 or f0 == last else frame0 + frame_bytes
            if hidden_frames.size > 0 and hidden_frames[p]:
                _write_missing(out[rows[n] + t], mask[rows[n] + t], fill)
            else:
                for s in range(num_spans):
                    first, end, by = spans[s, 0], spans[s, 1], spans[s, 2]
                    move = address_of(moves) + 48 * s
                    if by == GATHERED and channels == 4:
                        _gathered_4(like, frame0, frame1, orders, hide, weight, zero, move, fill, target, flags, first, end)
                    elif by == GATHERED:
                        _gathered_3(like, frame0, frame1, orders, hide, weight, zero, move, fill, target, flags, first, end)
                    else:
                        a, b = frame0 + by * point_bytes, frame1 + by * point_bytes
                        if channels == 4:
                            _ordered_4(like, a, b, orders, hide, weight, zero, move, fill, target, flags, first, end)
                        else:
                            _ordered_3(like, a, b, orders, hide, weight, zero, move, fill, target, flags, first, end)
            target, flags = target + out_bytes, flags + points


@njit(inline="always")
def _write_missing(target, mask, fill):
    numbers = target.reshape(-1)
    for i in range(numbers.size):  # one loop over all is three times as fast as one over points
        numbers[i] = fill
    for v in range(target.shape[0]):
        mask[v] = False
        if target.shape[1] == 4:
            target[v, 3] = 0


@compiled
def clear_frames(lengths, out, mask):
    """Write zeros after the ends of clips: `out` (N, T, V, C) and `mask` (N, T, V), lengths int64 (N,)."""
    for n in range(lengths.size):
        out[n, lengths[n] :] = 0
        mask[n, lengths[n] :] = False


@compiled
def copy_frames(like, addresses, out):
    """Copy stored frames to `out` (F, ...), contiguous and of the dtype of `like`."""
    out_rows = out.reshape(out.shape[0], -1)
    for f in range(addresses.size):
        source = carray(pointer(like, addresses[f]), out_rows.shape[1])
        for j in range(source.size):
            out_rows[f, j] = source[j]


@compiled
def copy_raw_frames(like, one, addresses, out):
    """Copy raw stored frames to canonical ones, `out` (F, V, 4); `one` is 1 in the dtype of `like`."""
    values = point_values(like)
    for f in range(addresses.size):
        frame = carray(pointer(like, addresses[f]), (out.shape[1], values))
        for v in range(out.shape[1]):
            present = is_present(like, frame[v])
            score = frame[v, 3] if values == 4 else one
            score = score if half_to_float(one) > half_to_float(score) > 0 else one
            for c in range(3):
                out[f, v, c] = frame[v, c] if present else 0
            out[f, v, 3] = score if present else 0


_row_offset = njit(inline="always")(row_offset)


@compiled
def clip_addresses(bases, sizes, step, frame_bytes, which, starts, lengths, addresses):
    """Fill `addresses` (N,) with the addresses of clips; return the first clip that is not inside its file, or -1.

    Args:
        bases, sizes: int64 (S,), address and size in bytes of each mapped file or array.
        step, frame_bytes: See `row_offset`.
        which: int (N,), file of each clip; (1,) if all are in the first.
        starts, lengths: int64 (N,), see `row_offset`.
        addresses: int64 (N,), the output.
    """
    for n in range(starts.size):
        file = which[n] if which.size == starts.size else 0
        offset = _row_offset(starts[n], lengths[n], step, frame_bytes, sizes[file])
        if offset < 0:
            return n
        addresses[n] = bases[file] + offset
    return -1


@compiled
def fill_canonical(raw, clip):
    """Compiled version of `karsl.io.clip.canonical_clip`, for its argument `fill`.

    Args:
        raw: float32 (T, V, 3 or 4).
        clip: float32 (T, V, 4), the output.

    Returns:
        False if a value may be NaN or infinite.
    """
    finite, points = True, raw.shape[1]
    has_vectors = raw.shape[2] == 4 and raw.flags.c_contiguous and clip.flags.c_contiguous
    for t in range(raw.shape[0]):
        v = 0
        while v < points:
            step = min(_POINTS, points - v) if has_vectors else 1
            if step == _POINTS:
                numbers = load(_POINTS, address_of(raw[t, v]))
                if are_canonical(numbers):  # as usual: then three times as fast
                    store(numbers, address_of(clip[t, v]))
                    v += _POINTS
                    continue
            for _ in range(step):
                finite &= _fill_point(raw[t, v], clip[t, v])
                v += 1
    return finite


@njit(inline="always")
def _fill_point(raw, point):
    x, y, z = raw[0], raw[1], raw[2]
    score = raw[3] if raw.size == 4 else np.float32(1)
    finite = np.isfinite(x + y + z + score)  # the caller checks again, since the sum may overflow
    present = x != 0 or y != 0 or z != 0
    score = min(score, np.float32(1)) if score > 0 else np.float32(1)
    point[0] = x if present else np.float32(0)
    point[1] = y if present else np.float32(0)
    point[2] = z if present else np.float32(0)
    point[3] = score if present else np.float32(0)
    return finite


@compiled
def compose(after, before):
    """Return float64 (N, G, 7) affines that apply `before` and then `after`; either may have G = 1."""
    groups = max(after.shape[1], before.shape[1])
    out = np.empty((before.shape[0], groups, 7))
    for n in range(before.shape[0]):
        for g in range(groups):
            a, b = after[n, min(g, after.shape[1] - 1)], before[n, min(g, before.shape[1] - 1)]
            out[n, g, 0] = a[0] * b[0] + a[1] * b[2]
            out[n, g, 1] = a[0] * b[1] + a[1] * b[3]
            out[n, g, 2] = a[2] * b[0] + a[3] * b[2]
            out[n, g, 3] = a[2] * b[1] + a[3] * b[3]
            out[n, g, 4] = a[0] * b[4] + a[1] * b[5] + a[4]
            out[n, g, 5] = a[2] * b[4] + a[3] * b[5] + a[5]
            out[n, g, 6] = a[6] * b[6]
    return out


@compiled
def mirrored_x(affine, flip, twice_pivot):
    """Return float64 (N, G, 7) affines followed by x -> `twice_pivot` - x where bool (N,) `flip`."""
    out = affine.copy()
    for n in range(flip.size):
        if flip[n]:
            for g in range(out.shape[1]):
                out[n, g, 0], out[n, g, 1], out[n, g, 4] = -out[n, g, 0], -out[n, g, 1], twice_pivot - out[n, g, 4]
    return out
