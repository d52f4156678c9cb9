"""Compiled operations on the points of N clips that a pass over single points cannot express.

Each does to N clips what `apply` of its transform does to one, with the same roundings. A step works in place, or writes
other points; `DeferredBatch` chooses the memory, at the end of a pipeline the batch itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from karsl.datasets.batching.points import Points
from karsl.datasets.batching.rng import GOLDEN, mix
from karsl.datasets.rng import fold_in
from karsl.datasets.transforms.noise import BLOCK, OFFSETS, noise_table

_LAST_OFFSET, _HALF = np.uint64(OFFSETS - 1), np.uint64(32)
_compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)


class Step(NamedTuple):
    """One operation.

    Attributes:
        run: Function of `Points`, edited in place; or of the input and the output.
        channels: C of the output; 0 if the operation works in place.
        fills: True if missing points may get coordinates.
    """

    run: Callable[..., None]
    channels: int = 0
    fills: bool = False


def noise_step(keys: np.ndarray, sigma: float) -> Step:
    """Add noise, see `RandomGaussianNoise`; uint64 (N,) keys."""

    def run(points: Points) -> None:
        table = noise_table(points.values.shape[2]).reshape(-1)
        points.run(_add_noise, keys, fold_in(0, "block"), np.float32(sigma), table)

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

    def run(points: Points) -> None:
        if mode != "constant":
            points.run(_fill_gaps, mode == "linear")
        points.fill_unknown(value)

    return Step(run, fills=True)


@_compiled
def _fill_gaps(values, present, rows, lengths, channels, linear, first_clip, last_clip):
    for n in range(first_clip, last_clip):
        start, end = rows[n], rows[n] + lengths[n]
        for r in range(start, end):
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
    return Step(lambda points: points.run(_smooth, radius))


@_compiled
def _smooth(values, present, rows, lengths, channels, radius, first_clip, last_clip):
    size, points = values.shape[1] * channels, values.shape[1]
    longest = 0
    for n in range(first_clip, last_clip):
        longest = max(longest, lengths[n])
    known, seen = np.empty((longest, size), np.float32), np.empty((longest, size), np.float32)
    total, count = np.empty(size, np.float32), np.empty(size, np.float32)
    for n in range(first_clip, last_clip):
        for t in range(lengths[n]):
            for v in range(points):
                here = present[rows[n] + t, v]
                for c in range(channels):
                    known[t, v * channels + c] = values[rows[n] + t, v, c] if here else np.float32(0)
                    seen[t, v * channels + c] = np.float32(1) if here else np.float32(0)
        for t in range(lengths[n]):
            total[:], count[:] = 0, 0
            for near in range(max(t - radius, 0), min(t + radius + 1, lengths[n])):
                x, one = known[near], seen[near]
                for i in range(size):
                    total[i] += x[i]
                    count[i] += one[i]
            for v in range(points):
                if present[rows[n] + t, v]:
                    for c in range(channels):
                        values[rows[n] + t, v, c] = total[v * channels + c] / count[v * channels + c]


def streams_step(streams: Sequence[str], parents: np.ndarray) -> Step:
    """Replace points by joint, bone and motion streams, see `SkeletonFeatures`; int64 (V,) parents."""
    bones = np.array([name.startswith("bone") for name in streams])
    motions = np.array([name.endswith("motion") for name in streams])

    def run(points: Points, out: Points) -> None:
        points.run(_write_streams, bones, motions, parents, out.values, out.present, out.rows)

    return Step(run, channels=3 * len(streams))


@_compiled
def _write_streams(
    values, present, rows, lengths, channels, bones, motions, parents, out, out_present, out_rows, first_clip, last_clip
):
    width, nan = bones.size * channels, np.float32(np.nan)
    for n in range(first_clip, last_clip):
        for t in range(lengths[n]):
            r, target = rows[n] + t, out_rows[n] + t
            for v in range(values.shape[1]):
                parent, seen = parents[v], present[r, v]
                for s in range(bones.size):
                    for c in range(channels):
                        x = values[r, v, c]
                        if bones[s]:
                            x -= values[r, parent, c]
                        if motions[s]:
                            before = values[r - 1, v, c] if t > 0 else x
                            if bones[s] and t > 0:
                                before -= values[r - 1, parent, c]
                            x = x - before if t > 0 else np.float32(0)
                        seen = seen and not np.isnan(x)
                        out[target, v, s * channels + c] = x
                out_present[target, v] = seen
                if out.shape[2] > width:
                    out[target, v, width] = values[r, v, channels] if seen else np.float32(0)
                if not seen:
                    for i in range(width):
                        out[target, v, i] = nan
