"""The compiled pass: read clips at frame positions, blend, permute, move, and write them into a batch.

A frame of a store is (V, 4): x, y, z, score; a missing point is all zeros. Per frame and group a flag says whether none, all
or some of the points are there, so that whole groups are blended without looking at each point.

Loops run from 0 over slices: an index that the compiler cannot prove to be at least 0 brings numba's wrap-around for
negative indices into the loop, which then is not vectorised (measured: 80 us a clip instead of 12).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from karsl.datasets.fused.half import number, widen

NONE, ALL, SOME = 0, 1, 2
IN_ORDER, REORDERED, PARTLY = 0, 1, 2
_ONE, _TWO, _THREE = np.uint64(1), np.uint64(2), np.uint64(3)
FAST = {"contract"}  # a multiplication and an addition in one instruction; nothing that depends on the path taken
_compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False, fastmath=FAST)


@_compiled
def presence_flags(frames, slices, flags):
    """Fill `flags` (F, G) of `frames` (F, V, 4); `slices` (G, 2)."""
    for f in range(frames.shape[0]):
        for g in range(slices.shape[0]):
            seen = 0
            for v in range(slices[g, 0], slices[g, 1]):
                seen += number(frames[f, v, 3]) > 0
            flags[f, g] = NONE if seen == 0 else (ALL if seen == slices[g, 1] - slices[g, 0] else SOME)


@njit(inline="always")
def _blend_points(row0, row1, weight, row):
    """Point by point: the mean where both frames have it, else the frame that has it."""
    for j in range(0, row.size, 4):
        here0, here1 = row0[j + 3] > 0, row1[j + 3] > 0
        w = weight if here0 and here1 else np.float32(1 if here1 else 0)
        for c in range(4):
            row[j + c] = row0[j + c] + (row1[j + c] - row0[j + c]) * w


@njit(inline="always")
def _copy(source, row):
    for j in range(row.size):
        row[j] = source[j]


@njit(inline="always")
def _blend_all(row0, row1, weight, row):
    for j in range(row.size):
        row[j] = row0[j] + (row1[j] - row0[j]) * weight


@njit(inline="always")
def _blend_group(row0, row1, flag0, flag1, weight, row, missing_is_zero):
    """Blend the values of one group into `row`; gives the flag of the result."""
    both = flag0 == ALL and flag1 == ALL
    if weight != 0 and (both or (missing_is_zero and (flag0 != NONE or flag1 != NONE))):
        _blend_all(row0, row1, weight, row)
        return ALL if flag0 == ALL or flag1 == ALL else SOME
    if weight == 0 or flag1 == NONE:
        _copy(row0, row)
        return flag0
    if flag0 == NONE:
        _copy(row1, row)
        return flag1
    _blend_points(row0, row1, weight, row)
    return ALL if flag0 == ALL or flag1 == ALL else SOME


@njit(inline="always")
def _write_run(row, m, target, channels):
    """Points that are all there and keep their order."""
    m0, m1, m2, m3, m4, m5, m6 = m[0], m[1], m[2], m[3], m[4], m[5], m[6]
    if channels == 4:
        for k in range(row.size // 4):
            x, y = row[4 * k], row[4 * k + 1]
            target[4 * k] = m0 * x + m1 * y + m4
            target[4 * k + 1] = m2 * x + m3 * y + m5
            target[4 * k + 2] = m6 * row[4 * k + 2]
            target[4 * k + 3] = row[4 * k + 3]
    else:
        for k in range(row.size // 4):
            x, y = row[4 * k], row[4 * k + 1]
            target[3 * k] = m0 * x + m1 * y + m4
            target[3 * k + 1] = m2 * x + m3 * y + m5
            target[3 * k + 2] = m6 * row[4 * k + 2]


@njit(inline="always")
def _blend_and_write(row0, row1, weight, m, target):
    """A frame all of whose points are there in both frames: blend and move without a row between."""
    m0, m1, m2, m3, m4, m5, m6 = m[0], m[1], m[2], m[3], m[4], m[5], m[6]
    for k in range(target.size // 4):
        j = 4 * k
        x = row0[j] + (row1[j] - row0[j]) * weight
        y = row0[j + 1] + (row1[j + 1] - row0[j + 1]) * weight
        target[j] = m0 * x + m1 * y + m4
        target[j + 1] = m2 * x + m3 * y + m5
        target[j + 2] = m6 * (row0[j + 2] + (row1[j + 2] - row0[j + 2]) * weight)
        target[j + 3] = row0[j + 3] + (row1[j + 3] - row0[j + 3]) * weight


@njit(inline="always")
def _reorder(points, order, target):
    """Put whole points, 16 bytes each, in another order; `order` is four times the point."""
    for k in range(order.size):
        target[k] = points[order[k] >> _TWO]


@njit(inline="always")
def _all_there(flags, start, f0, f1, weight):
    for g in range(flags.shape[1]):
        if flags[start + f0, g] != ALL or (weight != 0 and flags[start + f1, g] != ALL):
            return False
    return True


@njit(inline="always")
def _write_order(row, order, m, target, channels):
    """Points that are all there, in another order; unsigned numbers, which cannot wrap around."""
    m0, m1, m2, m3, m4, m5, m6 = m[0], m[1], m[2], m[3], m[4], m[5], m[6]
    for k in range(order.size):
        j = order[k]
        x, y, z, score = row[j], row[j + _ONE], row[j + _TWO], row[j + _THREE]
        target[channels * k] = m0 * x + m1 * y + m4
        target[channels * k + 1] = m2 * x + m3 * y + m5
        target[channels * k + 2] = m6 * z
        if channels == 4:
            target[channels * k + 3] = score


@njit(inline="always")
def _write_seen(row, points, m, hidden, fill, target, mask, first, last, channels):
    """Points some of which are missing."""
    for v in range(first, last):
        q, i = points[v], channels * v
        j = 4 * q
        seen = q >= 0 and row[j + 3] > 0 and not (hidden.size > 0 and hidden[v])
        mask[v] = seen
        if seen:
            target[i] = m[0] * row[j] + m[1] * row[j + 1] + m[4]
            target[i + 1] = m[2] * row[j] + m[3] * row[j + 1] + m[5]
            target[i + 2] = m[6] * row[j + 2]
        else:
            target[i] = target[i + 1] = target[i + 2] = fill
        if channels == 4:
            target[i + 3] = row[j + 3] if seen else np.float32(0)


@njit(inline="always")
def _write_none(fill, target, channels):
    """Points none of which are there."""
    for k in range(target.size // channels):
        for c in range(3):
            target[channels * k + c] = fill
        if channels == 4:
            target[channels * k + 3] = np.float32(0)


@_compiled
def read_clips(
    frames, flags, starts, lengths, positions, out_starts, in_slices, out_slices, table, table_of, sources, runs, order,
    whole, affine, one_affine, hidden, hidden_frames, missing_is_zero, fill, out, mask,
):  # fmt: skip
    """Write N clips into `out` (F', V', 3 or 4) and `mask` (F', V').

    Args:
        frames: (F, V, 4) float32, or uint16 bits of float16.
        flags: uint8 (F, G).
        starts, lengths: (N,) of the clips in `frames`.
        positions: float64 (F',), frame positions inside each clip.
        out_starts: (N + 1,) of the clips in `out`.
        in_slices, out_slices: (G, 2), (G', 2) points of each group.
        table: (P, V') which point each output point comes from, -1 none; `table_of` (N,) picks the row.
        sources: (P, G') the group that all points of an output group come from, -1 several.
        runs: (P, G') where they start if they keep their order, -1 if not.
        order: uint64 (P, V') four times `table`, with 0 for none.
        whole: (P,) IN_ORDER, REORDERED or PARTLY: which of the points a table row names.
        affine: float32 (N, G', 7): m00 m01 m10 m11 dx dy, z scale; bool (N,) `one_affine`: all groups of a clip share it.
        hidden: bool (N, V') or (N, 0) for none; hidden_frames: bool (F',) or (0,).
        missing_is_zero: Blend missing points as zeros.
        fill: Coordinate of missing points.
    """
    width, channels = frames.shape[1] * 4, out.shape[2]
    stored, targets = frames.reshape(frames.shape[0], width), out.reshape(out.shape[0], out.shape[1] * channels)
    row, held, moved = np.empty(width, np.float32), np.empty((2, width), np.float32), np.empty(width, np.float32)
    row0, row1 = held[0], held[1]
    state = np.empty(in_slices.shape[0], np.uint8)
    some_frames_hidden = hidden_frames.size > 0
    for n in range(starts.size):
        start, length, p, hide = starts[n], lengths[n], table_of[n], hidden[n]
        points = table[p]
        straight = whole[p] == IN_ORDER
        simple = whole[p] != PARTLY and one_affine[n] and hide.size == 0 and channels == 4
        in0, in1 = -1, -1  # which frames row0 and row1 hold
        for t in range(out_starts[n], out_starts[n + 1]):
            f0 = int(positions[t])
            weight = np.float32(positions[t] - f0)
            f1 = min(f0 + 1, length - 1)
            if f0 != in0:
                if f0 == in1:
                    row0, row1, in0, in1 = row1, row0, in1, in0
                else:
                    widen(stored[start + f0], row0)
                    in0 = f0
            if weight != 0 and f1 != in1:
                widen(stored[start + f1], row1)
                in1 = f1
            if simple and not (some_frames_hidden and hidden_frames[t]) and _all_there(flags, start, f0, f1, weight):
                other = row1 if weight != 0 else row0
                if straight:
                    _blend_and_write(row0, other, weight, affine[n, 0], targets[t])
                else:
                    _blend_and_write(row0, other, weight, affine[n, 0], moved)
                    _reorder(moved.view(np.complex128), order[p], targets[t].view(np.complex128))
                mask[t] = True
                continue
            g = 0
            while g < in_slices.shape[0]:  # groups of like flags are one stretch
                flag0, flag1, lo, end = flags[start + f0, g], flags[start + f1, g], g, g + 1
                while end < in_slices.shape[0] and flags[start + f0, end] == flag0 and flags[start + f1, end] == flag1:
                    end += 1
                here = slice(4 * in_slices[lo, 0], 4 * in_slices[end - 1, 1])
                flag = _blend_group(row0[here], row1[here], flag0, flag1, weight, row[here], missing_is_zero)
                state[lo:end] = flag
                g = end
            gone, target, seen = some_frames_hidden and hidden_frames[t], targets[t], mask[t]
            g = 0
            while g < out_slices.shape[0]:
                first, last, source, m = out_slices[g, 0], out_slices[g, 1], sources[p, g], affine[n, g]
                flag = NONE if gone else (state[source] if source >= 0 else SOME)
                g += 1
                if flag == ALL and hide.size == 0:
                    run = runs[p, g - 1]
                    while one_affine[n] and run >= 0 and g < out_slices.shape[0]:  # and neighbours that go on in order
                        after = sources[p, g]
                        if after < 0 or state[after] != ALL or runs[p, g] != run + last - first:
                            break
                        last = out_slices[g, 1]
                        g += 1
                    if run >= 0:
                        points_here = row[4 * run : 4 * (run + last - first)]
                        _write_run(points_here, m, target[channels * first : channels * last], channels)
                    else:
                        _write_order(row, order[p, first:last], m, target[channels * first : channels * last], channels)
                    seen[first:last] = True
                elif flag == NONE:
                    _write_none(fill, target[channels * first : channels * last], channels)
                    seen[first:last] = False
                else:
                    _write_seen(row, points, m, hide, fill, target, seen, first, last, channels)
