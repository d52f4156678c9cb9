"""Samplers: their guarantees, resuming at any point, and being built by MMEngine."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.runner import Runner

from karsl.datasets.order import BlockShuffleSampler, ClassBalancedSampler, LengthBucketSampler, ResumableSampler, samplers
from karsl.datasets.order.permutation import random_ints
from karsl.errors import ConfigError
from karsl.registry import DATA_SAMPLERS


class Clips(torch.utils.data.Dataset):
    """Labels and lengths without clips."""

    def __init__(self, labels, lengths=None) -> None:
        self.labels, self.lengths = np.asarray(labels), np.asarray(labels if lengths is None else lengths)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> int:
        return index

    def column(self, key: str) -> np.ndarray:
        return {"label": self.labels, "num_frames": self.lengths}[key]


MAKERS = [
    lambda data: ResumableSampler(data, seed=3),
    lambda data: ResumableSampler(data, seed=3, shuffle=False),
    lambda data: BlockShuffleSampler(data, seed=3, block_size=5, window=3),
    lambda data: ClassBalancedSampler(data, seed=3),
    lambda data: LengthBucketSampler(data, seed=3, batch_size=4),
]


@pytest.mark.parametrize("make", MAKERS)
@settings(max_examples=30)
@given(st.integers(1, 90), st.integers(0, 2**32 - 1), st.data())
def test_a_sampler_interrupted_anywhere_resumes_with_the_next_clip(make, count, seed, data):
    clips = Clips(np.random.default_rng(seed).integers(0, 7, count))
    straight, killed, resumed = make(clips), make(clips), make(clips)
    straight.set_epoch(2)
    killed.set_epoch(2)
    whole, done = list(straight), data.draw(st.integers(0, count))
    killed.advance(done)
    state = killed.state_dict()
    assert (state["seed"], state["epoch"], state["consumed"]) == (3, 2, done)
    resumed.load_state_dict(state)
    assert list(resumed) == whole[done:]
    assert len(resumed) == count
    resumed.set_epoch(2)
    assert list(resumed) == whole[done:], "the same epoch again is not a new one"
    resumed.set_epoch(3)
    straight.set_epoch(3)
    assert list(resumed) == list(straight)


@pytest.mark.parametrize("make", [MAKERS[0], MAKERS[2], MAKERS[4]])
@settings(max_examples=20)
@given(st.integers(0, 90))
def test_each_clip_is_returned_once(make, count):
    assert sorted(make(Clips(np.arange(count) % 9))) == list(range(count))


@settings(max_examples=40)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.integers(0, 3))
def test_classes_are_returned_equally_often_and_so_are_the_clips_of_a_class(labels, epochs):
    sampler = ClassBalancedSampler(Clips(labels), seed=0)
    seen: list[int] = []
    for epoch in range(epochs + 1):
        sampler.set_epoch(epoch)
        indices = list(sampler)
        counts = np.bincount(np.asarray(labels)[indices], minlength=6)[np.unique(labels)]
        assert counts.max() - counts.min() <= 1
        seen += indices
    for label in np.unique(labels):
        of_class = np.flatnonzero(np.asarray(labels) == label)
        if len(labels) % len(np.unique(labels)) == 0:
            times = np.bincount(seen, minlength=len(labels))[of_class]
            assert times.max() - times.min() <= 1


def test_a_class_of_two_clips_does_not_slow_the_order_nor_change_it(monkeypatch):
    indices = ClassBalancedSampler(Clips([0, 0] + [1] * 3998), seed=0).order(0, 3).indices(np.arange(4000))
    assert hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()[:16] == "1bc17506a822c42c", "as in earlier versions"
    sizes = []
    monkeypatch.setattr(
        samplers, "random_ints", lambda values, **options: sizes.append(len(values)) or random_ints(values, **options)
    )
    ClassBalancedSampler(Clips([0, 0] + [1] * 40_000), seed=0).order(0, 0)
    assert 80_000 <= sum(sizes) < 4 * 40_002, "numbers for rounds and for clips; not for every clip in each of 20,000 passes"


def test_batches_have_similar_lengths_and_less_padding():
    lengths = np.random.default_rng(0).gamma(4.0, 9.5, 4000).astype(int) + 8

    def padding(indices) -> float:
        batches = lengths[np.asarray(indices)[: 4000 // 16 * 16]].reshape(-1, 16)
        return float((batches.max(1, keepdims=True) - batches).mean())

    plain = ResumableSampler(Clips(lengths), seed=0)
    bucketed = LengthBucketSampler(Clips(lengths), seed=0, batch_size=16)
    assert padding(list(bucketed)) < padding(list(plain)) / 8
    first = np.array(list(bucketed)).reshape(-1, 16).min(1)
    assert abs(np.corrcoef(np.arange(len(first)), lengths[first])[0, 1]) < 0.2, "long batches are not all at one end"


def test_blocks_are_read_in_runs_and_still_well_shuffled():
    count, size, window = 20_000, 64, 32
    sampler = BlockShuffleSampler(range(count), seed=1, block_size=size, window=window)
    indices, second = np.array(list(sampler)), size * window - sampler.order(1, 0)._shift
    in_window = np.sort(indices[second : second + size * window])
    runs = np.split(in_window, np.flatnonzero(np.diff(in_window) > 1) + 1)
    assert np.mean([len(run) for run in runs]) > 0.75 * size, "neighbors are read together"
    assert abs(np.corrcoef(np.arange(count), indices)[0, 1]) < 0.2
    blocks_per_batch = [len(set(batch // size)) for batch in indices[: count // 64 * 64].reshape(-1, 64)]
    assert np.mean(blocks_per_batch) > 0.8 * window


def test_ranks_partition_the_order_of_a_single_rank(monkeypatch):
    from karsl.datasets.order import resumable

    taken = []
    for rank in range(3):
        monkeypatch.setattr(resumable, "get_dist_info", lambda rank=rank: (rank, 3))
        taken.append(list(ResumableSampler(range(20), seed=0, remainder="uneven")))
    monkeypatch.setattr(resumable, "get_dist_info", lambda: (0, 1))
    alone = list(ResumableSampler(range(20), seed=0))
    assert [taken[n % 3][n // 3] for n in range(20)] == alone


@pytest.mark.parametrize(
    "sampler",
    [
        dict(type="ResumableSampler"),
        dict(type="BlockShuffleSampler", block_size=3),
        dict(type="ClassBalancedSampler"),
        dict(type="LengthBucketSampler", batch_size=4),
    ],
)
def test_mmengine_builds_samplers_with_its_seed(sampler):
    DATA_SAMPLERS.get("ResumableSampler")
    cfg = dict(dataset=Clips(np.arange(12) % 3), sampler={**sampler, "_scope_": "karsl"}, batch_size=4, num_workers=0)
    cfg["collate_fn"] = dict(type="default_collate")
    loader = Runner.build_dataloader(cfg, seed=11)
    assert loader.sampler.seed == 11
    assert sum(len(batch) for batch in loader) == 12


@settings(max_examples=30)
@given(st.integers(1, 200), st.integers(1, 5), st.integers(1, 5), st.data())
def test_an_epoch_of_length_buckets_resumes_with_another_number_of_ranks(count, world, new_world, data):
    clips = Clips(np.random.default_rng(count).integers(3, 90, count))

    def taken(rank: int, ranks: int, state=None) -> tuple[LengthBucketSampler, list[int]]:
        sampler = LengthBucketSampler(clips, seed=1, batch_size=4, remainder="uneven")
        sampler._progress[5], sampler._progress[6] = rank, ranks
        sampler._update_rank = lambda: None
        if state:
            sampler.load_state_dict(state)
        return sampler, list(sampler)

    steps = data.draw(st.integers(0, count // (4 * world)))
    first = [taken(rank, world) for rank in range(world)]
    first[0][0].advance(4 * steps)
    done = [index for _, indices in first for index in indices[: 4 * steps]]
    state = first[0][0].state_dict()
    rest = [index for rank in range(new_world) for index in taken(rank, new_world, state)[1]]
    assert sorted(done + rest) == list(range(count))


def test_a_state_of_other_clips_or_options_raises():
    state = BlockShuffleSampler(range(50), seed=0, block_size=4).state_dict()
    for other in (
        BlockShuffleSampler(range(51), block_size=4),
        BlockShuffleSampler(range(50), block_size=5),
        ResumableSampler(range(50)),
    ):
        with pytest.raises(ConfigError, match="the state does not match these"):
            other.load_state_dict(state)
    BlockShuffleSampler(range(50), block_size=4).load_state_dict(state)


def test_a_state_of_the_sampler_under_its_former_name_raises():
    sampler = BlockShuffleSampler(range(50), seed=0, block_size=4)
    former = type("ChunkSampler", (BlockShuffleSampler,), {})(range(50), seed=0, block_size=4)
    with pytest.raises(ConfigError, match="BlockShuffleSampler: the state .* or was saved by another sampler; restore"):
        sampler.load_state_dict(former.state_dict())


def test_a_state_with_other_values_raises():
    sampler = ResumableSampler(range(50), seed=0)
    for key, value in {"epoch": -1, "seed": "five", "consumed": 2.5}.items():
        with pytest.raises(ConfigError, match=rf"ResumableSampler: a state: {key}={value!r}; expected an integer from 0"):
            sampler.load_state_dict({**sampler.state_dict(), key: value})


def test_errors_name_the_argument():
    with pytest.raises(ConfigError, match="records of range have no 'label', which is needed to balance classes"):
        ClassBalancedSampler(range(5), seed=0)
    with pytest.raises(ConfigError, match="block_size=0"):
        BlockShuffleSampler(range(5), block_size=0)
    with pytest.raises(ConfigError, match="cannot skip 6 clips of an epoch of 5"):
        ResumableSampler(range(5), seed=0).skip(6)
    for clips in (-5, 2.5):
        with pytest.raises(ConfigError, match=rf"ResumableSampler.advance: clips={clips}; expected an integer from 0"):
            ResumableSampler(range(5), seed=0).advance(clips)
    with pytest.raises(ConfigError, match="state has no"):
        ResumableSampler(range(5), seed=0).load_state_dict({"epoch": 1})
    with pytest.raises(ConfigError, match="remainder='some'"):
        ResumableSampler(range(5), remainder="some")
