"""The compiled pass: read clips at frame positions, blend, permute, move, and write them into a batch.

A stored frame is (V, 4): x, y, z, score; a missing point is all zeros. Clips are given by address, so one pass reads clips
of several mapped files. While one clip is written the next is fetched from main memory (measured: 12 us a clip without).
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from karsl.datasets.fused.memory import pointer, prefetch
from karsl.datasets.fused.vector import stretch

_POINTS = 4  # a step; what is left over of a stretch goes one by one
_compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


def _pair(*, gathered: bool, channels: int):
    many, single = (stretch(points, gathered=gathered, channels=channels) for points in (_POINTS, 1))

    @njit(inline="always")
    def write(like, frame0, frame1, order, hidden, weight, zero, move, fill, out, mask, first, last):
        left = many(like, frame0, frame1, order, hidden, weight, zero, move, fill, out, mask, first, last)
        if left < last:
            single(like, frame0, frame1, order, hidden, weight, zero, move, fill, out, mask, left, last)

    return write


_run_3, _order_3 = _pair(gathered=False, channels=3), _pair(gathered=True, channels=3)
_run_4, _order_4 = _pair(gathered=False, channels=4), _pair(gathered=True, channels=4)


@njit(inline="always")
def _stretches(groups, runs, affine, found, moves):
    """Fill `found` (G, 3) with first, last, shift or PICKED, `moves` (G, 12) with factors and offsets; gives their number.

    Neighbouring groups that move alike and go on in the same way are one stretch.
    """
    count = 0
    for g in range(groups.shape[0]):
        same = g > 0
        for i in range(7):
            same = same and affine[g, i] == affine[g - 1, i]
        shift = runs[g]
        if same and found[count - 1, 2] == shift:
            found[count - 1, 1] = groups[g, 1]
            continue
        found[count, 0], found[count, 1], found[count, 2] = groups[g, 0], groups[g, 1], shift
        m, a = moves[count], affine[g]
        m[0], m[1], m[2], m[3] = a[0], a[3], a[6], 1
        m[4], m[5], m[6], m[7] = a[1], a[2], 0, 0
        m[8], m[9], m[10], m[11] = a[4], a[5], 0, 0
        count += 1
    return count


PICKED = -(1 << 40)
"""In `runs`: the points of a group do not keep their order."""


@_compiled
def read_clips(
    like, addresses, lengths, width, positions, counts, rows, groups, order, order_of, runs, affine, hidden, hidden_of,
    hidden_frames, zero, fill, out, mask,
):  # fmt: skip
    """Write N clips into `out` (F', V', 3 or 4) and `mask` (F', V').

    Args:
        like: An array of the stores' kind: float32, or uint16 for float16.
        addresses, lengths: int64 (N,), where each clip's first frame lies, and its frames.
        width: V, points of a stored frame.
        positions: float64 (sum of `counts`,), frame positions inside each clip.
        counts, rows: int64 (N,), how many frames of each clip to write, and the first row of `out` for them.
        groups: int64 (G', 2), output points of each group.
        order: int32 (P, V'), the stored point of each output point; int64 (N,) `order_of` picks the row.
        runs: int64 (P, G'), stored minus output point where a group keeps its order, else PICKED.
        affine: float64 (N, G', 7): m00 m01 m10 m11 dx dy, z scale.
        hidden: bool (H, V'), points to leave out; int64 (N,) `hidden_of` picks the row.
        hidden_frames: bool like `positions`, or (0,).
        zero: Blend missing points as zeros.
        fill: Coordinate of missing points.
    """
    points, channels, point_bytes = out.shape[1], out.shape[2], 4 * like.itemsize
    frame_bytes, out_bytes = width * point_bytes, 4 * points * channels
    found, moves = np.empty((groups.shape[0], 3), np.int64), np.empty((groups.shape[0], 12), np.float32)
    p = 0
    for n in range(addresses.size):
        base, last, pick = addresses[n], lengths[n] - 1, order_of[n]
        orders, hide = order.ctypes.data + 4 * points * pick, hidden.ctypes.data + points * hidden_of[n]
        target, flags = out.ctypes.data + out_bytes * rows[n], mask.ctypes.data + points * rows[n]
        following = min(n + 1, addresses.size - 1)
        stretches = _stretches(groups, runs[pick], affine[n], found, moves)
        for t in range(counts[n]):
            prefetch(addresses[following], lengths[following] * frame_bytes, t, counts[n])
            f0 = int(positions[p])
            weight = positions[p] - f0
            frame0 = base + f0 * frame_bytes
            frame1 = frame0 if np.float32(weight) == 0 or f0 == last else frame0 + frame_bytes
            if hidden_frames.size > 0 and hidden_frames[p]:
                _write_nothing(out[rows[n] + t], mask[rows[n] + t], fill)
            else:
                for s in range(stretches):
                    first, end, shift = found[s, 0], found[s, 1], found[s, 2]
                    move = moves.ctypes.data + 48 * s
                    if shift == PICKED and channels == 4:
                        _order_4(like, frame0, frame1, orders, hide, weight, zero, move, fill, target, flags, first, end)
                    elif shift == PICKED:
                        _order_3(like, frame0, frame1, orders, hide, weight, zero, move, fill, target, flags, first, end)
                    else:
                        a, b = frame0 + shift * point_bytes, frame1 + shift * point_bytes
                        if channels == 4:
                            _run_4(like, a, b, orders, hide, weight, zero, move, fill, target, flags, first, end)
                        else:
                            _run_3(like, a, b, orders, hide, weight, zero, move, fill, target, flags, first, end)
            target, flags, p = target + out_bytes, flags + points, p + 1


@njit(inline="always")
def _write_nothing(target, mask, fill):
    for v in range(target.shape[0]):
        mask[v] = False
        for c in range(target.shape[1]):
            target[v, c] = fill if c < 3 else np.float32(0)


@_compiled
def copy_frames(like, addresses, out):
    """Copy stored frames to `out` (F, ...), contiguous and of the kind of `like`."""
    from_rows = out.reshape(out.shape[0], -1)
    for f in range(addresses.size):
        source = carray(pointer(like, addresses[f]), from_rows.shape[1])
        for j in range(source.size):
            from_rows[f, j] = source[j]


@_compiled
def row_addresses(first, sizes, row_bytes, which, starts, lengths, addresses):
    """Fill `addresses` (N,) with where runs of rows begin; gives the first run that is not in its store, -1 for none.

    Args:
        first, sizes: int64 (S,), where each store's rows begin, and how many there are.
        which: int64 (N,), the store of each run; (1,) where all are in the first.
        starts, lengths: int64 (N,).
    """
    for n in range(starts.size):
        store = which[n] if which.size == starts.size else 0
        if starts[n] < 0 or lengths[n] < 1 or starts[n] + lengths[n] > sizes[store]:
            return n
        addresses[n] = first[store] + starts[n] * row_bytes
    return -1
