"""Plans contain every clip once, in order, in shards that are not too large."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from karsl.pack.build import plan_blocks, plan_shards

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=80)


@given(LENGTHS, st.integers(1, 9), st.integers(0, 900))
def test_every_clip_is_planned_once_in_order_and_shards_are_full_but_not_too_large(lengths, row_bytes, shard_bytes):
    shards = plan_shards(lengths, row_bytes=row_bytes, shard_bytes=shard_bytes, first_number=4)
    assert [n for s in shards for n in range(s.first, s.end)] == list(range(len(lengths)))
    assert [s.number for s in shards] == list(range(4, 4 + len(shards)))
    for s, after in zip(shards, [*shards[1:], None], strict=True):
        rows = lengths[s.first : s.end]
        assert (s.starts.tolist(), s.num_frames) == ((np.cumsum(rows) - rows).tolist(), sum(rows))
        assert not shard_bytes or s.num_frames * row_bytes <= shard_bytes or len(rows) == 1
        if after is not None:
            assert (s.num_frames + lengths[after.first]) * row_bytes > shard_bytes
    assert shard_bytes or len(shards) == 1


@given(LENGTHS, st.integers(1, 9), st.integers(1, 300))
def test_blocks_are_the_clips_of_a_shard_in_runs(lengths, row_bytes, block_bytes):
    for shard in plan_shards(lengths, row_bytes=row_bytes, shard_bytes=400):
        blocks = plan_blocks(shard, row_bytes=row_bytes, block_bytes=block_bytes)
        assert [n for first, end in blocks for n in range(first, end)] == list(range(shard.first, shard.end))
        assert all(sum(lengths[a:b]) * row_bytes <= block_bytes or b - a == 1 for a, b in blocks)
