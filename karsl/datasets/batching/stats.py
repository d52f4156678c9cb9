"""Compiled statistics of points of clips, read through the deferred resampling, permutation and affines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import carray, njit

from karsl.datasets.batching.simd import half_to_float, pointer

_compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


class PointTable(NamedTuple):
    """Origin of the current points of N clips.

    Attributes:
        table: int64 (P, V), stored point of each current point, -1 for none.
        row: int64 (N,), row of `table` for each clip.
        hidden: bool (N, V), points that are hidden, or (N, 0).
        hidden_frames: bool (F,), frames that are hidden, or (0,).
    """

    table: np.ndarray
    row: np.ndarray
    hidden: np.ndarray
    hidden_frames: np.ndarray


@njit(inline="always")
def _point(clip, position, q, missing_is_zero):
    """Return (x, y, present) of stored point `q` of a clip (T, V, 4) at a fractional position."""
    f0 = int(position)
    f1 = min(f0 + 1, clip.shape[0] - 1)
    fraction = position - f0
    weight = np.float32(fraction)
    present0 = half_to_float(clip[f0, q, 3]) > 0
    present1 = weight > 0 and half_to_float(clip[f1, q, 3]) > 0
    x0, y0 = half_to_float(clip[f0, q, 0]), half_to_float(clip[f0, q, 1])
    x1, y1 = half_to_float(clip[f1, q, 0]), half_to_float(clip[f1, q, 1])
    if missing_is_zero:  # in float64 as in `interpolate_frames`: a point that fades into zeros may be the unit
        x, y = (1 - fraction) * x0 + fraction * x1, (1 - fraction) * y0 + fraction * y1
        return np.float32(x), np.float32(y), present0 or present1
    if not (present0 and present1):
        weight = np.float32(1 if present1 and not present0 else 0)
    return x0 + (x1 - x0) * weight, y0 + (y1 - y0) * weight, present0 or present1


@_compiled
def anchor_stats(reads, origins, points, groups, num_origin, affine, mean, distance, seen_frames):
    """Compute the mean of the first `num_origin` of `points` and the mean distance of the last two, where all are present.

    Args:
        reads: `FrameReads` of the clips.
        origins: `PointTable` of the clips.
        points: int64 (K,), current points.
        groups: int64 (K,), their groups.
        num_origin: Number of points of the mean.
        affine: float64 (N, G, 7).
        mean, distance, seen_frames: float64 (N, 2), float64 (N,) and int64 (N,), the output.
    """
    positions, ends, hidden, hidden_frames = reads.positions, reads.ends, origins.hidden, origins.hidden_frames
    xy, k_all = np.empty((points.size, 2)), points.size
    for n in range(reads.addresses.size):
        clip = carray(pointer(reads.like, reads.addresses[n]), (reads.lengths[n], reads.width, 4))
        count, px, py, d = 0, 0.0, 0.0, 0.0
        for t in range(ends[n], ends[n + 1]):
            seen = not (hidden_frames.size > 0 and hidden_frames[t])
            for k in range(k_all):
                q = origins.table[origins.row[n], points[k]]
                if not seen or q < 0 or (hidden.shape[1] > 0 and hidden[n, points[k]]):
                    seen = False
                    break
                x, y, present = _point(clip, positions[t], q, reads.missing_is_zero)
                m = affine[n, groups[k]]
                xy[k, 0], xy[k, 1] = m[0] * x + m[1] * y + m[4], m[2] * x + m[3] * y + m[5]
                seen = seen and present
            if seen:
                count += 1
                for k in range(num_origin):
                    px += xy[k, 0]
                    py += xy[k, 1]
                d += np.hypot(xy[k_all - 2, 0] - xy[k_all - 1, 0], xy[k_all - 2, 1] - xy[k_all - 1, 1])
        seen_frames[n] = count
        if count:
            mean[n, 0], mean[n, 1], distance[n] = px / count / num_origin, py / count / num_origin, d / count


@_compiled
def scale_stats(reads, origins, first, last, group_of, affine, wanted, mean, radius, seen_points):
    """Compute mean and root-mean-square radius of the present points in [first, last), for clips `wanted`.

    Args:
        reads: `FrameReads` of the clips.
        origins: `PointTable` of the clips.
        group_of: int64 (V,), group of each current point.
        affine: float64 (N, G, 7).
        wanted: bool (N,).
        mean, radius, seen_points: float64 (N, 2), float64 (N,) and int64 (N,), the output.
    """
    positions, ends, hidden, hidden_frames = reads.positions, reads.ends, origins.hidden, origins.hidden_frames
    for n in range(reads.addresses.size):
        if not wanted[n]:
            continue
        clip = carray(pointer(reads.like, reads.addresses[n]), (reads.lengths[n], reads.width, 4))
        count, sx, sy, sxx = 0, 0.0, 0.0, 0.0
        for again in range(2):  # first the mean, then the radius about it: one pass loses digits
            for t in range(ends[n], ends[n + 1]):
                if hidden_frames.size > 0 and hidden_frames[t]:
                    continue
                for v in range(first, last):
                    q = origins.table[origins.row[n], v]
                    if q < 0 or (hidden.shape[1] > 0 and hidden[n, v]):
                        continue
                    x, y, present = _point(clip, positions[t], q, reads.missing_is_zero)
                    if not present:
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
            mean[n, 0], mean[n, 1], radius[n] = sx, sy, np.sqrt(sxx / count)


@_compiled
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


@_compiled
def mirrored_x(affine, flip, twice_pivot):
    """Return float64 (N, G, 7) affines followed by x -> `twice_pivot` - x where bool (N,) `flip`."""
    out = affine.copy()
    for n in range(flip.size):
        if flip[n]:
            for g in range(out.shape[1]):
                out[n, g, 0], out[n, g, 1], out[n, g, 4] = -out[n, g, 0], -out[n, g, 1], twice_pivot - out[n, g, 4]
    return out
