"""N clips with what is still to be done to them: steps are noted as numbers and done in one compiled pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from karsl.datasets.fused.kernel import IN_ORDER, PARTLY, REORDERED, presence_flags, read_clips
from karsl.datasets.fused.plan import FramePlan, frame_rows
from karsl.datasets.fused.stats import anchor_stats, compose, spread_stats
from karsl.datasets.transforms.affine import identity
from karsl.datasets.transforms.base import ClipMeta
from karsl.errors import ConfigError
from karsl.skeletons import Skeleton

_NO_FRAMES = np.zeros(0, bool)
_Reading = tuple[
    np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool
]
"""The first ten arguments of the functions of `karsl.datasets.fused.stats`."""


@dataclass
class Frames:
    """Where the frames of N clips lie.

    Attributes:
        frames: (F, V, 4) float32 or float16: x, y, z, score; zeros where missing.
        flags: uint8 (F, G), presence of each group in each frame.
        starts, lengths: int64 (N,).
    """

    frames: np.ndarray
    flags: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, frames: np.ndarray, starts: np.ndarray, lengths: np.ndarray, skeleton: Skeleton) -> Frames:
        """Frames whose flags are not known yet."""
        flags = np.empty((len(frames), len(skeleton.groups)), np.uint8)
        presence_flags(_bits(frames), skeleton.group_slices, flags)
        return cls(frames, flags, starts, lengths)


class PendingClips:
    """Clips and the moves that wait for them: frame positions, point order, hiding, one affine a group.

    A step that cannot join what waits (a second reading of frames, say) has it done first, so every order of steps is
    right; the usual orders are one pass.

    Args:
        source: The clips' frames.
        skeleton: Of the frames.
    """

    def __init__(self, source: Frames, skeleton: Skeleton) -> None:
        self.skeleton, self.centred, self.fill = skeleton, False, 0.0
        self._total_frames = source.lengths
        self._flip: np.ndarray | None = None
        self._reads: list[tuple[np.ndarray, np.ndarray]] = []
        self._given = source
        self._start_from(source)

    def _start_from(self, source: Frames) -> None:
        self.source, n, v = source, len(source.starts), self.skeleton.num_keypoints
        self._in_slices = self.skeleton.group_slices
        self._positions: np.ndarray | None = None
        self._lengths, self._out_starts = source.lengths, _ends(source.lengths)
        self._table, self._table_of = np.arange(v)[None], np.zeros(n, np.int64)
        self._source_skeleton = self.skeleton
        self._hidden, self._hidden_frames, self._zero = np.zeros((n, 0), bool), _NO_FRAMES, False
        self._affine = identity(n, len(self.skeleton.groups))
        self._untouched = True

    # ---- what steps may ask ----

    def __len__(self) -> int:
        return len(self.source.starts)

    @property
    def num_frames(self) -> np.ndarray:
        """int64 (N,), lengths after what waits."""
        return self._lengths

    @property
    def meta(self) -> ClipMeta:
        """What a transform may know before it draws."""
        return ClipMeta(self.num_frames, self.skeleton, self.centred)

    def notes(self, clip: int) -> dict:
        """What the steps so far tell of one clip beside its points, under the keys of results."""
        notes = {"skeleton": self.skeleton, "total_frames": int(self._total_frames[clip])}
        notes |= {"centred": True} if self.centred else {}
        notes |= {} if self._flip is None else {"flip": bool(self._flip[clip])}
        return notes | ({"frame_inds": self._frame_inds(clip)} if self._reads else {})

    def _frame_inds(self, clip: int) -> np.ndarray:
        found, *later = [positions[ends[clip] : ends[clip + 1]] for positions, ends in self._reads]
        for here in later:
            found = np.interp(here, np.arange(len(found)), found)
        return found

    # ---- what steps may note ----

    def read_at(
        self,
        positions: Sequence[np.ndarray] | np.ndarray,
        *,
        missing_is_zero: bool = False,
        padding: np.ndarray | None = None,
    ) -> None:
        """Read each clip at its positions.

        Args:
            positions: float64 (N, L), or N arrays of any lengths.
            missing_is_zero: Blend missing points as zeros.
            padding: bool (N, L), positions that only fill up.
        """
        if self._positions is not None or self._hidden_frames.size or (missing_is_zero and not self._untouched):
            self.settle()
        self._lengths = np.array([len(p) for p in positions], dtype=np.int64)
        self._out_starts = _ends(self._lengths)
        flat = positions.ravel() if isinstance(positions, np.ndarray) else np.concatenate(list(positions))
        self._positions = np.ascontiguousarray(flat, dtype=np.float64)
        self._zero = missing_is_zero
        told = self._positions if padding is None else np.where(padding.ravel(), np.nan, self._positions)
        self._reads.append((told, self._out_starts))

    def mirror(self, flip: np.ndarray) -> None:
        """Mirror the clips where bool (N,) `flip`, about the picture's centre or the origin."""
        mirror, self._flip = self.skeleton.mirror, flip
        if not flip.any():
            return
        groups = _mirrored_groups(self.skeleton)
        if groups is None and not self._uniform():
            self.settle()
        if groups is not None:
            self._affine = np.where(flip[:, None, None], self._affine[:, groups], self._affine)
        rows = len(self._table)
        self._table = np.concatenate([self._table, self._table[:, mirror]])
        self._table_of = self._table_of + rows * flip
        if self._hidden.size:
            self._hidden = np.where(flip[:, None], self._hidden[:, mirror], self._hidden)
        move = identity(len(flip), 1)
        move[flip, :, 0], move[flip, :, 4] = -1, 2 * self.meta.pivot
        self.move(move)

    def move(self, affine: np.ndarray) -> None:
        """Apply float64 (N, 1 or G, 7) after what waits: m00 m01 m10 m11 dx dy, z scale."""
        self._affine, self._untouched = compose(affine, self._affine), False

    def hide(self, points: np.ndarray) -> None:
        """Take points away, bool (N, V)."""
        self._hidden = points | self._hidden if self._hidden.size else points
        self._untouched = False

    def hide_frames(self, frames: Sequence[np.ndarray]) -> None:
        """Take all points of some frames away, N bool arrays of the current lengths."""
        flat = np.concatenate(list(frames))
        self._hidden_frames = flat | self._hidden_frames if self._hidden_frames.size else flat
        self._untouched = False

    def select(self, skeleton: Skeleton, mapping: np.ndarray) -> None:
        """Go to another skeleton: int64 (V',) of current points, -1 for what is not there."""
        old_group, groups = self.skeleton.group_of, []
        for part in skeleton.groups.values():
            origin = {int(old_group[q]) for q in mapping[part] if q >= 0}
            groups.append(origin.pop() if len(origin) == 1 else None if origin else 0)
        if None in groups and not self._uniform():
            self.settle()
        self._affine = self._affine[:, [0 if g is None else g for g in groups]]
        self._table = np.where(mapping >= 0, self._table[:, mapping], -1)
        if self._hidden.size:
            self._hidden = self._hidden[:, mapping] & (mapping >= 0)
        self.skeleton, self._untouched = skeleton, False

    # ---- statistics of points as they will be ----

    def anchors(self, origin: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean place (N, 2) of `origin` points, mean distance (N,) of two, and bool (N,) where they are ever seen."""
        n, points = len(self.source.starts), np.concatenate([origin, scale])
        place, distance, seen = np.zeros((n, 2)), np.ones(n), np.zeros(n, np.int64)
        groups = self.skeleton.group_of[points]
        anchor_stats(*self._reading(), points, groups, len(origin), self._affine, place, distance, seen)
        return place, distance, (seen > 0) & (distance > 1e-9)

    def spread(self, part: slice, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean place (N, 2), radius (N,), number of seen points (N,) of a run of points, for clips `wanted`."""
        n = len(self.source.starts)
        place, radius, seen = np.zeros((n, 2)), np.ones(n), np.zeros(n, np.int64)
        group = self.skeleton.group_of
        spread_stats(*self._reading(), part.start, part.stop, group, self._affine, wanted, place, radius, seen)
        radius[radius <= 1e-9] = 1
        return place, radius, seen

    # ---- doing it ----

    def settle(self) -> None:
        """Do what waits, into frames of its own."""
        frames, _ = self.write(channels=4)
        starts, lengths = self._out_starts[:-1], self.num_frames
        self._start_from(Frames.of(frames, starts, lengths, self.skeleton))

    @property
    def settled(self) -> bool:
        """Whether something was done before, so that `source` is not what was given."""
        return self.source is not self._given

    def plan(self) -> FramePlan:
        """What waits, for another device; statistics of points are in it as numbers.

        Raises:
            ConfigError: The clips differ in length.
        """
        n, lengths = len(self), self._lengths
        if (lengths != lengths[0]).any():
            raise ConfigError(
                f"clips of {lengths.min()} and {lengths.max()} frames in one plan; "
                "end the pipeline's temporal part with TSNSampleFrames, UniformSampleFrames or PadFrames"
            )
        _, starts, source_lengths, positions, *_ = self._reading()
        return FramePlan(
            *frame_rows(positions.reshape(n, -1), starts, source_lengths), self._table, self._table_of,
            self._affine.astype(np.float32), self.skeleton.group_of, self._hidden if self._hidden.size else None,
            self._hidden_frames.reshape(n, -1) if self._hidden_frames.size else None, self._zero,
        )  # fmt: skip

    def write(
        self, *, channels: int, fill: float = 0.0, out: np.ndarray | None = None, mask: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Do what waits.

        Args:
            channels: 3, or 4 to have the score last.
            fill: Coordinate of missing points.
            out: float32 (F', V, channels) to write to; `mask` bool (F', V).

        Returns:
            `out` and `mask`, clips one after the other.
        """
        shape = int(self._out_starts[-1]), self.skeleton.num_keypoints
        out = np.empty((*shape, channels), np.float32) if out is None else out
        mask = np.empty(shape, bool) if mask is None else mask
        sources, runs, order, whole = _layout(self._table.tobytes(), len(self._table), self._source_skeleton, self.skeleton)
        frames, starts, lengths, positions, out_starts, *_ = self._reading()
        affine, one_affine = self._affine.astype(np.float32), (self._affine == self._affine[:, :1]).all((1, 2))
        read_clips(
            frames, self.source.flags, starts, lengths, positions, out_starts, self._in_slices, self.skeleton.group_slices,
            self._table, self._table_of, sources, runs, order, whole, affine, one_affine, self._hidden, self._hidden_frames,
            self._zero, np.float32(fill), out, mask,
        )  # fmt: skip
        return out, mask

    def _reading(self) -> _Reading:
        positions = self._positions
        if positions is None:
            positions = np.concatenate([np.arange(t, dtype=np.float64) for t in self.source.lengths])
        return (
            _bits(self.source.frames), self.source.starts, self.source.lengths, positions, self._out_starts,
            self._table, self._table_of, self._hidden, self._hidden_frames, self._zero,
        )  # fmt: skip

    def _uniform(self) -> bool:
        return bool((self._affine == self._affine[:, :1]).all())


@lru_cache(maxsize=64)
def _layout(table_bytes: bytes, rows: int, source: Skeleton, target: Skeleton) -> tuple[np.ndarray, ...]:
    """For each table row and output group: the one source group, and where its points start if in order; else -1.

    Third, uint64 (P, V'), four times the table; fourth (P,), whether a row names all points in order, others, or lacks some.
    """
    table = np.frombuffer(table_bytes, np.int64).reshape(rows, -1)
    sources, runs = np.full((rows, len(target.groups)), -1), np.full((rows, len(target.groups)), -1)
    for r, row in enumerate(table):
        for g, part in enumerate(target.groups.values()):
            points = row[part]
            if (points >= 0).all() and (source.group_of[points] == source.group_of[points[0]]).all():
                sources[r, g] = source.group_of[points[0]]
                runs[r, g] = points[0] if (np.diff(points) == 1).all() else -1
    every = np.arange(source.num_keypoints)
    whole = [IN_ORDER if np.array_equal(r, every) else PARTLY if (r < 0).any() else REORDERED for r in table]
    return sources, runs, 4 * np.maximum(table, 0).astype(np.uint64), np.array(whole)


def _ends(lengths: np.ndarray) -> np.ndarray:
    """int64 (N + 1,), where each of N clips begins and the last ends."""
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    return ends


@lru_cache(maxsize=64)
def _mirrored_groups(skeleton: Skeleton) -> np.ndarray | None:
    """int64 (G,), the group that each group's mirror image comes from; None if a group comes from several."""
    groups = skeleton.group_of[skeleton.mirror]
    origin = [groups[part] for part in skeleton.groups.values()]
    return np.array([o[0] for o in origin]) if all((o == o[0]).all() for o in origin) else None


def _bits(frames: np.ndarray) -> np.ndarray:
    return frames.view(np.uint16) if frames.dtype == np.float16 else frames
