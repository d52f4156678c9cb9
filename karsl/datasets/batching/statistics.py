"""Means and scales of points of N clips, as they are after the recorded operations, without writing the clips."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from karsl.datasets.batching.kernel import GATHERED, FrameReads, PointOps, read_clips, write_clips
from karsl.datasets.batching.simd import FILLED, LAYOUT_NDIM, address_of, compiled, prefetch
from karsl.datasets.batching.vectors import POINT_BYTES, add, least, load, load_half, repeated, scaled, store

_NAN = np.float32(np.nan)
_HALF_BYTES = 8  # of a stored point in float16


class PointStatistics:
    """Statistics of N clips.

    Args:
        reads: Frames to read.
        ops: Operations on their points.
        group_of: int64 (V,), group of each point.
    """

    def __init__(self, reads: FrameReads, ops: PointOps, group_of: np.ndarray) -> None:
        self.reads, self.ops, self.group_of = reads, ops, group_of

    def anchors(self, anchors: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the mean of some points and the mean distance of two, over the frames in which all of them are present.

        Args:
            anchors: A pairs of int64 (K,) points of the mean and (2,) points of the distance.

        Returns:
            float64 (N, A, 2), float64 (N, A), and int64 (N, A), the number of these frames.
        """
        n, count = len(self.reads.lengths), len(anchors)
        points = np.concatenate([np.concatenate(pair) for pair in anchors])
        sizes = np.array([len(origin) for origin, _ in anchors])
        ends = np.zeros(count + 1, np.int64)
        np.cumsum(sizes + 2, out=ends[1:])
        shape = int(self.reads.ends[-1]), len(points)
        values, present = np.empty((*shape, 4), np.float32), np.empty(shape, bool)
        write_clips(self.reads, self._subset(points), self.reads.ends[:-1], _NAN, values, present)
        mean, distance, frames = np.zeros((n, count, 2)), np.ones((n, count)), np.zeros((n, count), np.int64)
        _anchor_stats(values, self.reads.ends, ends, sizes, mean, distance, frames)
        return mean, distance, frames

    def scales(self, part: slice, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean and root-mean-square radius of the present points of a range, for clips bool (N,) `wanted`.

        Returns:
            float64 (N, 2), float64 (N,), and int64 (N,), the number of these points; 0, 1 and 0 for other clips.
        """
        n, ends, points = len(self.reads.lengths), self.reads.ends, np.arange(part.start, part.stop)
        mean, radius, number = np.zeros((n, 2)), np.ones(n), np.zeros(n, np.int64)
        if wanted.any():
            longest = int((ends[1:] - ends[:-1]).max())
            values, present = np.empty((longest, len(points), 4), np.float32), np.empty((longest, len(points)), bool)
            _scale_stats(self.reads, self._subset(points), wanted, values, present, mean, radius, number)
        return mean, radius, number

    def means(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean x and y of the present points of groups, int64 (G, 2) first and last + 1 point.

        Where all points of a group are present in all frames, as usual, the mean is that of the stored frames, weighted by
        how often they are read: 10 times as fast as to interpolate each point.

        Returns:
            float64 (N, G, 2), and int64 (N, G), the number of these points.
        """
        shape = len(self.reads.lengths), len(groups)
        means, counts, complete = np.zeros((*shape, 2)), np.zeros(shape, np.int64), np.zeros(shape, bool)
        if self.reads.like.ndim == LAYOUT_NDIM[None]:
            _mean_stored(self.reads, self.ops, groups, means, counts, complete)
        for g, (first, last) in enumerate(groups.tolist()):
            others = ~complete[:, g]
            if others.any():
                mean, _, number = self.scales(slice(first, last), others)
                means[others, g], counts[others, g] = mean[others], number[others]
        return means, counts

    def _subset(self, points: np.ndarray) -> PointOps:
        """Return the operations of some points only."""
        ops, number = self.ops, np.arange(len(points))
        return ops._replace(
            groups=np.stack([number, number + 1], 1),
            order=np.take(ops.order, points, axis=1),
            shift=np.full((len(ops.order), len(points)), GATHERED),
            affine=np.take(ops.affine, self.group_of[points], axis=1),
            hidden=np.take(ops.hidden, points, axis=1),
        )


@compiled
def _anchor_stats(values, ends, firsts, sizes, mean, distance, frames):
    """Compute `PointStatistics.anchors` from float32 (F, K, 4) points of all anchors."""
    for n in range(ends.size - 1):
        for a in range(sizes.size):
            first, last, count, x, y, d = firsts[a], firsts[a + 1], 0, 0.0, 0.0, 0.0
            for t in range(ends[n], ends[n + 1]):
                seen = True
                for k in range(first, last):
                    seen = seen and values[t, k, 3] > FILLED
                if not seen:
                    continue
                count += 1
                for k in range(first, first + sizes[a]):
                    x += values[t, k, 0]
                    y += values[t, k, 1]
                dx = np.float64(values[t, last - 2, 0]) - values[t, last - 1, 0]
                dy = np.float64(values[t, last - 2, 1]) - values[t, last - 1, 1]
                d += np.sqrt(dx * dx + dy * dy)
            frames[n, a] = count
            if count:
                mean[n, a, 0], mean[n, a, 1], distance[n, a] = x / count / sizes[a], y / count / sizes[a], d / count


@compiled
def _scale_stats(reads, ops, wanted, values, present, mean, radius, number):
    """Compute `PointStatistics.scales`, with memory for float32 (T, K, 4) and bool (T, K) points of one clip."""
    rows = np.zeros(wanted.size, np.int64)
    for n in range(wanted.size):
        if not wanted[n]:
            continue
        read_clips(reads, ops, rows, _NAN, values, present, n, n + 1)
        count, x, y, squares, frames = 0, 0.0, 0.0, 0.0, reads.ends[n + 1] - reads.ends[n]
        for again in range(2):  # first the mean, then the radius about it: one pass loses digits
            for t in range(frames):
                for k in range(values.shape[1]):
                    if not values[t, k, 3] > FILLED:
                        continue
                    if again:
                        squares += (values[t, k, 0] - x) ** 2 + (values[t, k, 1] - y) ** 2
                    else:
                        count += 1
                        x += values[t, k, 0]
                        y += values[t, k, 1]
            if again == 0 and count:
                x, y = x / count, y / count
        if count:
            mean[n, 0], mean[n, 1], radius[n], number[n] = x, y, np.sqrt(squares / count), count


@compiled
def _mean_stored(reads, ops, groups, means, counts, complete):
    """Compute `PointStatistics.means` of complete groups."""
    half, width = reads.like.itemsize == 2, reads.width
    point_bytes = _HALF_BYTES if half else POINT_BYTES
    total, lowest = np.empty((width, 4), np.float32), np.empty((width, 4), np.float32)
    weights = np.empty(reads.lengths.max(), np.float32)
    for n in range(reads.lengths.size):
        visible, following = _weigh_frames(reads, ops.hidden_frames, n, weights), min(n + 1, reads.lengths.size - 1)
        base, frame_bytes, v = reads.addresses[n], width * point_bytes, 0
        while v < width:
            prefetch(reads.addresses[following], reads.lengths[following] * frame_bytes, v // 8, (width + 7) // 8)
            here, out, low = base + v * point_bytes, address_of(total[v]), address_of(lowest[v])
            if v + 8 <= width:
                _sum_points(8, here, frame_bytes, half, weights[: reads.lengths[n]], out, low)
                v += 8
            else:
                _sum_points(1, here, frame_bytes, half, weights[: reads.lengths[n]], out, low)
                v += 1
        order, hide = ops.order[ops.order_of[n]], ops.hidden[ops.hidden_of[n]]
        for g in range(groups.shape[0]):
            x, y, count, known = 0.0, 0.0, 0, True
            for v in range(groups[g, 0], groups[g, 1]):
                if not hide[v]:
                    q = order[v]
                    known = known and lowest[q, 3] > FILLED
                    x += total[q, 0]
                    y += total[q, 1]
                    count += visible
            complete[n, g] = known
            if known and count:
                m, x, y = ops.affine[n, g], x / count, y / count
                means[n, g, 0], means[n, g, 1] = m[0] * x + m[1] * y + m[4], m[2] * x + m[3] * y + m[5]
                counts[n, g] = count


@njit(inline="always")
def _weigh_frames(reads, hidden_frames, n, weights):
    """Fill float32 (T,) with how often each frame is read, and return the number of frames that are not hidden."""
    visible, last = 0, reads.lengths[n] - 1
    weights[: last + 1] = 0
    for t in range(reads.ends[n], reads.ends[n + 1]):
        if hidden_frames.size > 0 and hidden_frames[t]:
            continue
        visible += 1
        f = int(reads.positions[t])
        weight = np.float32(reads.positions[t] - f)
        if weight == 0 or f == last:
            weights[f] += 1
        else:
            weights[f] += 1 - weight
            weights[f + 1] += weight
    return visible


@njit(inline="always")
def _sum_points(points, base, frame_bytes, half, weights, total, lowest):
    """Sum the weighted points of the frames that are read, and find their lowest scores."""
    sums, low = repeated(points, 0.0), repeated(points, 1.0)
    for f in range(weights.size):
        if weights[f] > 0:
            address = base + f * frame_bytes
            v = load_half(points, address) if half else load(points, address)
            sums, low = add(sums, scaled(v, weights[f])), least(low, v)
    store(sums, total)
    store(low, lowest)
