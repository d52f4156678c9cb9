"""Clips are read from where they are stored, without a copy."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.datasets.batching.deferred import DeferredBatch
from karsl.datasets.batching.frames import FrameBlock
from karsl.errors import CorruptRecordError
from karsl.skeletons import get_skeleton

HAND = get_skeleton("karsl_184").select(["rh"])


def clip(first, frames=2, dtype=np.float32, points=21):
    """Points (first + t, v, 0) with score 1."""
    out = np.ones((frames, points, 4), dtype)
    out[..., 0], out[..., 1], out[..., 2] = first + np.arange(frames)[:, None], np.arange(points), 0
    return out


def test_clips_of_several_arrays_are_not_copied():
    one, other = clip(10), clip(20, 3)
    frames = FrameBlock.from_clips([other, one])
    one[1, 0, 0] = 99
    points, _ = DeferredBatch(frames, HAND).write(channels=4)
    assert points[:, 0, 0].tolist() == [20, 21, 22, 10, 99]


def test_rows_of_several_shards_come_in_the_order_asked_for():
    shards = [clip(0, 10, np.float16), clip(100, 10, np.float16)]
    which, starts, lengths = np.array([1, 0, 1]), np.array([8, 0, 3]), np.array([2, 1, 1])
    points, mask = DeferredBatch(FrameBlock.from_rows(shards, which, starts, lengths), HAND).write(channels=3)
    assert points[:, 20].tolist() == [[108, 20, 0], [109, 20, 0], [0, 20, 0], [103, 20, 0]]
    assert mask.all()


def test_float16_among_float32_is_widened():
    points, _ = DeferredBatch(FrameBlock.from_clips([clip(1, 1, np.float16), clip(2, 1)]), HAND).write(channels=3)
    assert points[:, 0, 0].tolist() == [1, 2]


def test_clips_may_be_written_to_any_rows():
    out, mask = np.full((5, 21, 3), -1, np.float32), np.zeros((5, 21), bool)
    frames = FrameBlock.from_clips([clip(10), clip(20)])
    DeferredBatch(frames, HAND).write(channels=3, out=out, mask=mask, rows=np.array([3, 0]))
    assert out[:, 0, 0].tolist() == [20, 21, -1, 10, 11]
    assert mask[:, 0].tolist() == [True, True, False, True, True]


def test_a_clip_that_is_there_twice_is_copied_once():
    one, other = clip(10), clip(20)
    frames = FrameBlock.from_clips([one, other, one])
    assert frames.first_rows[0] == frames.first_rows[2] != frames.first_rows[1]
    assert frames.copy(frames.first_rows + 1)[:, 0, 0].tolist() == [11, 21, 11]


@pytest.mark.parametrize(("start", "length"), [(-1, 2), (9, 2), (0, 0), (10, 1)])
def test_rows_outside_a_shard_are_rejected(start, length):
    with pytest.raises(CorruptRecordError, match="in a shard of 10"):
        FrameBlock.from_rows([clip(0, 10)], np.array([0]), np.array([start]), np.array([length]))


@pytest.mark.parametrize("clips", [[], [np.zeros((2, 21, 3), np.float32)], [clip(0), clip(0, 2, points=5)], [clip(0, 0)]])
def test_what_is_not_clips_of_one_skeleton_is_rejected(clips):
    with pytest.raises(CorruptRecordError, match="expected"):
        FrameBlock.from_clips(clips)
