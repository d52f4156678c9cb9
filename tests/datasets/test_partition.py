"""Who takes which clip: exactly once, whatever the numbers of ranks and workers, from any point on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karsl.datasets.order.permutation import EpochPermutation, RankPartition, split_batches
from karsl.errors import ConfigError

SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=50)
WORLD, WORKERS, BATCH = st.integers(1, 8), st.integers(0, 8), st.integers(1, 17)


def global_batches(order, *, world, workers, batch_size, start=0, mode="uneven"):
    """What a run sees: in step k the batches of all ranks, each as its loader would hand it out."""
    steps: dict[int, list] = {}
    for rank in range(world):
        share = RankPartition(len(order), world_size=world, rank=rank, start=start, remainder=mode)
        streams = [
            split_batches(len(share), batch_size, num_workers=max(1, workers), worker=w) for w in range(max(1, workers))
        ]
        batches = [[order.places(share.positions(*span)) for span in stream] for stream in streams]
        for k in range(sum(map(len, batches))):
            steps.setdefault(k, []).append(batches[k % len(batches)][k // len(batches)])
    return [steps[k] for k in sorted(steps)]


def union(steps):
    return np.concatenate([batch for step in steps for batch in step]) if steps else np.zeros(0, np.int64)


@given(SIZES, WORLD, WORKERS, BATCH, st.integers(0, 99), st.one_of(st.none(), st.integers(1, 300)))
def test_every_clip_comes_exactly_once_over_ranks_and_workers(sizes, world, workers, batch_size, seed, window):
    order = EpochPermutation(sizes, seed=seed, epoch=3, window=window)
    steps = global_batches(order, world=world, workers=workers, batch_size=batch_size)
    assert sorted(union(steps).tolist()) == list(range(sum(sizes)))


@given(SIZES, WORLD, WORKERS, BATCH)
def test_batches_do_not_depend_on_the_number_of_workers(sizes, world, workers, batch_size):
    order = EpochPermutation(sizes, seed=1, epoch=0, window=50)
    one = global_batches(order, world=world, workers=1, batch_size=batch_size)
    many = global_batches(order, world=world, workers=workers, batch_size=batch_size)
    assert all(np.array_equal(a, b) for x, y in zip(one, many, strict=True) for a, b in zip(x, y, strict=True))


@given(SIZES, WORLD, WORLD, WORKERS, BATCH, BATCH, st.data())
def test_a_run_killed_anywhere_and_resumed_elsewhere_loses_and_repeats_nothing(
    sizes, world, new_world, new_workers, batch_size, new_batch, data
):
    order = EpochPermutation(sizes, seed=5, epoch=2, window=64)
    steps = global_batches(order, world=world, workers=2, batch_size=batch_size)
    done = steps[: data.draw(st.integers(0, len(steps)))]
    consumed = RankPartition(len(order), world_size=world).consumed(len(done) * batch_size)
    assert consumed == len(union(done))
    rest = global_batches(order, world=new_world, workers=new_workers, batch_size=new_batch, start=consumed)
    assert sorted([*union(done).tolist(), *union(rest).tolist()]) == list(range(len(order)))


@given(SIZES, WORLD, BATCH, st.data())
def test_the_next_batch_after_a_kill_is_the_one_that_would_have_come(sizes, world, batch_size, data):
    order = EpochPermutation(sizes, seed=5, epoch=2, window=64)
    steps = global_batches(order, world=world, workers=3, batch_size=batch_size, mode="pad")
    killed = data.draw(st.integers(0, len(steps)))
    consumed = RankPartition(len(order), world_size=world).consumed(killed * batch_size)
    rest = global_batches(order, world=world, workers=0, batch_size=batch_size, start=consumed, mode="pad")
    assert len(rest) == len(steps) - killed
    assert all(np.array_equal(a, b) for x, y in zip(steps[killed:], rest, strict=True) for a, b in zip(x, y, strict=True))


@given(st.integers(0, 200), WORLD, st.integers(0, 210))
def test_modes_differ_only_in_what_does_not_divide(total, world, start):
    order = EpochPermutation(total, seed=0, epoch=0)
    left = max(0, total - start)
    for mode in ("pad", "drop", "uneven"):
        shares = [RankPartition(total, world_size=world, rank=r, start=start, remainder=mode) for r in range(world)]
        lengths = [len(s) for s in shares]
        taken = union([[order.places(s.positions(0, total)) for s in shares]]).tolist()
        assert [len(s.positions(0, total)) for s in shares] == lengths
        if mode == "uneven":
            assert sum(lengths) == left
            assert max(lengths) - min(lengths) <= 1
        else:
            assert len(set(lengths)) == 1
            assert sum(lengths) - left in range(world) if mode == "pad" else left - sum(lengths) in range(world)
        remaining = set(order.places(np.arange(min(start, total), total)).tolist())
        assert set(taken) <= remaining if mode == "drop" else set(taken) >= remaining


@given(SIZES, st.integers(1, 60), st.data())
def test_any_positions_in_any_order_are_those_of_the_whole(sizes, window, data):
    total = sum(sizes)
    whole = EpochPermutation(sizes, seed=9, epoch=1, window=window).places(np.arange(total))
    some = np.array(data.draw(st.lists(st.integers(0, max(0, total - 1)), max_size=30)) if total else [], dtype=np.int64)
    assert np.array_equal(EpochPermutation(sizes, seed=9, epoch=1, window=window).places(some), whole[some])


def test_order_changes_with_seed_and_epoch_and_with_nothing_else():
    every = np.arange(400)
    orders = [
        EpochPermutation([100] * 4, seed=s, epoch=e, window=150).places(every).tolist()
        for s, e in [(0, 0), (0, 0), (1, 0), (0, 1)]
    ]
    assert orders[0] == orders[1]
    assert len({tuple(o) for o in orders}) == 3


def test_without_a_window_every_clip_may_come_anywhere():
    places = EpochPermutation([500] * 8, seed=2, epoch=0).places(np.arange(4000))
    assert abs(np.corrcoef(np.arange(4000), places)[0, 1]) < 0.05
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 0.05


def test_a_clip_moves_at_most_a_window_within_its_shards():
    order = EpochPermutation([1000] * 20, seed=0, epoch=0, window=300)
    shards = order.places(np.arange(20_000)) // 1000
    last_seen = {s: int(np.flatnonzero(shards == s).max() - np.flatnonzero(shards == s).min()) for s in range(20)}
    assert max(last_seen.values()) < 1000 + 2 * 300


def test_window_of_one_keeps_shards_whole():
    places = EpochPermutation([3, 3, 3], seed=4, epoch=0, window=1).places(np.arange(9)).reshape(3, 3)
    assert (np.diff(places, axis=1) == 1).all()
    assert sorted(places[:, 0].tolist()) == [0, 3, 6]


def test_without_shuffle_places_come_as_they_lie():
    assert EpochPermutation([2, 0, 3], seed=0, epoch=7, shuffle=False).places(np.arange(5)).tolist() == [0, 1, 2, 3, 4]


def test_numbers_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="rank 2 of 2"):
        RankPartition(5, world_size=2, rank=2)
    with pytest.raises(ConfigError, match="expected one of pad, drop, uneven"):
        RankPartition(5, remainder="padded")
    with pytest.raises(ConfigError, match="window=0"):
        EpochPermutation(5, seed=0, epoch=0, window=0)
