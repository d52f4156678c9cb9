"""Operations on single points of N clips, recorded as numbers: their order, which are hidden, one affine per group."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from karsl.datasets.batching.kernel import GATHERED, PointOps, compose, mirrored_x
from karsl.datasets.transforms.base import identity_affine
from karsl.skeletons import Skeleton


class PointOperations:
    """What is done to each stored point of N clips, in any frame: a new operation is combined with those before.

    Args:
        n: Number of clips.
        skeleton: Skeleton of the stored points.

    Attributes:
        skeleton: Skeleton of the current points.
        table: int64 (P, V), stored point of each current point, -1 for none.
        row: int64 (N,), row of `table` for each clip.
        hidden: bool (N, V), points to hide, or (N, 0).
        affines: float64 (N, G, 7), see `DeferredOps`.
        is_identity: True if nothing is recorded.
    """

    def __init__(self, n: int, skeleton: Skeleton) -> None:
        self.skeleton, self.is_identity = skeleton, True
        self.table, self.row = _identity_table(skeleton.num_keypoints), np.zeros(n, np.int64)
        self.hidden, self.affines = np.zeros((n, 0), bool), identity_affine(n, len(skeleton.groups))

    def can_mirror(self) -> bool:
        """Return True if the points of a group stay together in a mirror image, or all have one affine."""
        return _mirrored_groups(self.skeleton) is not None or self._has_one_affine()

    def mirror(self, flip: np.ndarray, twice_pivot: float) -> None:
        """Mirror the clips where bool (N,) `flip`, about x = `twice_pivot` / 2."""
        groups, rows = _mirrored_groups(self.skeleton), len(self.table)
        if groups is not None and not self.is_identity:
            self.affines = np.where(flip[:, None, None], self.affines[:, groups], self.affines)
        self.table = _mirrored_permutation(self.table.tobytes(), rows, self.skeleton)
        self.row = self.row + rows * flip
        if self.hidden.size:
            self.hidden = np.where(flip[:, None], self.hidden[:, self.skeleton.mirror], self.hidden)
        self.affines, self.is_identity = mirrored_x(self.affines, flip, twice_pivot), False

    def affine(self, affine: np.ndarray) -> None:
        """Apply an affine, float64 (N, 1 or G, 7)."""
        self.affines, self.is_identity = compose(affine, self.affines), False

    def mask(self, points: np.ndarray) -> None:
        """Hide points, bool (N, V)."""
        self.hidden = points | self.hidden if self.hidden.size else points
        self.is_identity = False

    def can_select(self, skeleton: Skeleton, mapping: np.ndarray) -> bool:
        """Return True if each new group has points of one current group, or all have one affine."""
        return None not in self._origins(skeleton, mapping) or self._has_one_affine()

    def select(self, skeleton: Skeleton, mapping: np.ndarray) -> None:
        """Change the skeleton; int64 (V',) `mapping` holds the current index of each new point, -1 for none."""
        origins = self._origins(skeleton, mapping)
        # np.take returns rows in C order, as the compiled functions are compiled for; [:, mapping] does not
        self.affines = np.take(self.affines, [origin or 0 for origin in origins], axis=1)
        self.table = np.where(mapping >= 0, np.take(self.table, mapping, axis=1), -1)
        if self.hidden.size:
            self.hidden = np.take(self.hidden, mapping, axis=1) & (mapping >= 0)
        self.skeleton, self.is_identity = skeleton, False

    def _origins(self, skeleton: Skeleton, mapping: np.ndarray) -> list[int | None]:
        """Return the current group of the points of each new group, 0 if they are absent, None if there are several."""
        group_of, origins = self.skeleton.group_of, []
        for part in skeleton.groups.values():
            found = {int(group_of[point]) for point in mapping[part] if point >= 0} or {0}
            origins.append(found.pop() if len(found) == 1 else None)
        return origins

    def _has_one_affine(self) -> bool:
        return bool((self.affines == self.affines[:, :1]).all())

    def compiled(self, hidden_frames: np.ndarray) -> PointOps:
        """Return the operations for `read_clips`; bool (F,) frames to hide, or (0,)."""
        order, shift, absent = _table_permutation(self.table.tobytes(), len(self.table), self.skeleton)
        hidden, hidden_of = absent, self.row
        if self.hidden.size:
            hidden, hidden_of = self.hidden | absent[self.row], np.arange(len(self.row))
        groups = self.skeleton.group_slices
        return PointOps(groups, order, self.row, shift, self.affines, hidden, hidden_of, hidden_frames)


# ---- tables int64 (P, V), stored point of each point, -1 for none ----


@lru_cache(maxsize=64)
def _identity_table(points: int) -> np.ndarray:
    """Return int64 (1, V), each point from itself."""
    table = np.arange(points)[None]
    table.flags.writeable = False
    return table


@lru_cache(maxsize=64)
def _table_permutation(table_bytes: bytes, rows: int, target: Skeleton) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `order` and `shift` of `PointOps`, and bool (P, V') absent points, for a table of `rows` rows."""
    table = np.frombuffer(table_bytes, np.int64).reshape(rows, -1)
    shift = np.full((rows, len(target.groups)), GATHERED)
    for r, row in enumerate(table):
        for g, part in enumerate(target.groups.values()):
            if row[part.start] >= 0 and (np.diff(row[part]) == 1).all():
                shift[r, g] = row[part.start] - part.start
    return np.maximum(table, 0).astype(np.int32), shift, table < 0


@lru_cache(maxsize=64)
def _mirrored_permutation(table_bytes: bytes, rows: int, skeleton: Skeleton) -> np.ndarray:
    """Return the (2 P, V) rows of a table followed by their mirror images."""
    table = np.frombuffer(table_bytes, np.int64).reshape(rows, -1)
    both = np.concatenate([table, table[:, skeleton.mirror]])
    both.flags.writeable = False
    return both


@lru_cache(maxsize=64)
def _mirrored_groups(skeleton: Skeleton) -> np.ndarray | None:
    """Return int64 (G,), group that is mirrored to each group; None if a group has points of several."""
    groups = skeleton.group_of[skeleton.mirror]
    origin = [groups[part] for part in skeleton.groups.values()]
    return np.array([o[0] for o in origin]) if all((o == o[0]).all() for o in origin) else None
