"""Orders of points: which stored point each point comes from, and what follows from that, worked out once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from karsl.datasets.fused.kernel import PICKED
from karsl.skeletons import Skeleton


@lru_cache(maxsize=64)
def order_of_table(table_bytes: bytes, rows: int, target: Skeleton) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`order`, `runs` and absent points (P, V') of `read_clips`."""
    table = np.frombuffer(table_bytes, np.int64).reshape(rows, -1)
    runs = np.full((rows, len(target.groups)), PICKED)
    for r, row in enumerate(table):
        for g, part in enumerate(target.groups.values()):
            if row[part.start] >= 0 and (np.diff(row[part]) == 1).all():
                runs[r, g] = row[part.start] - part.start
    return np.maximum(table, 0).astype(np.int32), runs, table < 0


@lru_cache(maxsize=64)
def in_order(points: int) -> np.ndarray:
    """int64 (1, V), every point its own."""
    table = np.arange(points)[None]
    table.flags.writeable = False
    return table


@lru_cache(maxsize=64)
def with_mirrored(table_bytes: bytes, rows: int, skeleton: Skeleton) -> np.ndarray:
    """(2 P, V), rows of a table and their mirror images."""
    table = np.frombuffer(table_bytes, np.int64).reshape(rows, -1)
    both = np.concatenate([table, table[:, skeleton.mirror]])
    both.flags.writeable = False
    return both


@lru_cache(maxsize=64)
def mirrored_groups(skeleton: Skeleton) -> np.ndarray | None:
    """int64 (G,), the group that each group's mirror image comes from; None if a group comes from several."""
    groups = skeleton.group_of[skeleton.mirror]
    origin = [groups[part] for part in skeleton.groups.values()]
    return np.array([o[0] for o in origin]) if all((o == o[0]).all() for o in origin) else None
