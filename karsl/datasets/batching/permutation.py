"""Permutations of points, as tables int64 (P, V) of the stored point of each point, -1 for none."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from karsl.datasets.batching.kernel import GATHERED
from karsl.skeletons import Skeleton


@lru_cache(maxsize=64)
def identity_table(points: int) -> np.ndarray:
    """Return int64 (1, V), each point from itself."""
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
