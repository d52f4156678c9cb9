"""Laws of dataset wrappers, over datasets of any lengths."""

from __future__ import annotations

import pickle

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset

from karsl.datasets.combine import (
    ConcatDataset,
    FilterDataset,
    InterleaveDataset,
    MapDataset,
    MixDataset,
    RepeatDataset,
    ShuffleDataset,
    SliceDataset,
)
from karsl.datasets.order.permutation import permute

lengths = st.lists(st.integers(1, 9), min_size=1, max_size=4)


class Run(Dataset):
    """Samples {'value': base + i}."""

    def __init__(self, count, base=0):
        self.count, self.base = count, base

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return {"value": self.base + i}


def runs(counts):
    return [Run(count, 100 * n) for n, count in enumerate(counts)]


def values(dataset):
    return [dataset[i]["value"] for i in range(len(dataset))]


def double(item):
    return {"value": 2 * item["value"]}


def odd(item):
    return item["value"] % 2 == 1


@given(st.integers(1, 300), st.integers(0, 2**63))
def test_a_random_order_has_each_index_once(length, key):
    order = permute(np.arange(length), length, key=key)
    assert sorted(order.tolist()) == list(range(length))
    some = np.arange(0, length, 3)
    assert permute(some, length, key=key).tolist() == order[some].tolist()


def test_a_long_order_is_computed_and_the_same():
    length = (1 << 20) + 5
    found = permute(np.arange(length), length, key=3)
    assert np.bincount(found).tolist() == [1] * length
    assert permute(np.array([7, length - 1]), length, key=3).tolist() == found[[7, length - 1]].tolist()


@given(st.integers(2, 20), st.data())
def test_concat_of_slices_is_the_dataset(count, data):
    cut = data.draw(st.integers(1, count - 1))
    dataset = Run(count)
    parts = [SliceDataset(dataset, slice(0, cut)), SliceDataset(dataset, slice(cut, None))]
    assert values(ConcatDataset(parts)) == values(dataset)


@settings(max_examples=25)
@given(lengths)
def test_map_commutes_with_wrappers_that_only_select(counts):
    children = runs(counts)
    for make in (ConcatDataset, InterleaveDataset, lambda m: MixDataset(m, seed=1)):
        assert values(MapDataset(make(children), double)) == values(make([MapDataset(m, double) for m in children]))
    assert values(MapDataset(children[0], [double, double])) == values(MapDataset(MapDataset(children[0], double), double))


@settings(max_examples=25)
@given(lengths)
def test_interleave_covers_every_clip_and_alternates(counts):
    found = values(InterleaveDataset(runs(counts)))
    assert len(found) == len(counts) * max(counts)
    assert set(found) == {100 * n + i for n, count in enumerate(counts) for i in range(count)}
    assert [v // 100 for v in found] == list(range(len(counts))) * max(counts)


@given(st.integers(2, 30))
def test_filter_preserves_order_and_is_idempotent(count):
    dataset = ShuffleDataset(Run(count), seed=count, reshuffle=False)
    filtered = FilterDataset(dataset, odd)
    assert values(filtered) == [v for v in values(dataset) if v % 2]
    assert values(FilterDataset(filtered, odd)) == values(filtered)


@settings(max_examples=25)
@given(lengths, st.lists(st.floats(0.1, 10), min_size=4, max_size=4), st.sampled_from(["first_exhausted", "all_exhausted"]))
def test_mix_has_its_proportions_and_uses_clips_evenly(counts, weights, stop):
    mix = MixDataset(runs(counts), weights[: len(counts)], stopping_strategy=stop, seed=5)
    for epoch in (0, 1):
        mix.set_epoch(epoch)
        found = values(mix)
        for number, (count, share) in enumerate(zip(counts, mix.weights, strict=True)):
            times = [found.count(100 * number + i) for i in range(count)]
            assert max(times) - min(times) <= 1
            assert abs(sum(times) - share * len(found)) <= len(counts)
            assert stop == "first_exhausted" or min(times) >= 1


@settings(max_examples=25)
@given(lengths, st.integers(0, 5), st.integers(1, 3))
def test_negative_indices_pickles_and_epochs(counts, epoch, times):
    def make():
        dataset = RepeatDataset(MixDataset([ShuffleDataset(run) for run in runs(counts)], seed=2), times)
        dataset.set_epoch(epoch)
        return dataset

    dataset, copy = make(), pickle.loads(pickle.dumps(make()))
    assert values(dataset) == values(copy) == values(make())
    assert [dataset[-i]["value"] for i in range(len(dataset), 0, -1)] == values(dataset)
    assert repr(copy) == repr(dataset)
