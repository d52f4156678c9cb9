"""N clips with what is still to be done to them: steps are noted as numbers and done in one compiled pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from karsl.datasets.fused.frames import Frames
from karsl.datasets.fused.plan import FramePlan, frame_rows
from karsl.datasets.fused.stats import anchor_stats, compose, mirrored_x, spread_stats
from karsl.datasets.fused.tables import in_order, mirrored_groups, order_of_table, with_mirrored
from karsl.datasets.fused.threads import read_clips_threaded
from karsl.datasets.transforms.affine import identity
from karsl.datasets.transforms.base import ClipMeta
from karsl.errors import ConfigError
from karsl.skeletons import Skeleton

_NO_FRAMES = np.zeros(0, bool)


class _Reading(NamedTuple):
    """The first eleven arguments of the functions of `karsl.datasets.fused.stats`."""

    like: np.ndarray
    addresses: np.ndarray
    lengths: np.ndarray
    width: int
    positions: np.ndarray
    ends: np.ndarray
    table: np.ndarray
    table_of: np.ndarray
    hidden: np.ndarray
    hidden_frames: np.ndarray
    missing_is_zero: bool


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
        self.source, n, v = source, len(source), self.skeleton.num_keypoints
        self._positions: np.ndarray | None = None
        self._lengths, self._out_starts = source.lengths, _ends(source.lengths)
        self._table, self._table_of = in_order(v), np.zeros(n, np.int64)
        self._hidden, self._hidden_frames, self._zero = np.zeros((n, 0), bool), _NO_FRAMES, False
        self._affine = identity(n, len(self.skeleton.groups))
        self._untouched = True

    # ---- what steps may ask ----

    def __len__(self) -> int:
        return len(self.source)

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
        if isinstance(positions, np.ndarray):
            self._lengths, flat = np.full(len(positions), positions.shape[1]), positions.ravel()
        else:
            self._lengths = np.array([len(p) for p in positions], dtype=np.int64)
            flat = np.concatenate(list(positions))
        self._out_starts = _ends(self._lengths)
        self._positions = np.ascontiguousarray(flat, dtype=np.float64)
        self._zero = missing_is_zero
        told = self._positions if padding is None else np.where(padding.ravel(), np.nan, self._positions)
        self._reads.append((told, self._out_starts))

    def mirror(self, flip: np.ndarray) -> None:
        """Mirror the clips where bool (N,) `flip`, about the picture's centre or the origin."""
        mirror, self._flip = self.skeleton.mirror, flip
        if not flip.any():
            return
        groups = mirrored_groups(self.skeleton)
        if groups is None and not self._uniform():
            self.settle()
        if groups is not None and not self._untouched:
            self._affine = np.where(flip[:, None, None], self._affine[:, groups], self._affine)
        rows = len(self._table)
        self._table = with_mirrored(self._table.tobytes(), rows, self.skeleton)
        self._table_of = self._table_of + rows * flip
        if self._hidden.size:
            self._hidden = np.where(flip[:, None], self._hidden[:, mirror], self._hidden)
        self._affine, self._untouched = mirrored_x(self._affine, flip, 2 * self.meta.pivot), False

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
        n, points = len(self.source), np.concatenate([origin, scale])
        place, distance, seen = np.zeros((n, 2)), np.ones(n), np.zeros(n, np.int64)
        groups = self.skeleton.group_of[points]
        anchor_stats(*self._reading(), points, groups, len(origin), self._affine, place, distance, seen)
        return place, distance, (seen > 0) & (distance > 1e-9)

    def spread(self, part: slice, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean place (N, 2), radius (N,), number of seen points (N,) of a run of points, for clips `wanted`."""
        n = len(self.source)
        place, radius, seen = np.zeros((n, 2)), np.ones(n), np.zeros(n, np.int64)
        group = self.skeleton.group_of
        spread_stats(*self._reading(), part.start, part.stop, group, self._affine, wanted, place, radius, seen)
        radius[radius <= 1e-9] = 1
        return place, radius, seen

    # ---- doing it ----

    def settle(self) -> None:
        """Do what waits, into frames of its own."""
        frames, _ = self.write(channels=4)
        here = np.zeros(len(self), np.int64)
        self._start_from(Frames.of_rows([frames], here, self._out_starts[:-1], self.num_frames))

    @property
    def settled(self) -> bool:
        """Whether something was done before, so that `source` is not what was given."""
        return self.source is not self._given

    def plan(self, first_rows: np.ndarray) -> FramePlan:
        """What waits, for another device; statistics of points are in it as numbers.

        Args:
            first_rows: int64 (N,), the row of each clip's first frame on that device.

        Raises:
            ConfigError: The clips differ in length.
        """
        n, lengths = len(self), self._lengths
        if (lengths != lengths[0]).any():
            raise ConfigError(
                f"clips of {lengths.min()} and {lengths.max()} frames in one plan; "
                "end the pipeline's temporal part with TSNSampleFrames, UniformSampleFrames or PadFrames"
            )
        positions = self._reading().positions.reshape(n, -1)
        return FramePlan(
            *frame_rows(positions, first_rows, self.source.lengths), self._table, self._table_of,
            self._affine.astype(np.float32), self.skeleton.group_of, self._hidden if self._hidden.size else None,
            self._hidden_frames.reshape(n, -1) if self._hidden_frames.size else None, self._zero,
            np.float32(1 - positions % 1) if self._zero else None,
        )  # fmt: skip

    def write(
        self,
        *,
        channels: int,
        fill: float = 0.0,
        out: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        rows: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Do what waits.

        Args:
            channels: 3, or 4 to have the score last.
            fill: Coordinate of missing points.
            out: float32 (F', V, channels) to write to; `mask` bool (F', V).
            rows: int64 (N,), where in `out` each clip begins; one after the other if not given.

        Returns:
            `out` and `mask`.
        """
        shape = int(self._out_starts[-1]), self.skeleton.num_keypoints
        out = np.empty((*shape, channels), np.float32) if out is None else out
        mask = np.empty(shape, bool) if mask is None else mask
        order, runs, absent = order_of_table(self._table.tobytes(), len(self._table), self.skeleton)
        hidden, hidden_of = absent, self._table_of
        if self._hidden.size:
            hidden, hidden_of = self._hidden | absent[self._table_of], np.arange(len(self))
        reading = self._reading()
        read_clips_threaded(
            reading.like, reading.addresses, reading.lengths, reading.width, reading.positions, self._lengths,
            self._out_starts[:-1] if rows is None else rows, self.skeleton.group_slices, order, self._table_of, runs,
            self._affine, hidden, hidden_of, self._hidden_frames, self._zero, np.float32(fill), out, mask,
        )  # fmt: skip
        return out, mask

    def _reading(self) -> _Reading:
        source, positions = self.source, self._positions
        if positions is None:
            positions = np.concatenate([np.arange(t, dtype=np.float64) for t in source.lengths])
        return _Reading(
            source.like, source.addresses, source.lengths, source.num_keypoints, positions, self._out_starts,
            self._table, self._table_of, self._hidden, self._hidden_frames, self._zero,
        )  # fmt: skip

    def _uniform(self) -> bool:
        return bool((self._affine == self._affine[:, :1]).all())


def _ends(lengths: np.ndarray) -> np.ndarray:
    """int64 (N + 1,), where each of N clips begins and the last ends."""
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    return ends
