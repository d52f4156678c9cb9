"""Compiled statistics of single points of clips, read through positions, permutation and moves that are still pending."""

from __future__ import annotations

import numpy as np
from numba import carray, njit

from karsl.datasets.fused.half import number
from karsl.datasets.fused.memory import pointer

_compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


@njit(inline="always")
def _point(clip, position, q, missing_is_zero):
    """(x, y, seen) of stored point `q` of a clip (T, V, 4) at a fractional position."""
    f0 = int(position)
    f1 = min(f0 + 1, clip.shape[0] - 1)
    share = position - f0
    weight = np.float32(share)
    here0 = number(clip[f0, q, 3]) > 0
    here1 = weight > 0 and number(clip[f1, q, 3]) > 0
    x0, y0 = number(clip[f0, q, 0]), number(clip[f0, q, 1])
    x1, y1 = number(clip[f1, q, 0]), number(clip[f1, q, 1])
    if missing_is_zero:  # as `blend_frames` does it: a unit may be as small as what is left of a point that fades
        x, y = (1 - share) * x0 + share * x1, (1 - share) * y0 + share * y1
        return np.float32(x), np.float32(y), here0 or here1
    if not (here0 and here1):
        weight = np.float32(1 if here1 and not here0 else 0)
    return x0 + (x1 - x0) * weight, y0 + (y1 - y0) * weight, here0 or here1


@_compiled
def anchor_stats(
    like, addresses, lengths, width, positions, ends, table, table_of, hidden, hidden_frames, missing_is_zero,
    points, groups, num_origin, affine, place, distance, seen_frames,
):  # fmt: skip
    """Mean place of the first `num_origin` of `points` and mean distance of the two after them, where all are seen.

    Args:
        points: int64 (K,), output points; `groups` (K,) their groups, for `affine` float64 (N, G, 7).
        place: float64 (N, 2), distance: float64 (N,), seen_frames: int64 (N,): filled.
    """
    xy, k_all = np.empty((points.size, 2)), points.size
    for n in range(addresses.size):
        clip = carray(pointer(like, addresses[n]), (lengths[n], width, 4))
        count, px, py, d = 0, 0.0, 0.0, 0.0
        for t in range(ends[n], ends[n + 1]):
            seen = not (hidden_frames.size > 0 and hidden_frames[t])
            for k in range(k_all):
                q = table[table_of[n], points[k]]
                if not seen or q < 0 or (hidden.shape[1] > 0 and hidden[n, points[k]]):
                    seen = False
                    break
                x, y, there = _point(clip, positions[t], q, missing_is_zero)
                m = affine[n, groups[k]]
                xy[k, 0], xy[k, 1] = m[0] * x + m[1] * y + m[4], m[2] * x + m[3] * y + m[5]
                seen = seen and there
            if seen:
                count += 1
                for k in range(num_origin):
                    px += xy[k, 0]
                    py += xy[k, 1]
                d += np.hypot(xy[k_all - 2, 0] - xy[k_all - 1, 0], xy[k_all - 2, 1] - xy[k_all - 1, 1])
        seen_frames[n] = count
        if count:
            place[n, 0], place[n, 1], distance[n] = px / count / num_origin, py / count / num_origin, d / count


@_compiled
def spread_stats(
    like, addresses, lengths, width, positions, ends, table, table_of, hidden, hidden_frames, missing_is_zero,
    first, last, group_of, affine, wanted, place, radius, seen_points,
):  # fmt: skip
    """Mean and root-mean-square radius of the seen points among output points [first, last), for clips `wanted`."""
    for n in range(addresses.size):
        if not wanted[n]:
            continue
        clip = carray(pointer(like, addresses[n]), (lengths[n], width, 4))
        count, sx, sy, sxx = 0, 0.0, 0.0, 0.0
        for again in range(2):  # mean first, then radius about it: one pass loses digits
            for t in range(ends[n], ends[n + 1]):
                if hidden_frames.size > 0 and hidden_frames[t]:
                    continue
                for v in range(first, last):
                    q = table[table_of[n], v]
                    if q < 0 or (hidden.shape[1] > 0 and hidden[n, v]):
                        continue
                    x, y, there = _point(clip, positions[t], q, missing_is_zero)
                    if not there:
                        continue
                    m = affine[n, group_of[v]]
                    mx, my = m[0] * x + m[1] * y + m[4], m[2] * x + m[3] * y + m[5]
                    if again:
                        sxx += (mx - sx) ** 2 + (my - sy) ** 2
                    else:
                        count += 1
                        sx += mx
                        sy += my
            if again == 0 and count:
                sx /= count
                sy /= count
        seen_points[n] = count
        if count:
            place[n, 0], place[n, 1], radius[n] = sx, sy, np.sqrt(sxx / count)


@_compiled
def compose(after, before):
    """float64 (N, G, 7), `before` and then `after`, rows m00 m01 m10 m11 dx dy z; either may have G = 1."""
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


@_compiled
def mirrored_x(affine, flip, twice_pivot):
    """float64 (N, G, 7), and then x becomes `twice_pivot` - x where bool (N,) `flip`."""
    out = affine.copy()
    for n in range(flip.size):
        if flip[n]:
            for g in range(out.shape[1]):
                out[n, g, 0], out[n, g, 1], out[n, g, 4] = -out[n, g, 0], -out[n, g, 1], twice_pivot - out[n, g, 4]
    return out
