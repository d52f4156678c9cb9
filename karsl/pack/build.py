"""Which clip goes to which shard and row: arithmetic on lengths, the same for every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_BLOCK_BYTES = 4 << 20  # of a shard, written at once; what a worker holds


@dataclass(frozen=True)
class ShardPlan:
    """A shard to be written.

    Attributes:
        number: In its name.
        first, end: Its clips, `first` to `end - 1`.
        starts: int64 (end - first,), first row of each.
        num_frames: Rows.
    """

    number: int
    first: int
    end: int
    starts: np.ndarray
    num_frames: int


def plan_shards(
    lengths: Sequence[int] | np.ndarray, *, row_bytes: int, shard_bytes: int, first_number: int = 0
) -> list[ShardPlan]:
    """Clips in order, a new shard where the next clip would make one larger than `shard_bytes`.

    Args:
        lengths: T of each clip.
        row_bytes: Of a frame.
        shard_bytes: Of frames in a shard; a longer clip has one of its own. 0 puts all clips in one shard.
        first_number: Of the first shard.

    Example:
        >>> [(s.number, s.first, s.end, s.starts.tolist()) for s in plan_shards([3, 4, 9, 1], row_bytes=2, shard_bytes=16)]
        [(0, 0, 2, [0, 3]), (1, 2, 3, [0]), (2, 3, 4, [0])]
    """
    lengths = np.asarray(lengths, np.int64)
    most = max(1, shard_bytes // row_bytes) if shard_bytes else int(lengths.sum())
    shards: list[ShardPlan] = []
    first = rows = 0
    for number, length in enumerate([*lengths.tolist(), most + 1]):  # the last closes the last shard
        if number > first and rows + length > most:
            here = lengths[first:number]
            shards.append(ShardPlan(first_number + len(shards), first, number, np.cumsum(here) - here, int(rows)))
            first, rows = number, 0
        rows += length
    return shards


def plan_blocks(shard: ShardPlan, *, row_bytes: int, block_bytes: int = _BLOCK_BYTES) -> list[tuple[int, int]]:
    """Runs of clips, counted over the whole pack, that one task reads and writes.

    Example:
        >>> plan_blocks(plan_shards([3, 4, 9, 1], row_bytes=2, shard_bytes=0)[0], row_bytes=2, block_bytes=14)
        [(0, 2), (2, 3), (3, 4)]
    """
    ends = np.append(shard.starts[1:], shard.num_frames)
    blocks, first, begin = [], 0, 0
    for number, end in enumerate(ends.tolist()):
        if number > first and (end - begin) * row_bytes > block_bytes:
            blocks.append((shard.first + first, shard.first + number))
            first, begin = number, int(shard.starts[number])
    return [*blocks, (shard.first + first, shard.end)]
