"""Stages of a batch: a pass over single points, and steps after it. A stage may read the clips that another one makes.

Compiled code takes one clip through all of it, so that it stays in the cache of the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from karsl.datasets.batching.kernel import FrameReads, PointOps, in_threads, read_clips
from karsl.datasets.batching.points import (
    ClipArrays,
    copy_points,
    fill_unknown,
    join_points,
    restore_points,
    split_points,
    store_points,
)
from karsl.datasets.batching.simd import address_of, compiled
from karsl.datasets.batching.steps import Step, StepTable, Streams, apply_steps, step_table, write_streams

_XYZ, _NAN = 3, np.float32(np.nan)
_NOWHERE = np.zeros(0, np.int64)
_inlined = njit(inline="always")  # compiled by themselves, they would be compiled again with all that they call


@dataclass(frozen=True)
class Stage:
    """What is done to N clips.

    Attributes:
        reads: Frames to read; addresses are not used if there is a stage `before`.
        ops: Operations on their points.
        steps: Steps after the pass.
        streams: Written in place of the points at the end, if there are any.
        arrays: The clips in place of `reads`, after a transform of a user.
        filled: Missing points that are read may have coordinates.
        before: Stage that makes the clips to read; it has none before it.
        memory: Keeps the addresses of `reads` valid.
    """

    reads: FrameReads
    ops: PointOps
    steps: Sequence[Step]
    streams: Streams
    arrays: ClipArrays | None
    filled: bool
    before: Stage | None
    memory: Any

    @property
    def has_steps(self) -> bool:
        """True if more than the pass is needed."""
        return bool(self.steps) or self.filled or self.arrays is not None

    @property
    def may_fill(self) -> bool:
        """True if missing points may have coordinates afterwards."""
        return self.filled or self.arrays is not None or any(step.fills for step in self.steps)

    @property
    def _num_keypoints(self) -> int:
        return self.ops.order.shape[1]

    @property
    def _stored_fill(self) -> np.float32:
        return _NAN if self.has_steps else np.float32(0)

    def write(self, out: np.ndarray, mask: np.ndarray, rows: np.ndarray, fill: np.float32) -> None:
        """Write the clips of a batch.

        Args:
            out: float32 (F', V, C) or (F', V, C + 1) with the score, the output.
            mask: bool (F', V), the output; True where a point is present.
            rows: int64 (N,), first row of each clip.
            fill: Coordinate in place of NaN.
        """
        edits, has_streams = bool(self.steps) or self.filled, bool(self.streams.bones.size)
        has_scores = out.shape[2] > (_XYZ if self.arrays is None else self.arrays.channels)  # steps need them
        target = (out, mask, rows) if not has_streams and (has_scores or not edits) else None
        self._run(
            _write_clips, out.nbytes, _NAN if edits or has_streams else fill, target, self.streams, fill, out, mask, rows
        )

    def store(self, out: np.ndarray, mask: np.ndarray, rows: np.ndarray, keep_filled: bool) -> bool:
        """Write the clips as stored frames, zeros where missing; return True if a missing point has coordinates.

        Args:
            out: float32 (F, V, 4), the output.
            mask, rows: See `write`.
            keep_filled: Keep such coordinates.
        """
        found = np.zeros(len(rows), bool)
        self._run(_store_clips, out.nbytes, self._stored_fill, (out, mask, rows), keep_filled, found)
        return bool(found.any())

    def split(self, keypoint: np.ndarray, score: np.ndarray) -> None:
        """Write the clips to float32 (F, V, C) and (F, V), one after the other, NaN and 0 where missing."""
        self._run(_split_clips, keypoint.nbytes, _NAN, None, self.streams, keypoint, score)

    def _run(self, function: Callable[..., None], nbytes: int, fill: np.float32, target: Any, *args: Any) -> None:
        """Call a compiled function of these stages for all clips, in threads.

        Args:
            nbytes: Bytes that are written.
            fill: Coordinate in place of NaN, before the steps.
            target: Where clips are made: values, flags and rows; None for memory that the next clip uses again.
            args: Further arguments of the function.
        """
        own, before = self._compiled(), self.before

        def work(first: int, last: int) -> None:
            values, present, rows = self._memory() if target is None else target
            job = _Job(own, values, present, rows, fill)
            if before is None:
                function(job, False, job, *args, first, last)
                return
            source, flags, first_rows = before._memory()
            addresses = np.full(len(rows), source.ctypes.data, np.int64)
            job = job._replace(stage=own._replace(reads=own.reads._replace(addresses=addresses)))
            first_job = _Job(before._compiled(), source, flags, first_rows, before._stored_fill)
            function(first_job, True, job, *args, first, last)

        in_threads(work, self.reads.ends, nbytes)

    def _compiled(self) -> _CompiledStage:
        keypoint, score, channels, _ = self.arrays or ClipArrays(_NOWHERE, _NOWHERE, _XYZ, None)
        steps = step_table(self.steps, len(self.reads.lengths), self._num_keypoints)
        return _CompiledStage(self.reads, self.ops, keypoint, score, channels, self.filled, steps)

    def _memory(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return memory for one clip of these at a time: values, flags and the rows of the clips."""
        ends, channels = self.reads.ends, _XYZ if self.arrays is None else self.arrays.channels
        shape = int((ends[1:] - ends[:-1]).max()), self._num_keypoints
        return np.empty((*shape, channels + 1), np.float32), np.empty(shape, bool), np.zeros(len(ends) - 1, np.int64)


class _CompiledStage(NamedTuple):
    """A stage for compiled code.

    Attributes:
        reads, ops, filled: See `Stage`.
        keypoint, score, channels: See `ClipArrays`; (0,) if frames are read.
        steps: Steps after the pass.
    """

    reads: FrameReads
    ops: PointOps
    keypoint: np.ndarray
    score: np.ndarray
    channels: int
    filled: bool
    steps: StepTable


class _Job(NamedTuple):
    """A stage and the memory of its clips.

    Attributes:
        stage: The stage.
        values: float32 (F', V, C) or (F', V, C + 1).
        present: bool (F', V).
        rows: int64 (N,), first row of each clip.
        fill: Coordinate in place of NaN, before the steps.
    """

    stage: _CompiledStage
    values: np.ndarray
    present: np.ndarray
    rows: np.ndarray
    fill: np.float32


@_inlined
def _make_clip(job, n):
    """Make clip `n` of a stage; return its points and flags."""
    stage, row = job.stage, job.rows[n]
    end = row + stage.reads.ends[n + 1] - stage.reads.ends[n]
    clip, present = job.values[row:end], job.present[row:end]
    if stage.keypoint.size:
        join_points(stage.keypoint[n], stage.score[n], stage.channels, job.fill, clip, present)
    else:
        read_clips(stage.reads, stage.ops, job.rows, job.fill, job.values, job.present, n, n + 1)
    if stage.filled:
        restore_points(clip, present)
    apply_steps(stage.steps, n, clip, present)
    return clip, present


@_inlined
def _make(before, has_before, job, n):
    """Make clip `n` of both stages."""
    if has_before:
        clip, present = _make_clip(before, n)
        if np.isnan(before.fill):
            store_points(clip, present, False)
    return _make_clip(job, n)


@compiled
def _write_clips(before, has_before, job, streams, fill, out, mask, rows, first_clip, last_clip):
    for n in range(first_clip, last_clip):
        clip, present = _make(before, has_before, job, n)
        target, flags = out[rows[n] : rows[n] + clip.shape[0]], mask[rows[n] : rows[n] + clip.shape[0]]
        if streams.bones.size:
            write_streams(clip, present, streams, target)
            flags[:] = present
            fill_unknown(target, flags, fill)
            continue
        if np.isnan(job.fill):
            fill_unknown(clip, present, fill)
        if address_of(clip) != address_of(target):
            copy_points(clip, present, target, flags)


@compiled
def _store_clips(before, has_before, job, keep_filled, found, first_clip, last_clip):
    for n in range(first_clip, last_clip):
        clip, present = _make(before, has_before, job, n)
        if np.isnan(job.fill):
            found[n] = store_points(clip, present, keep_filled)


@compiled
def _split_clips(before, has_before, job, streams, keypoint, score, first_clip, last_clip):
    ends = job.stage.reads.ends
    for n in range(first_clip, last_clip):
        clip, present = _make(before, has_before, job, n)
        coordinates, scores = keypoint[ends[n] : ends[n + 1]], score[ends[n] : ends[n + 1]]
        if streams.bones.size:
            write_streams(clip, present, streams, coordinates)
            scores[:] = np.where(present, clip[:, :, _XYZ], np.float32(0))
        else:
            split_points(clip, coordinates, scores)
