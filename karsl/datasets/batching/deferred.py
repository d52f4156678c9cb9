"""Deferred operations on N clips, recorded as numbers and applied in one compiled pass."""

from __future__ import annotations

from collections.abc import Sequence
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
    mirrored_x,
    scale_stats,
    write_clips,
)
from karsl.datasets.batching.plan import FramePlan, frame_rows
from karsl.datasets.transforms.base import ClipMeta, DeferredOps, identity_affine
from karsl.errors import ConfigError, pluralize
from karsl.skeletons import Skeleton

_NO_FRAMES = np.zeros(0, bool)


class DeferredBatch(DeferredOps):
    """N clips and the operations to apply to them: frame positions, point order, hidden points, one affine per group.

    Recorded operations that a new one cannot be combined with, such as an earlier resampling, are applied before it is
    recorded, so every order of operations is right; the usual orders are one pass.

    Args:
        source: Frames of the clips.
        skeleton: Skeleton of the frames.
    """

    def __init__(self, source: FrameBlock, skeleton: Skeleton) -> None:
        self.skeleton, self.centered = skeleton, False
        self.fill_value: float | None = None
        self._total_frames = source.lengths
        self._flip: np.ndarray | None = None
        self._resampled: list[tuple[np.ndarray, np.ndarray]] = []
        self._original = source
        self._reset(source)

    def _reset(self, source: FrameBlock) -> None:
        self.source, n, v = source, len(source), self.skeleton.num_keypoints
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
    def materialized(self) -> bool:
        """True if operations were applied before, so that `source` is not the original frames."""
        return self.source is not self._original

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
        self._affine, self._untouched = compose(affine, self._affine), False

    def mask(self, points: np.ndarray) -> None:
        self._hidden = points | self._hidden if self._hidden.size else points
        self._untouched = False

    def mask_frames(self, frames: Sequence[np.ndarray]) -> None:
        flat = np.concatenate(list(frames))
        self._hidden_frames = flat | self._hidden_frames if self._hidden_frames.size else flat
        self._untouched = False

    def select(self, skeleton: Skeleton, mapping: np.ndarray) -> None:
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
        n, points = len(self.source), np.concatenate([origin, scale])
        mean, distance, seen = np.zeros((n, 2)), np.ones(n), np.zeros(n, np.int64)
        groups = self.skeleton.group_of[points]
        anchor_stats(self._reads(), self._origins(), points, groups, len(origin), self._affine, mean, distance, seen)
        return mean, distance, (seen > 0) & (distance > 1e-9)

    def group_scale(self, part: slice, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n = len(self.source)
        mean, radius, seen = np.zeros((n, 2)), np.ones(n), np.zeros(n, np.int64)
        group = self.skeleton.group_of
        scale_stats(self._reads(), self._origins(), part.start, part.stop, group, self._affine, wanted, mean, radius, seen)
        radius[radius <= 1e-9] = 1
        return mean, radius, seen

    # ---- application ----

    def materialize(self) -> None:
        """Apply the recorded operations and continue from the result."""
        frames, _ = self.write(channels=4)
        which = np.zeros(len(self), np.int64)
        self._reset(FrameBlock.from_rows([frames], which, self._ends[:-1], self.num_frames))

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
            channels: 3, or 4 to append the score.
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
        order, shift, absent = table_permutation(self._table.tobytes(), len(self._table), self.skeleton)
        hidden, hidden_of = absent, self._table_of
        if self._hidden.size:
            hidden, hidden_of = self._hidden | absent[self._table_of], np.arange(len(self))
        groups = self.skeleton.group_slices
        ops = PointOps(groups, order, self._table_of, shift, self._affine, hidden, hidden_of, self._hidden_frames)
        rows = self._ends[:-1] if rows is None else rows
        write_clips(self._reads(), ops, rows, np.float32(fill), out, mask)
        return out, mask

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
