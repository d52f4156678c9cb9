"""Stages of a batch: a pass over single points, and the steps after it. A stage may read the clips that another one makes.

All stages are applied to some clips at a time, which stay in the cache of the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from karsl.datasets.batching.kernel import FrameReads, PointOps, in_threads, read_clips
from karsl.datasets.batching.points import (
    ClipArrays,
    Points,
    Scratch,
    copy_points,
    fill_unknown,
    join_points,
    restore_points,
    store_points,
)
from karsl.datasets.batching.steps import Step

_XYZ = 3
_FLOATS, _NAN = np.zeros(0, np.float32), np.float32(np.nan)
_CHUNK_BYTES = 2 << 20  # fewer cost more in calls than they save in the second-level cache


@dataclass(frozen=True)
class Stage:
    """What is done to N clips.

    Attributes:
        reads: Frames to read; addresses are not used if there is a stage `before`.
        ops: Operations on their points.
        lengths: int64 (N,), frames of the clips that are made.
        steps: Steps after the pass.
        arrays: The clips in place of `reads`, after a transform of a user.
        filled: Missing points that are read may have coordinates.
        before: Stage that makes the clips to read.
        memory: Keeps the addresses of `reads` valid.
    """

    reads: FrameReads
    ops: PointOps
    lengths: np.ndarray
    steps: Sequence[Step]
    arrays: ClipArrays | None
    filled: bool
    before: Stage | None
    memory: Any

    @property
    def channels(self) -> int:
        """C, without the score."""
        return next((step.channels for step in reversed(self.steps) if step.channels), self._stored_channels)

    @property
    def _stored_channels(self) -> int:
        return _XYZ if self.arrays is None else self.arrays.channels

    @property
    def has_steps(self) -> bool:
        """True if more than the pass is needed."""
        return bool(self.steps) or self.filled or self.arrays is not None

    @property
    def may_fill(self) -> bool:
        """True if missing points may have coordinates afterwards."""
        return self.filled or self.arrays is not None or any(step.fills for step in self.steps)

    def write(self, out: Points, fill: np.float32) -> None:
        """Write the clips of a batch, with a coordinate in place of NaN."""
        joined = not self.steps and not self.filled  # then filled at once

        def finish(points: Points, first: int, last: int) -> None:
            if not joined and not np.isnan(fill):
                fill_unknown(*points, fill, first, last)

        self.write_chunks(out, finish, out.values.nbytes, fill=fill if joined else _NAN)

    def store(self, out: Points, keep_filled: bool) -> bool:
        """Write the clips as stored frames, zeros where missing; return True if a missing point has coordinates.

        Args:
            out: The output, with scores.
            keep_filled: Keep such coordinates.
        """
        found = np.zeros(len(self.lengths), bool)

        def finish(points: Points, first: int, last: int) -> None:
            self._finish_stored(points, keep_filled, found, first, last)

        self.write_chunks(out, finish, out.values.nbytes, fill=self._stored_fill)
        return bool(found.any())

    @property
    def _stored_fill(self) -> np.float32:
        return _NAN if self.has_steps else np.float32(0)

    def _finish_stored(self, points: Points, keep_filled: bool, found: np.ndarray, first: int, last: int) -> None:
        if self.has_steps:
            store_points(*points, keep_filled, found, first, last)

    def write_chunks(
        self, out: Points | None, finish: Callable[[Points, int, int], None], nbytes: int, *, fill: np.float32 = _NAN
    ) -> None:
        """Apply everything to some clips at a time.

        Args:
            out: The output; None for memory that the next clips use again.
            finish: Called with the points and a range of clips that is complete.
            nbytes: Bytes that are written.
            fill: Coordinate in place of NaN, before the steps.
        """
        ends, channels = self.reads.ends, self.channels
        frame_bytes = self.ops.order.shape[1] * (channels + 1) * 4

        def work(first: int, last: int) -> None:
            chunks = list(_chunks(ends, first, last, frame_bytes))
            memory = self._memory(chunks)
            for a, b in chunks:
                target = memory[0].points(a, channels, slot=-1) if out is None else out
                self._write_chunk(target, memory, fill, a, b)
                finish(target, a, b)

        in_threads(work, ends, nbytes)

    def _write_chunk(self, out: Points, memory: Sequence[Scratch], fill: np.float32, first: int, last: int) -> None:
        """Apply everything to some clips. The steps work in the output from the last one that is not in place."""
        moves = [i for i, step in enumerate(self.steps) if step.channels]
        has_scores = out.values.shape[2] > out.channels
        in_place = not moves and not self.filled and (has_scores or not self.steps)  # steps need the scores
        points = out if in_place else memory[0].points(first, self._stored_channels)
        if self.arrays is None:
            reads = self.reads if self.before is None else self._reads_of(self.before, memory[1:], first, last)
            read_clips(reads, self.ops, points.rows, fill, points.values, points.present, first, last)
        else:
            join_points(*points, _FLOATS, self.arrays.keypoint, self.arrays.score, fill, first, last)
        if self.filled:
            restore_points(*points, first, last)
        for i, step in enumerate(self.steps):
            if step.channels:
                target = out if i == moves[-1] and has_scores else memory[0].points(first, step.channels, slot=i + 1)
                step.run(points, target, first, last)
                points = target
            else:
                step.run(points, first, last)
        if points is not out:
            copy_points(*points, out.values, out.present, out.rows, first, last)

    def _reads_of(self, before: Stage, memory: Sequence[Scratch], first: int, last: int) -> FrameReads:
        """Make some clips by the stage before, and return the frames to read of them."""
        points = memory[0].points(first, _XYZ, slot=-1)
        before._write_chunk(points, memory, before._stored_fill, first, last)
        before._finish_stored(points, False, np.zeros(len(self.lengths), bool), first, last)
        return self.reads._replace(addresses=points.values.ctypes.data + points.rows * points.values.strides[0])

    def _memory(self, chunks: Sequence[tuple[int, int]]) -> list[Scratch]:
        """Return memory for some clips of this stage and of those before."""
        ends = self.reads.ends
        frames = max(int(ends[last] - ends[first]) for first, last in chunks)
        own = Scratch(self.lengths, ends, frames, self.ops.order.shape[1])
        return [own] if self.before is None else [own, *self.before._memory(chunks)]


def _chunks(ends: np.ndarray, first: int, last: int, frame_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of clips [first, last) of about `_CHUNK_BYTES`."""
    while first < last:
        stop = int(np.searchsorted(ends, ends[first] + _CHUNK_BYTES // frame_bytes, side="right")) - 1
        stop = min(max(stop, first + 1), last)
        yield first, stop
        first = stop
