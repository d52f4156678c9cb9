"""Points of N clips between two operations: NaN and score 0 where missing, as in the results of one clip.

Here are the conversions to and from stored frames (V, 4), whose missing points are zeros. A point that FillMissing gave
coordinates to is still missing; in a stored frame its score is `FILLED`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from karsl.datasets.batching.kernel import in_threads
from karsl.datasets.batching.simd import FILLED
from karsl.datasets.transfer import BufferPool

_compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
_pool = BufferPool()


class Points(NamedTuple):
    """Points of N clips.

    Attributes:
        values: float32 (F', V, C), coordinates, NaN where unknown; or (F', V, C + 1) with the score.
        present: bool (F', V), True where the score is above 0.
        rows: int64 (N,), first row of each clip.
        lengths: int64 (N,), frames.
        channels: C.
    """

    values: np.ndarray
    present: np.ndarray
    rows: np.ndarray
    lengths: np.ndarray
    channels: int

    @classmethod
    def scratch(cls, lengths: np.ndarray, num_keypoints: int, channels: int) -> Points:
        """Allocate points with scores, one clip after the other, in memory that is reused; contents are undefined."""
        ends = np.cumsum(lengths)
        frames = int(ends[-1])
        return cls(
            scratch(frames, num_keypoints, channels + 1),
            np.empty((frames, num_keypoints), bool),
            ends - lengths,
            lengths,
            channels,
        )

    def run(self, kernel, *arguments: object) -> None:
        """Call `kernel(values, present, rows, lengths, channels, *arguments, first_clip, last_clip)` in threads."""
        ends = np.zeros(len(self.rows) + 1, np.int64)
        np.cumsum(self.lengths, out=ends[1:])
        in_threads(lambda first, last: kernel(*self, *arguments, first, last), ends, self.values.nbytes)

    def store(self, *, keep_filled: bool) -> None:
        """Change missing points to those of stored frames; C is 3."""
        self.run(_store, keep_filled)

    def restore(self) -> None:
        """Undo `store`, for points that were written with NaN where missing."""
        self.run(_restore)

    def copy_to(self, out: Points) -> None:
        """Copy to other rows, with or without score."""
        self.run(_copy, out.values, out.present, out.rows)

    def fill_unknown(self, fill: float) -> None:
        """Replace NaN by a coordinate."""
        self.run(_fill_unknown, np.float32(fill))

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Return float32 (F, V, C) and float32 (F, V): coordinates and scores of points with scores."""
        frames, points = int(self.lengths.sum()), self.values.shape[1]
        keypoint, score = scratch(frames, points, self.channels), scratch(frames, points)
        self.run(_split, keypoint, score)
        return keypoint, score

    def join(self, keypoint: np.ndarray, score: np.ndarray) -> None:
        """Set coordinates (F, V, C) and scores (F, V), one clip after the other."""
        self.run(_join, keypoint, score)


def scratch(*shape: int) -> np.ndarray:
    """Return float32 memory that is reused when no array refers to it any more."""
    size = 4 * int(np.prod(shape))
    return _pool.acquire(size)[:size].view(np.float32).reshape(shape)


@_compiled
def _store(values, present, rows, lengths, channels, keep_filled, first_clip, last_clip):
    for n in range(first_clip, last_clip):
        for r in range(rows[n], rows[n] + lengths[n]):
            for v in range(present.shape[1]):
                if not present[r, v]:
                    known = keep_filled and not np.isnan(values[r, v, 0])
                    for c in range(channels):
                        if not known or np.isnan(values[r, v, c]):
                            values[r, v, c] = 0
                    values[r, v, channels] = FILLED if known else 0


@_compiled
def _restore(values, present, rows, lengths, channels, first_clip, last_clip):
    for n in range(first_clip, last_clip):
        for r in range(rows[n], rows[n] + lengths[n]):
            for v in range(present.shape[1]):
                if values[r, v, channels] <= FILLED:
                    values[r, v, channels] = 0
                    present[r, v] = False


@_compiled
def _copy(values, present, rows, lengths, channels, out, out_present, out_rows, first_clip, last_clip):
    for n in range(first_clip, last_clip):
        for t in range(lengths[n]):
            r, s = rows[n] + t, out_rows[n] + t
            for v in range(present.shape[1]):
                out_present[s, v] = present[r, v]
                for c in range(out.shape[2]):
                    out[s, v, c] = values[r, v, c]


@_compiled
def _fill_unknown(values, present, rows, lengths, channels, fill, first_clip, last_clip):
    for n in range(first_clip, last_clip):
        for r in range(rows[n], rows[n] + lengths[n]):
            for v in range(present.shape[1]):
                if not present[r, v]:
                    for c in range(channels):
                        if np.isnan(values[r, v, c]):
                            values[r, v, c] = fill


@_compiled
def _split(values, present, rows, lengths, channels, keypoint, score, first_clip, last_clip):
    start = 0
    for n in range(first_clip):
        start += lengths[n]
    for n in range(first_clip, last_clip):
        for t in range(lengths[n]):
            r = rows[n] + t
            for v in range(present.shape[1]):
                for c in range(channels):
                    keypoint[start + t, v, c] = values[r, v, c]
                score[start + t, v] = values[r, v, channels]
        start += lengths[n]


@_compiled
def _join(values, present, rows, lengths, channels, keypoint, score, first_clip, last_clip):
    start = 0
    for n in range(first_clip):
        start += lengths[n]
    for n in range(first_clip, last_clip):
        for t in range(lengths[n]):
            r = rows[n] + t
            for v in range(present.shape[1]):
                for c in range(channels):
                    values[r, v, c] = keypoint[start + t, v, c]
                present[r, v] = score[start + t, v] > 0
                if values.shape[2] > channels:
                    values[r, v, channels] = score[start + t, v]
        start += lengths[n]
