"""The compiled pass: read clips at frame positions, blend, permute, move, and write them into a batch.

A frame of a store is (V, 4): x, y, z, score; a missing point is all zeros. Per frame and group a flag says whether none, all
or some of the points are there, so that whole groups are blended without looking at each point.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from karsl.datasets.fused.half import number, widen

NONE, ALL, SOME = 0, 1, 2
FAST = {"contract", "nsz", "arcp", "reassoc"}
_OPTIONS = dict(nogil=True, cache=True, error_model="numpy", boundscheck=False, fastmath=FAST)


@njit(**_OPTIONS)
def presence_flags(frames, slices, flags):
    """Fill `flags` (F, G) of `frames` (F, V, 4); `slices` (G, 2)."""
    for f in range(frames.shape[0]):
        for g in range(slices.shape[0]):
            seen = 0
            for v in range(slices[g, 0], slices[g, 1]):
                seen += number(frames[f, v, 3]) > 0
            flags[f, g] = NONE if seen == 0 else (ALL if seen == slices[g, 1] - slices[g, 0] else SOME)


@njit(inline="always")
def _blend_points(row0, row1, weight, row, first, last):
    """Point by point: the mean where both frames have it, else the frame that has it."""
    for v in range(first, last):
        j = 4 * v
        here0, here1 = row0[j + 3] > 0, row1[j + 3] > 0
        w = weight if here0 and here1 else np.float32(1 if here1 else 0)
        for c in range(4):
            row[j + c] = row0[j + c] + (row1[j + c] - row0[j + c]) * w


@njit(inline="always")
def _blend_group(row0, row1, flag0, flag1, weight, row, first, last, missing_is_zero):
    """Blend one group into `row`; gives the flag of the result."""
    lo, hi = 4 * first, 4 * last
    if weight == 0:
        row[lo:hi] = row0[lo:hi]
        return flag0
    if (flag0 == ALL and flag1 == ALL) or (missing_is_zero and (flag0 != NONE or flag1 != NONE)):
        for j in range(lo, hi):
            row[j] = row0[j] + (row1[j] - row0[j]) * weight
        return ALL if flag0 == ALL or flag1 == ALL else SOME
    if flag1 == NONE:
        row[lo:hi] = row0[lo:hi]
        return flag0
    if flag0 == NONE:
        row[lo:hi] = row1[lo:hi]
        return flag1
    _blend_points(row0, row1, weight, row, first, last)
    return ALL if flag0 == ALL or flag1 == ALL else SOME


@njit(inline="always")
def _write_point(row, j, m, target, seen, fill):
    if seen:
        x, y = row[j], row[j + 1]
        target[0] = m[0] * x + m[1] * y + m[4]
        target[1] = m[2] * x + m[3] * y + m[5]
        target[2] = m[6] * row[j + 2]
    else:
        target[0] = target[1] = target[2] = fill
    if target.size == 4:
        target[3] = row[j + 3] if seen else np.float32(0)


@njit(inline="always")
def _write_run(row, start, m, out, mask, first, last):
    """A group that is all there and lies in the row in its own order: the loop that the compiler vectorises."""
    m0, m1, m2, m3, m4, m5, m6 = m[0], m[1], m[2], m[3], m[4], m[5], m[6]
    channels = out.shape[1]
    for k in range(last - first):
        j = 4 * (start + k)
        x, y = row[j], row[j + 1]
        out[first + k, 0] = m0 * x + m1 * y + m4
        out[first + k, 1] = m2 * x + m3 * y + m5
        out[first + k, 2] = m6 * row[j + 2]
        if channels == 4:
            out[first + k, 3] = row[j + 3]
    mask[first:last] = True


@njit(**_OPTIONS)
def read_clips(
    frames, flags, starts, lengths, positions, out_starts, in_slices, out_slices, table, table_of, sources, runs,
    affine, hidden, hidden_frames, missing_is_zero, fill, out, mask,
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
        affine: float32 (N, G', 7): m00 m01 m10 m11 dx dy, z scale.
        hidden: bool (N, V') or (N, 0) for none; hidden_frames: bool (F',) or (0,).
        missing_is_zero: Blend missing points as zeros.
        fill: Coordinate of missing points.
    """
    width = frames.shape[1] * 4
    row, held = np.empty(width, np.float32), np.empty((2, width), np.float32)
    state = np.empty(in_slices.shape[0], np.uint8)
    some_hidden, some_frames_hidden = hidden.shape[1] > 0, hidden_frames.size > 0
    for n in range(starts.size):
        start, length, p = starts[n], lengths[n], table_of[n]
        in0, in1 = -1, -1  # which frames `held` holds
        for t in range(out_starts[n], out_starts[n + 1]):
            f0 = int(positions[t])
            weight = np.float32(positions[t] - f0)
            f1 = min(f0 + 1, length - 1)
            if f0 != in0:
                if f0 == in1:
                    held[0, :] = held[1, :]
                else:
                    widen(frames[start + f0], held[0])
                in0 = f0
            if weight != 0 and f1 != in1:
                widen(frames[start + f1], held[1])
                in1 = f1
            for g in range(in_slices.shape[0]):
                state[g] = _blend_group(
                    held[0], held[1], flags[start + f0, g], flags[start + f1, g], weight, row,
                    in_slices[g, 0], in_slices[g, 1], missing_is_zero,
                )  # fmt: skip
            gone = some_frames_hidden and hidden_frames[t]
            for g in range(out_slices.shape[0]):
                first, last = out_slices[g, 0], out_slices[g, 1]
                source, m = sources[p, g], affine[n, g]
                seen = NONE if gone else (state[source] if source >= 0 else SOME)
                if seen == ALL and runs[p, g] >= 0 and not some_hidden:
                    _write_run(row, runs[p, g], m, out[t], mask[t], first, last)
                    continue
                for v in range(first, last):
                    q = table[p, v]
                    here = seen != NONE and q >= 0 and row[4 * q + 3] > 0
                    if some_hidden and hidden[n, v]:
                        here = False
                    mask[t, v] = here
                    _write_point(row, 4 * q if here else 0, m, out[t, v], here, fill)
