"""Deferred operations on N clips, recorded as numbers and applied in one compiled pass, and steps after it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from karsl.datasets.batching.frames import FrameBlock
from karsl.datasets.batching.kernel import FrameReads, write_clips
from karsl.datasets.batching.operations import PointOperations
from karsl.datasets.batching.plan import FramePlan, frame_rows
from karsl.datasets.batching.points import ClipArrays, scratch
from karsl.datasets.batching.stages import Stage
from karsl.datasets.batching.statistics import PointStatistics
from karsl.datasets.batching.steps import NO_STREAMS, Step, Streams, fill_steps, noise_step, smooth_step, stream_step
from karsl.datasets.transforms.base import ClipBatch, ClipMeta, DeferredOps, KeypointTransform, Params
from karsl.errors import ConfigError, TransformError, first_line, pluralize
from karsl.skeletons import Skeleton

_XYZ = 3
_NO_FRAMES = np.zeros(0, bool)


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
        batch._lengths, batch._known_ends = np.array([len(score) for score in scores], np.int64), None
        if "frame_inds" in first:
            batch._resampled.append((np.concatenate([clip["frame_inds"] for clip in results]), batch._ends))
        batch._start_from(ClipArrays.from_clips(keypoints, scores))
        return batch

    def _reset(self, source: FrameBlock, *, filled: bool = False) -> None:
        self._source = source
        self._before: Stage | None = None  # makes the source
        self._arrays: ClipArrays | None = None  # the clips, in place of the source, after a transform of a user
        self._filled = filled  # missing points of the source may have coordinates
        self._lengths: np.ndarray = source.lengths
        self._known_ends: np.ndarray | None = None
        self._reset_operations()

    def _reset_operations(self) -> None:
        self._positions: np.ndarray | None = None
        self._zero, self._hidden_frames = False, _NO_FRAMES
        self._operations = PointOperations(len(self), self.skeleton)
        self._steps: list[Step] = []
        self._streams = NO_STREAMS
        self._fill_value: float | None = None

    # ---- current state ----

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def num_frames(self) -> np.ndarray:
        return self._lengths

    @property
    def _ends(self) -> np.ndarray:
        """int64 (N + 1,), start of each clip in the current frames, and the end of the last."""
        if self._known_ends is None:
            self._known_ends = _find_ends(self._lengths)
        return self._known_ends

    @property
    def meta(self) -> ClipMeta:
        return ClipMeta(self.num_frames, self.skeleton, self.centered, self.fps)

    @property
    def channels(self) -> int:
        """C, without the score."""
        stored = _XYZ if self._arrays is None else self._arrays.channels
        return stored * max(len(self._streams.bones), 1)

    @property
    def fill_value(self) -> float | None:
        """Coordinate of missing points in the batch; None leaves it to the packing transform."""
        return self._fill_value

    @property
    def materialized(self) -> bool:
        """True if more is to be done than to apply the recorded operations to the original frames."""
        return self._source is not self._original or self.has_steps

    @property
    def has_steps(self) -> bool:
        """True if more than the pass is needed, which a plan cannot express."""
        return bool(self._steps) or len(self._streams.bones) > 0 or self._filled or self._arrays is not None

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
        if self._positions is not None or self._hidden_frames.size or (missing_is_zero and not self._operations.is_identity):
            self.materialize()
        self._lengths = np.full(len(positions), positions.shape[1]) if lengths is None else lengths
        self._known_ends = None
        self._positions = np.ascontiguousarray(positions.ravel(), dtype=np.float64)
        self._zero = missing_is_zero
        visible = self._positions if padding is None else np.where(padding.ravel(), np.nan, self._positions)
        self._resampled.append((visible, self._ends))

    def mirror(self, flip: np.ndarray) -> None:
        self._flip = flip
        if not flip.any():
            return
        self._finish_steps()
        if not self._operations.can_mirror():
            self.materialize()
        self._operations.mirror(flip, 2 * self.meta.pivot)

    def affine(self, affine: np.ndarray) -> None:
        self._finish_steps()
        self._operations.affine(affine)

    def mask(self, points: np.ndarray) -> None:
        self._finish_steps()
        self._operations.mask(points)

    def mask_frames(self, frames: Sequence[np.ndarray]) -> None:
        self._finish_steps()
        flat = np.concatenate(list(frames))
        self._hidden_frames = flat | self._hidden_frames if self._hidden_frames.size else flat

    def select(self, skeleton: Skeleton, mapping: np.ndarray) -> None:
        self._finish_steps()
        if not self._operations.can_select(skeleton, mapping):
            self.materialize()
        self._operations.select(skeleton, mapping)
        self.skeleton = skeleton

    def group_anchors(self, anchors: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean, distance, frames = self._statistics().anchors(anchors)
        return mean, distance, (frames > 0) & (distance > 1e-9)

    def group_means(self) -> tuple[np.ndarray, np.ndarray]:
        return self._statistics().means(self.skeleton.group_slices)

    def group_scale(self, part: slice, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean, radius, seen = self._statistics().scales(part, wanted)
        radius[radius <= 1e-9] = 1
        return mean, radius, seen

    def _statistics(self) -> PointStatistics:
        self._finish_steps()
        self._apply_before()
        return PointStatistics(self._reads(), self._operations.compiled(self._hidden_frames), self.skeleton.group_of)

    # ---- steps after the pass ----

    def add_noise(self, keys: np.ndarray, sigma: float) -> None:
        self._add(noise_step(keys, sigma))

    def fill(self, mode: str, value: float) -> None:
        if mode == "constant" and not self._steps and not self._filled and self._fill_value is None:
            self._fill_value = value  # the pass writes it
        else:
            self._add(*fill_steps(mode, value))

    def smooth(self, radius: int) -> None:
        self._add(smooth_step(radius))

    def streams(self, names: Sequence[str], parents: np.ndarray) -> None:
        if len(names) == 1:
            self._add(stream_step(names[0], parents))
        else:
            self._add()
            self._streams = Streams.from_names(names, parents)

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
        self._arrays, self._filled, self._before = arrays, False, None
        self._reset_operations()

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Apply everything; return float32 (F, V, C) and (F, V), NaN and 0 where missing, of the caller's own."""
        self._add()
        shape = int(self._ends[-1]), self.skeleton.num_keypoints
        keypoint, score = scratch(*shape, self.channels), scratch(*shape)
        self._stage().split(keypoint, score)
        return keypoint, score

    def _add(self, *steps: Step) -> None:
        """Record steps, after that of a coordinate for missing points."""
        if self._fill_value is not None:
            self._steps += fill_steps("constant", self._fill_value)
            self._fill_value = None
        self._steps += steps

    def _finish_steps(self, *, keep_filled: bool = True) -> None:
        """Apply steps, since an operation on points is to follow."""
        if self._steps or self._arrays is not None or self._fill_value is not None:
            self.materialize(keep_filled=keep_filled)

    # ---- application ----

    def materialize(self, *, keep_filled: bool = True) -> None:
        """Continue from the result of the recorded operations, which are applied when it is read.

        Args:
            keep_filled: Keep coordinates that FillMissing gave to missing points.
        """
        self._add()
        stage, width = self._stage(), self.skeleton.num_keypoints
        self._reset(FrameBlock(np.zeros(len(self), np.int64), self._lengths, np.dtype(np.float32), width, None))
        self._before = stage
        if stage.may_fill or stage.before is not None:
            self._apply_before(keep_filled=keep_filled)

    @property
    def source(self) -> FrameBlock:
        """Frames of the clips before the recorded operations."""
        self._apply_before()
        return self._source

    def _apply_before(self, *, keep_filled: bool = False) -> None:
        """Make the clips to read, where the stage before is not applied together with the operations after it."""
        if self._before is None:
            return
        lengths, ends, width = self._source.lengths, _find_ends(self._source.lengths), self._source.num_keypoints
        values, present = scratch(int(ends[-1]), width, _XYZ + 1), np.empty((int(ends[-1]), width), bool)
        self._filled = self._before.store(values, present, ends[:-1], keep_filled)
        self._source = FrameBlock.from_rows([values], np.zeros(len(lengths), np.int64), ends[:-1], lengths)
        self._before = None

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
            points=self._operations.table,
            row=self._operations.row,
            affine=self._operations.affines.astype(np.float32),
            group=self.skeleton.group_of,
            hidden=self._operations.hidden if self._operations.hidden.size else None,
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
        if self._before is None and not self.has_steps:
            write_clips(self._reads(), self._operations.compiled(self._hidden_frames), rows, np.float32(fill), out, mask)
        else:
            self._stage().write(out, mask, rows, np.float32(fill))
        return out, mask

    def _stage(self) -> Stage:
        return Stage(
            self._reads(),
            self._operations.compiled(self._hidden_frames),
            self._steps,
            self._streams,
            self._arrays,
            self._filled,
            self._before,
            self._source,
        )

    def _reads(self) -> FrameReads:
        source, positions = self._source, self._positions
        if positions is None:
            starts = _find_ends(source.lengths)
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


def _find_ends(lengths: np.ndarray) -> np.ndarray:
    """Return int64 (N + 1,), start of each of N clips, and the end of the last."""
    ends = np.zeros(len(lengths) + 1, np.int64)
    lengths.cumsum(out=ends[1:])
    return ends
