"""Deferred operations on N clips, recorded as numbers and applied in one compiled pass, and steps after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from karsl.datasets.batching.frames import FrameBlock
from karsl.datasets.batching.kernel import (
    GATHERED,
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
from karsl.datasets.batching.plan import FramePlan, frame_rows
from karsl.datasets.batching.points import Points, Scratch, copy_points, fill_unknown, restore_points, store_points
from karsl.datasets.batching.steps import Step, fill_step, noise_step, smooth_step, streams_step
from karsl.datasets.transforms.base import ClipMeta, DeferredOps, identity_affine
from karsl.errors import ConfigError
from karsl.skeletons import Skeleton

_XYZ = 3
_NO_FRAMES, _NAN = np.zeros(0, bool), np.float32(np.nan)
_CHUNK_BYTES = 1 << 20  # about the second-level cache of a core


class DeferredBatch(DeferredOps):
    """N clips and the operations to apply to them: frame positions, point order, hidden points, one affine per group.

    Recorded operations that a new one cannot be combined with, such as an earlier resampling, are applied before it is
    recorded, so every order of operations is right; the usual orders are one pass. Steps, such as noise, follow the pass
    and work in the memory of the batch; if an operation follows a step, both are applied before it is recorded.

    Args:
        source: Frames of the clips.
        skeleton: Skeleton of the frames.
    """

    def __init__(self, source: FrameBlock, skeleton: Skeleton) -> None:
        self.skeleton, self.centered = skeleton, False
        self._total_frames = source.lengths
        self._flip: np.ndarray | None = None
        self._resampled: list[tuple[np.ndarray, np.ndarray]] = []
        self._original = source
        self._reset(source)

    def _reset(self, source: FrameBlock, *, filled: bool = False) -> None:
        self.source, n, v = source, len(source), self.skeleton.num_keypoints
        self._steps: list[Step] = []
        self._fill_value: float | None = None
        self._filled = filled  # missing points of the source may have coordinates
        self._positions: np.ndarray | None = None
        self._lengths, self._ends = source.lengths, _ends(source.lengths)
        self._table, self._table_of = _identity_table(v), np.zeros(n, np.int64)
        self._hidden, self._hidden_frames, self._zero = np.zeros((n, 0), bool), _NO_FRAMES, False
        self._affine = identity_affine(n, len(self.skeleton.groups))
        self._untouched = True

    # ---- current state ----

    def __len__(self) -> int:
        return len(self.source)

    @property
    def num_frames(self) -> np.ndarray:
        return self._lengths

    @property
    def meta(self) -> ClipMeta:
        return ClipMeta(self.num_frames, self.skeleton, self.centered)

    @property
    def channels(self) -> int:
        """C, without the score."""
        return next((step.channels for step in reversed(self._steps) if step.channels), 3)

    @property
    def fill_value(self) -> float | None:
        """Coordinate of missing points in the batch; None leaves it to the packing transform."""
        return self._fill_value

    @property
    def materialized(self) -> bool:
        """True if more is to be done than to apply the recorded operations to the original frames."""
        return self.source is not self._original or bool(self._steps)

    def metadata(self, clip: int) -> dict:
        """Return the results of one clip besides its points, under the keys of `results`."""
        metadata = {"skeleton": self.skeleton, "total_frames": int(self._total_frames[clip])}
        metadata |= {"centered": True} if self.centered else {}
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
        positions: Sequence[np.ndarray] | np.ndarray,
        *,
        missing_is_zero: bool = False,
        padding: np.ndarray | None = None,
    ) -> None:
        self._finish_steps(keep_filled=padding is not None)  # interpolation knows present points only
        if self._filled and padding is None:
            self.materialize(keep_filled=False)
        if self._positions is not None or self._hidden_frames.size or (missing_is_zero and not self._untouched):
            self.materialize()
        if isinstance(positions, np.ndarray):
            self._lengths, flat = np.full(len(positions), positions.shape[1]), positions.ravel()
        else:
            self._lengths = np.array([len(p) for p in positions], dtype=np.int64)
            flat = np.concatenate(list(positions))
        self._ends = _ends(self._lengths)
        self._positions = np.ascontiguousarray(flat, dtype=np.float64)
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

    def _add(self, step: Step) -> None:
        if self._fill_value is not None:
            self._steps.append(fill_step("constant", self._fill_value))
            self._fill_value = None
        self._steps.append(step)

    def _finish_steps(self, *, keep_filled: bool = True) -> None:
        """Apply steps, since an operation on points is to follow."""
        if self._steps or self._fill_value is not None:
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
        filled = self._filled or any(step.fills for step in self._steps)
        self._write(points, 0.0, stored=True, keep_filled=keep_filled)
        which = np.zeros(len(self), np.int64)
        source = FrameBlock.from_rows([points.values], which, points.rows, self.num_frames)
        self._reset(source, filled=filled and keep_filled)

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
                f"clips of {lengths.min()} and {lengths.max()} frames in one plan; "
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
        self._write(Points(out, mask, rows, self._lengths, self.channels), fill)
        return out, mask

    def _write(self, out: Points, fill: float, *, stored: bool = False, keep_filled: bool = False) -> None:
        """Apply everything, in threads; with steps some clips at a time, which stay in the cache of the processor.

        Args:
            out: The output.
            fill: Coordinate of unknown points.
            stored: Write stored frames instead, see `store_points`.
            keep_filled: See `materialize`.
        """
        reads, ops, ends = self._reads(), self._ops(), self._ends
        if not self._steps and not self._filled:
            write_clips(reads, ops, out.rows, np.float32(fill), out.values, out.present)
            return

        def finish(first: int, last: int) -> None:
            if stored:
                store_points(*out, keep_filled, first, last)
            elif not np.isnan(fill):
                fill_unknown(*out, np.float32(fill), False, first, last)

        def work(first: int, last: int) -> None:
            chunks = list(_chunks(ends, first, last, out.values[0].nbytes))
            scratch = self._scratch(max(int(ends[b] - ends[a]) for a, b in chunks))
            for a, b in chunks:
                self._write_chunk(reads, ops, out, scratch, a, b)
                finish(a, b)

        in_threads(work, ends, out.values.nbytes)

    def _write_chunk(self, reads: FrameReads, ops: PointOps, out: Points, scratch: Scratch, first: int, last: int) -> None:
        """Apply everything to some clips. The steps work in the output from the last one that is not in place."""
        moves = [i for i, step in enumerate(self._steps) if step.channels]
        points = scratch.points(first, _XYZ) if moves or self._filled else out
        read_clips(reads, ops, points.rows, _NAN, points.values, points.present, first, last)
        if self._filled:
            restore_points(*points, first, last)
        for i, step in enumerate(self._steps):
            if step.channels:
                target = out if i == moves[-1] else scratch.points(first, step.channels, slot=i + 1)
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
            positions = np.concatenate([np.arange(t, dtype=np.float64) for t in source.lengths])
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


# ---- permutations of points: tables int64 (P, V) of the stored point of each point, -1 for none ----


@lru_cache(maxsize=64)
def _identity_table(points: int) -> np.ndarray:
    table = np.arange(points)[None]
    table.flags.writeable = False
    return table


@lru_cache(maxsize=64)
def table_permutation(table_bytes: bytes, rows: int, target: Skeleton) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `order` and `shift` of `PointOps`, and bool (P, V') absent points, for a table of `rows` rows."""
    table = np.frombuffer(table_bytes, np.int64).reshape(rows, -1)
    shift = np.full((rows, len(target.groups)), GATHERED)
    for r, row in enumerate(table):
        for g, part in enumerate(target.groups.values()):
            if row[part.start] >= 0 and (np.diff(row[part]) == 1).all():
                shift[r, g] = row[part.start] - part.start
    return np.maximum(table, 0).astype(np.int32), shift, table < 0


@lru_cache(maxsize=64)
def mirrored_permutation(table_bytes: bytes, rows: int, skeleton: Skeleton) -> np.ndarray:
    """Return the (2 P, V) rows of a table followed by their mirror images."""
    table = np.frombuffer(table_bytes, np.int64).reshape(rows, -1)
    both = np.concatenate([table, table[:, skeleton.mirror]])
    both.flags.writeable = False
    return both


@lru_cache(maxsize=64)
def mirrored_groups(skeleton: Skeleton) -> np.ndarray | None:
    """Return int64 (G,), group that is mirrored to each group; None if a group has points of several."""
    groups = skeleton.group_of[skeleton.mirror]
    origin = [groups[part] for part in skeleton.groups.values()]
    return np.array([o[0] for o in origin]) if all((o == o[0]).all() for o in origin) else None
