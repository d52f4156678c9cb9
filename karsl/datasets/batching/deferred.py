"""Deferred operations on N clips, recorded as numbers and applied in one compiled pass, and steps after it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from karsl.datasets.batching.frames import FrameBlock
from karsl.datasets.batching.kernel import (
    FrameReads,
    PointOps,
    PointTable,
    anchor_stats,
    compose,
    in_threads,
    mirrored_x,
    read_clips,
    scale_stats,
    write_clips,
)
from karsl.datasets.batching.permutation import (
    identity_table,
    mirrored_groups,
    mirrored_permutation,
    table_permutation,
)
from karsl.datasets.batching.plan import FramePlan, frame_rows
from karsl.datasets.batching.points import (
    ClipArrays,
    Points,
    Scratch,
    copy_points,
    fill_unknown,
    join_points,
    restore_points,
    scratch,
    split_points,
    store_points,
    sum_groups,
)
from karsl.datasets.batching.steps import Step, fill_step, noise_step, smooth_step, streams_step
from karsl.datasets.transforms.base import ClipBatch, ClipMeta, DeferredOps, KeypointTransform, Params, identity_affine
from karsl.errors import ConfigError, TransformError, first_line, pluralize
from karsl.skeletons import Skeleton

_XYZ = 3
_NO_FRAMES, _FLOATS, _NAN = np.zeros(0, bool), np.zeros(0, np.float32), np.float32(np.nan)
_CHUNK_BYTES = 1 << 20  # about the second-level cache of a core


class DeferredBatch(DeferredOps):
    """N clips and the operations to apply to them: frame positions, point order, hidden points, one affine per group.

    Recorded operations that a new one cannot be combined with, such as an earlier resampling, are applied before it is
    recorded, so every order of operations is right; the usual orders are one pass. Steps, such as noise, follow the pass
    and work in the memory of the batch; if an operation follows a step, both are applied before it is recorded.

    Args:
        source: Frames of the clips.
        skeleton: Skeleton of the frames.
        fps: float64 (N,), see `ClipMeta`.
    """

    def __init__(self, source: FrameBlock, skeleton: Skeleton, *, fps: np.ndarray | None = None) -> None:
        self.skeleton, self.centered, self.fps = skeleton, False, fps
        self._stored_fps = fps
        self._total_frames: np.ndarray | None = source.lengths
        self._flip: np.ndarray | None = None
        self._resampled: list[tuple[np.ndarray, np.ndarray]] = []
        self._original = source
        self._reset(source)

    @classmethod
    def from_results(cls, source: FrameBlock, results: Sequence[dict]) -> DeferredBatch:
        """Continue from the results of N clips, see `BatchSegment.joined`.

        Args:
            source: The clips before, whose frames are not read.
            results: Results of one skeleton and C, all centered or none.
        """
        batch, first = cls(source, results[0]["skeleton"]), results[0]
        batch.centered, batch._total_frames = first.get("centered", False), None
        if any(clip.get("fps") is not None for clip in results):
            rates = [np.nan if clip.get("fps") is None else clip["fps"] for clip in results]
            batch.fps = batch._stored_fps = np.array(rates, np.float64)
        keypoints, scores = (
            [np.ascontiguousarray(clip[key], np.float32) for clip in results] for key in ("keypoint", "keypoint_score")
        )
        batch._lengths = np.array([len(score) for score in scores], np.int64)
        batch._ends = _ends(batch._lengths)
        if "frame_inds" in first:
            batch._resampled.append((np.concatenate([clip["frame_inds"] for clip in results]), batch._ends))
        batch._start_from(ClipArrays.from_clips(keypoints, scores))
        return batch

    def _reset(self, source: FrameBlock, *, filled: bool = False) -> None:
        self.source = source
        self._arrays: ClipArrays | None = None  # the clips, in place of the source, after a transform of a user
        self._filled = filled  # missing points of the source may have coordinates
        self._lengths, self._ends = source.lengths, _ends(source.lengths)
        self._reset_operations()

    def _reset_operations(self) -> None:
        n, v = len(self), self.skeleton.num_keypoints
        self._positions: np.ndarray | None = None
        self._table, self._table_of = identity_table(v), np.zeros(n, np.int64)
        self._hidden, self._hidden_frames, self._zero = np.zeros((n, 0), bool), _NO_FRAMES, False
        self._affine = identity_affine(n, len(self.skeleton.groups))
        self._untouched = True
        self._steps: list[Step] = []
        self._fill_value: float | None = None

    # ---- current state ----

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def num_frames(self) -> np.ndarray:
        return self._lengths

    @property
    def meta(self) -> ClipMeta:
        return ClipMeta(self.num_frames, self.skeleton, self.centered, self.fps)

    @property
    def channels(self) -> int:
        """C, without the score."""
        stored = _XYZ if self._arrays is None else self._arrays.channels
        return next((step.channels for step in reversed(self._steps) if step.channels), stored)

    @property
    def fill_value(self) -> float | None:
        """Coordinate of missing points in the batch; None leaves it to the packing transform."""
        return self._fill_value

    @property
    def materialized(self) -> bool:
        """True if more is to be done than to apply the recorded operations to the original frames."""
        return self.source is not self._original or self.has_steps

    @property
    def has_steps(self) -> bool:
        """True if more than the pass is needed, which a plan cannot express."""
        return bool(self._steps) or self._filled or self._arrays is not None

    def metadata(self, clip: int) -> dict:
        """Return the results of one clip besides its points, under the keys of `results`."""
        metadata: dict[str, Any] = {"skeleton": self.skeleton}
        metadata |= {} if self._total_frames is None else {"total_frames": int(self._total_frames[clip])}
        metadata |= {"centered": True} if self.centered else {}
        metadata |= {} if self.fps is self._stored_fps or self.fps is None else {"fps": float(self.fps[clip])}
        metadata |= {} if self._flip is None else {"flip": bool(self._flip[clip])}
        return metadata | ({"frame_inds": self._frame_inds(clip)} if self._resampled else {})

    def _frame_inds(self, clip: int) -> np.ndarray:
        first, *later = [positions[ends[clip] : ends[clip + 1]] for positions, ends in self._resampled]
        for positions in later:
            # np.interp itself does not return NaN for NaN if there is one frame
            first = np.where(np.isnan(positions), np.nan, np.interp(positions, np.arange(len(first)), first))
        return first

    # ---- operations that transforms record, described by `DeferredOps` ----

    def resample(
        self,
        positions: np.ndarray,
        *,
        lengths: np.ndarray | None = None,
        missing_is_zero: bool = False,
        padding: np.ndarray | None = None,
    ) -> None:
        self._finish_steps(keep_filled=padding is not None)  # interpolation knows present points only
        if self._filled and padding is None:
            self.materialize(keep_filled=False)
        if self._positions is not None or self._hidden_frames.size or (missing_is_zero and not self._untouched):
            self.materialize()
        self._lengths = np.full(len(positions), positions.shape[1]) if lengths is None else lengths
        self._ends = _ends(self._lengths)
        self._positions = np.ascontiguousarray(positions.ravel(), dtype=np.float64)
        self._zero = missing_is_zero
        visible = self._positions if padding is None else np.where(padding.ravel(), np.nan, self._positions)
        self._resampled.append((visible, self._ends))

    def mirror(self, flip: np.ndarray) -> None:
        mirror, self._flip = self.skeleton.mirror, flip
        if not flip.any():
            return
        self._finish_steps()
        groups = mirrored_groups(self.skeleton)
        if groups is None and not self._has_one_affine():
            self.materialize()
        if groups is not None and not self._untouched:
            self._affine = np.where(flip[:, None, None], self._affine[:, groups], self._affine)
        rows = len(self._table)
        self._table = mirrored_permutation(self._table.tobytes(), rows, self.skeleton)
        self._table_of = self._table_of + rows * flip
        if self._hidden.size:
            self._hidden = np.where(flip[:, None], self._hidden[:, mirror], self._hidden)
        self._affine, self._untouched = mirrored_x(self._affine, flip, 2 * self.meta.pivot), False

    def affine(self, affine: np.ndarray) -> None:
        self._finish_steps()
        self._affine, self._untouched = compose(affine, self._affine), False

    def mask(self, points: np.ndarray) -> None:
        self._finish_steps()
        self._hidden = points | self._hidden if self._hidden.size else points
        self._untouched = False

    def mask_frames(self, frames: Sequence[np.ndarray]) -> None:
        self._finish_steps()
        flat = np.concatenate(list(frames))
        self._hidden_frames = flat | self._hidden_frames if self._hidden_frames.size else flat
        self._untouched = False

    def select(self, skeleton: Skeleton, mapping: np.ndarray) -> None:
        self._finish_steps()
        old_group, groups = self.skeleton.group_of, []
        for part in skeleton.groups.values():
            origin = {int(old_group[q]) for q in mapping[part] if q >= 0}
            groups.append(origin.pop() if len(origin) == 1 else None if origin else 0)
        if None in groups and not self._has_one_affine():
            self.materialize()
        # np.take returns rows in C order, as the compiled functions are compiled for; [:, mapping] does not
        self._affine = np.take(self._affine, [0 if g is None else g for g in groups], axis=1)
        self._table = np.where(mapping >= 0, np.take(self._table, mapping, axis=1), -1)
        if self._hidden.size:
            self._hidden = np.take(self._hidden, mapping, axis=1) & (mapping >= 0)
        self.skeleton, self._untouched = skeleton, False

    def group_anchors(self, origin: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self._finish_steps()
        n, points = len(self.source), np.concatenate([origin, scale])
        mean, distance, seen = np.zeros((n, 2)), np.ones(n), np.zeros(n, np.int64)
        groups = self.skeleton.group_of[points]
        anchor_stats(self._reads(), self._origins(), points, groups, len(origin), self._affine, mean, distance, seen)
        return mean, distance, (seen > 0) & (distance > 1e-9)

    def group_means(self) -> tuple[np.ndarray, np.ndarray]:
        self._finish_steps()
        groups = self.skeleton.group_slices
        sums, counts = np.empty((len(self), len(groups), 2)), np.empty((len(self), len(groups)), np.int64)

        def add(points: Points, first: int, last: int) -> None:
            sum_groups(*points, groups, sums, counts, first, last)

        self._write_chunks(None, add, int(self._ends[-1]) * self.skeleton.num_keypoints * 16)
        return sums / np.maximum(counts, 1)[..., None], counts

    def group_scale(self, part: slice, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self._finish_steps()
        n = len(self.source)
        mean, radius, seen = np.zeros((n, 2)), np.ones(n), np.zeros(n, np.int64)
        group = self.skeleton.group_of
        scale_stats(self._reads(), self._origins(), part.start, part.stop, group, self._affine, wanted, mean, radius, seen)
        radius[radius <= 1e-9] = 1
        return mean, radius, seen

    # ---- steps after the pass ----

    def add_noise(self, keys: np.ndarray, sigma: float) -> None:
        self._add(noise_step(keys, sigma))

    def fill(self, mode: str, value: float) -> None:
        if mode == "constant" and not self._steps and not self._filled and self._fill_value is None:
            self._fill_value = value  # the pass writes it
        else:
            self._add(fill_step(mode, value))

    def smooth(self, radius: int) -> None:
        self._add(smooth_step(radius))

    def streams(self, names: Sequence[str], parents: np.ndarray) -> None:
        self._add(streams_step(names, parents))

    def call(self, transform: KeypointTransform, params: Params) -> None:
        keypoint, score = self.split()
        clips = ClipBatch(keypoint, score, self._ends, self.skeleton, params)
        try:
            changed = transform.checked_batch(clips)
        except Exception as error:
            name = f"{type(transform).__name__}.transform_batch"
            print_log(
                f"{name} failed on a batch of {pluralize(len(self), 'clip')} ({first_line(error)}), made one by one instead",
                logger="current",
                level=logging.WARNING,
            )
            raise TransformError(f"{name} failed on {pluralize(len(self), 'clip')}: {error}") from error
        keypoint, score = changed.get("keypoint", keypoint), changed.get("keypoint_score", score)
        self._start_from(ClipArrays.from_block(keypoint, score, self._ends))

    def _start_from(self, arrays: ClipArrays) -> None:
        """Continue from clips of the current lengths in arrays."""
        self._arrays, self._filled = arrays, False
        self._reset_operations()

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Apply everything; return float32 (F, V, C) and (F, V), NaN and 0 where missing, of the caller's own."""
        if self._fill_value is not None:
            self._add(fill_step("constant", self._fill_value))
        shape, ends = (int(self._ends[-1]), self.skeleton.num_keypoints), self._ends
        keypoint, score = scratch(*shape, self.channels), scratch(*shape)

        def write(points: Points, first: int, last: int) -> None:
            split_points(*points, keypoint, score, ends, first, last)

        self._write_chunks(None, write, keypoint.nbytes)
        return keypoint, score

    def _add(self, step: Step) -> None:
        if self._fill_value is not None:
            self._steps.append(fill_step("constant", self._fill_value))
            self._fill_value = None
        self._steps.append(step)

    def _finish_steps(self, *, keep_filled: bool = True) -> None:
        """Apply steps, since an operation on points is to follow."""
        if self._steps or self._arrays is not None or self._fill_value is not None:
            self.materialize(keep_filled=keep_filled)

    # ---- application ----

    def materialize(self, *, keep_filled: bool = True) -> None:
        """Apply the recorded operations and continue from the result.

        Args:
            keep_filled: Keep coordinates that FillMissing gave to missing points.
        """
        if self._fill_value is not None:
            self._add(fill_step("constant", self._fill_value))
        points = self._scratch(int(self._ends[-1])).points(0, self.channels)
        found = np.zeros(len(self), bool)

        def store(points: Points, first: int, last: int) -> None:
            store_points(*points, keep_filled, found, first, last)

        if not self.has_steps:
            self._write_pass(points, 0.0)
        else:
            self._write_chunks(points, store, points.values.nbytes)
        which = np.zeros(len(self), np.int64)
        self._reset(FrameBlock.from_rows([points.values], which, points.rows, self.num_frames), filled=bool(found.any()))

    def plan(self, first_rows: np.ndarray) -> FramePlan:
        """Return the recorded operations as a plan for another device.

        Args:
            first_rows: int64 (N,), row of the first frame of each clip on that device.

        Raises:
            ConfigError: If the clips differ in length.
        """
        n, lengths = len(self), self._lengths
        if (lengths != lengths[0]).any():
            raise ConfigError(
                f"clips of {lengths.min()} and {pluralize(lengths.max(), 'frame')} in one plan; "
                "end the pipeline's temporal part with TSNSampleFrames, UniformSampleFrames or PadTo"
            )
        positions = self._reads().positions.reshape(n, -1)
        frame0, frame1, weight = frame_rows(positions, first_rows, self.source.lengths)
        return FramePlan(
            frame0=frame0,
            frame1=frame1,
            weight=weight,
            points=self._table,
            row=self._table_of,
            affine=self._affine.astype(np.float32),
            group=self.skeleton.group_of,
            hidden=self._hidden if self._hidden.size else None,
            hidden_frames=self._hidden_frames.reshape(n, -1) if self._hidden_frames.size else None,
            missing_is_zero=self._zero,
            remaining=np.float32(1 - positions % 1) if self._zero else None,
        )

    def write(
        self,
        *,
        channels: int,
        fill: float = 0.0,
        out: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        rows: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Apply the recorded operations and write the points.

        Args:
            channels: C, or C + 1 to append the score.
            fill: Coordinate of missing points.
            out: float32 (F', V, channels), the output; allocated if None.
            mask: bool (F', V), the output; allocated if None.
            rows: int64 (N,), first row of `out` for each clip; one clip after the other if None.

        Returns:
            `out` and `mask`.
        """
        shape = int(self._ends[-1]), self.skeleton.num_keypoints
        out = np.empty((*shape, channels), np.float32) if out is None else out
        mask = np.empty(shape, bool) if mask is None else mask
        rows = self._ends[:-1] if rows is None else rows
        points = Points(out, mask, rows, self._lengths, self.channels)
        if not self.has_steps:
            self._write_pass(points, fill)
            return out, mask
        joined = self._arrays is not None and not self._steps  # then filled at once

        def finish(points: Points, first: int, last: int) -> None:
            if not joined and not np.isnan(fill):
                fill_unknown(*points, np.float32(fill), first, last)

        self._write_chunks(points, finish, out.nbytes, fill=np.float32(fill) if joined else _NAN)
        return out, mask

    def _write_pass(self, out: Points, fill: float) -> None:
        write_clips(self._reads(), self._ops(), out.rows, np.float32(fill), out.values, out.present)

    def _write_chunks(
        self, out: Points | None, finish: Callable[[Points, int, int], None], nbytes: int, *, fill: np.float32 = _NAN
    ) -> None:
        """Apply everything to some clips at a time, which stay in the cache of the processor.

        Args:
            out: The output; None for memory that the next clips use again.
            finish: Called with the points and a range of clips that is complete.
            nbytes: Bytes that are written.
            fill: Coordinate in place of NaN, before the steps.
        """
        reads, ops, ends = self._reads(), self._ops(), self._ends
        frame_bytes = self.skeleton.num_keypoints * (self.channels + 1) * 4

        def work(first: int, last: int) -> None:
            chunks = list(_chunks(ends, first, last, frame_bytes))
            memory = self._scratch(max(int(ends[b] - ends[a]) for a, b in chunks))
            for a, b in chunks:
                target = memory.points(a, self.channels, slot=-1) if out is None else out
                self._write_chunk(reads, ops, target, memory, fill, a, b)
                finish(target, a, b)

        in_threads(work, ends, nbytes)

    def _write_chunk(
        self, reads: FrameReads, ops: PointOps, out: Points, memory: Scratch, fill: np.float32, first: int, last: int
    ) -> None:
        """Apply everything to some clips. The steps work in the output from the last one that is not in place."""
        moves = [i for i, step in enumerate(self._steps) if step.channels]
        has_scores = out.values.shape[2] > out.channels
        in_place = not moves and not self._filled and (has_scores or not self._steps)  # steps need the scores
        stored = _XYZ if self._arrays is None else self._arrays.channels
        points = out if in_place else memory.points(first, stored)
        if self._arrays is None:
            read_clips(reads, ops, points.rows, fill, points.values, points.present, first, last)
        else:
            join_points(*points, _FLOATS, self._arrays.keypoint, self._arrays.score, fill, first, last)
        if self._filled:
            restore_points(*points, first, last)
        for i, step in enumerate(self._steps):
            if step.channels:
                target = out if i == moves[-1] and has_scores else memory.points(first, step.channels, slot=i + 1)
                step.run(points, target, first, last)
                points = target
            else:
                step.run(points, first, last)
        if points is not out:
            copy_points(*points, out.values, out.present, out.rows, first, last)

    def _scratch(self, frames: int) -> Scratch:
        return Scratch(self._lengths, self._ends, frames, self.skeleton.num_keypoints)

    def _ops(self) -> PointOps:
        order, shift, absent = table_permutation(self._table.tobytes(), len(self._table), self.skeleton)
        hidden, hidden_of = absent, self._table_of
        if self._hidden.size:
            hidden, hidden_of = self._hidden | absent[self._table_of], np.arange(len(self))
        groups = self.skeleton.group_slices
        return PointOps(groups, order, self._table_of, shift, self._affine, hidden, hidden_of, self._hidden_frames)

    def _reads(self) -> FrameReads:
        source, positions = self.source, self._positions
        if positions is None:
            starts = _ends(source.lengths)
            positions = np.arange(starts[-1], dtype=np.float64) - np.repeat(starts[:-1], source.lengths)
        return FrameReads(
            source.dtype_key,
            source.addresses,
            source.lengths,
            source.num_keypoints,
            positions,
            self._ends,
            self._zero,
        )

    def _origins(self) -> PointTable:
        return PointTable(self._table, self._table_of, self._hidden, self._hidden_frames)

    def _has_one_affine(self) -> bool:
        return bool((self._affine == self._affine[:, :1]).all())


def _ends(lengths: np.ndarray) -> np.ndarray:
    """Return int64 (N + 1,), start of each of N clips, and the end of the last."""
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    return ends


def _chunks(ends: np.ndarray, first: int, last: int, frame_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of clips [first, last) of about `_CHUNK_BYTES`."""
    while first < last:
        stop = int(np.searchsorted(ends, ends[first] + _CHUNK_BYTES // frame_bytes, side="right")) - 1
        stop = min(max(stop, first + 1), last)
        yield first, stop
        first = stop
