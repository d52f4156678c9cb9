"""Each dataset wrapper by known answers: order, length, wrapping, negative indices, messages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.dataset import ClassBalancedDataset
from mmengine.dataset import ConcatDataset as MMEngineConcat
from mmengine.dataset import RepeatDataset as MMEngineRepeat
from torch.utils.data import Subset

from karsl.datasets.combine import (
    CacheDataset,
    ConcatDataset,
    FilterDataset,
    InterleaveDataset,
    MapDataset,
    MixDataset,
    RelabelDataset,
    RepeatDataset,
    ShuffleDataset,
    SliceDataset,
)
from karsl.errors import ConfigError, TransformError
from karsl.registry import DATASETS, FUNCTIONS


def test_concat_returns_one_dataset_after_the_other(numbers, values):
    both = ConcatDataset([numbers(2), numbers(3, 10)])
    assert values(both) == [0, 1, 10, 11, 12]
    assert [both[i]["value"] for i in (-1, -5, np.int64(2))] == [12, 0, 10]


def test_interleave_alternates_and_shorter_datasets_start_again(numbers, values):
    both = InterleaveDataset([numbers(2), numbers(3, 10)])
    assert values(both) == [0, 10, 1, 11, 0, 12]
    assert both[-1]["value"] == 12
    assert values(InterleaveDataset([numbers(2), numbers(3, 10)], stopping_strategy="first_exhausted")) == [0, 10, 1, 11]


def test_repeat_and_slice(numbers, values):
    assert values(RepeatDataset(numbers(2), 2)) == [0, 1, 0, 1]
    assert values(SliceDataset(numbers(5), slice(None, None, -2))) == [4, 2, 0]
    assert values(SliceDataset(numbers(5), [3, 3, -1])) == [3, 3, 4]
    assert values(SliceDataset(numbers(5), dict(start=1, stop=3))) == [1, 2]
    assert values(RepeatDataset(numbers(3), 2)[1:5]) == [1, 2, 0, 1]
    assert values(RepeatDataset(numbers(3), 2).get_subset(-2)) == [1, 2]


def test_map_applies_in_order_and_filter_sees_it(numbers, values):
    def double(item):
        return {**item, "value": 2 * item["value"]}

    def add_one(item):
        return {**item, "value": item["value"] + 1}

    mapped = MapDataset(numbers(4), [double, add_one])
    assert values(mapped) == [1, 3, 5, 7]
    assert values(FilterDataset(mapped, lambda item: item["value"] > 2)) == [3, 5, 7]


def test_shuffle_is_a_permutation_of_its_epoch(numbers, values):
    dataset = ShuffleDataset(numbers(50), seed=1)
    first = values(dataset)
    assert sorted(first) == list(range(50))
    assert first != list(range(50))
    dataset.set_epoch(1)
    assert sorted(values(dataset)) == list(range(50))
    assert values(dataset) != first
    fixed = ShuffleDataset(numbers(50), seed=1, reshuffle=False)
    assert values(fixed) == first
    fixed.set_epoch(1)
    assert values(fixed) == first


def test_mix_has_its_proportions_and_is_resampled_each_epoch(numbers, values):
    mix = MixDataset([numbers(30), numbers(100, 1000)], weights=[3, 1], seed=0)
    first = values(mix)
    assert len(mix) == 40
    assert sorted(v for v in first if v < 1000) == list(range(30))
    assert len({v for v in first if v >= 1000}) == 10
    mix.set_epoch(1)
    second = values(mix)
    assert {v for v in second if v >= 1000} != {v for v in first if v >= 1000}
    assert sorted(v for v in second if v < 1000) == list(range(30))


def test_the_seed_of_the_outermost_dataset_applies_to_all_below(numbers, values):
    def mixed(**kwargs):
        return MixDataset([numbers(20), numbers(20, 100)], **kwargs)

    assert values(RepeatDataset(mixed(), 1, seed=4)) == values(mixed(seed=4)) != values(mixed())


def test_mix_until_all_are_exhausted_has_every_clip(numbers, values):
    mix = MixDataset([numbers(4), numbers(10, 1000)], weights=[1, 1], stopping_strategy="all_exhausted", seed=0)
    found = values(mix)
    assert len(mix) == 20
    assert sorted(v for v in found if v >= 1000) == list(range(1000, 1010))
    assert {found.count(v) for v in range(4)} == {2, 3}


def test_cache_stays_within_max_bytes():
    class Arrays:
        reads = 0

        def __len__(self):
            return 3

        def __getitem__(self, i):
            Arrays.reads += 1
            return {"a": np.full(10, i, np.uint8)}

    cache = CacheDataset(Arrays(), max_bytes=20)
    for i in (0, 1, 0, 2, 0, 1):
        assert cache[i]["a"].tolist() == [i] * 10
    assert (cache.hits, cache.misses, cache.nbytes, Arrays.reads) == (2, 4, 20, 4)


def test_a_transform_above_a_cache_cannot_change_cached_samples():
    class Samples:
        def __len__(self):
            return 1

        def __getitem__(self, i):
            return {"array": np.zeros(2), "tensor": torch.zeros(2), "list": [{"seen": 0}, np.zeros(1)], "set": {1}}

    def edit(sample):
        sample["tensor"] += 1
        sample["list"][0]["seen"] += 1
        sample["set"].add(2)
        sample["array"] = sample["array"] + sample["tensor"].numpy()
        return sample

    for max_bytes in (0, 1000):
        edited = MapDataset(CacheDataset(Samples(), max_bytes=max_bytes), edit)
        for _ in range(3):
            sample = edited[0]
            assert sample["array"].tolist() == sample["tensor"].tolist() == [1, 1]
            assert (sample["list"][0], edited.dataset[0]["set"]) == ({"seen": 1}, {1})
        with pytest.raises(TransformError, match="in_place failed on a sample: .*read-only"):
            MapDataset(edited.dataset, in_place)[0]


def in_place(sample):
    sample["array"] += 1
    return sample


def test_an_index_out_of_range_raises_and_iteration_ends(numbers):
    dataset = RepeatDataset(numbers(2), 2)
    for index in (4, -5):
        with pytest.raises(IndexError, match=f"index {index} is out of range for a RepeatDataset of 4 clips"):
            dataset[index]
    assert len(list(dataset)) == 4


def test_an_empty_or_broken_child_is_named_by_position_and_type(numbers):
    with pytest.raises(ConfigError, match=r"ConcatDataset: datasets\[1\] \(Numbers\) has no clips"):
        ConcatDataset([numbers(1), numbers(0)])
    with pytest.raises(FileNotFoundError, match=r"MixDataset: datasets\[0\] \(KArSLDataset\): .*'no/such'"):
        MixDataset([dict(type="KArSLDataset", data_root="no/such")])
    with pytest.raises(ConfigError, match=r"datasets\[1\] is of type int; expected a dataset or its config"):
        InterleaveDataset([numbers(1), 3])
    with pytest.raises(ConfigError, match="datasets is empty"):
        ConcatDataset([])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda n: RepeatDataset(n, 0), "times=0"),
        (lambda n: RepeatDataset(n, 1.5), "times=1.5; expected an integer from 1 to"),
        (lambda n: MixDataset([n, n], "ab"), "weights='ab' for 2 datasets"),
        (lambda n: CacheDataset(n, max_bytes="1GB"), "max_bytes='1GB'"),
        (lambda n: FilterDataset(n, 5), "predicate=5; expected a function"),
        (lambda n: MixDataset([n, n], [1]), r"weights=\[1\] for 2 datasets"),
        (lambda n: MixDataset([n], [-1]), "one positive number"),
        (lambda n: InterleaveDataset([n], stopping_strategy="never"), "expected 'all_exhausted' or 'first_exhausted'"),
        (lambda n: CacheDataset(n, max_bytes=-1), "max_bytes=-1"),
        (lambda n: MapDataset(n, []), "at least one transform"),
        (lambda n: ConcatDataset([n], labels="unoin"), "did you mean 'union'"),
        (lambda n: FilterDataset(n, dict(splits="x")), "expected 'type' or keys of .*split"),
        (lambda n: FilterDataset(n, "nothing_of_this_name"), "register it with"),
        (lambda n: FilterDataset(n, lambda item: False), "is true for none of 3 clips"),
    ],
)
def test_invalid_arguments_raise(numbers, make, message):
    with pytest.raises(ConfigError, match=message):
        make(numbers(3))


@pytest.mark.parametrize(
    "make",
    [
        lambda d: FilterDataset(d, lambda item: True),
        CacheDataset,
        lambda d: SliceDataset(d, 3),
        lambda d: ConcatDataset([d]).get_subset([2, 0, 1]),
        lambda d: RepeatDataset(d, 1)[:3],
    ],
)
def test_wrappers_that_store_indices_reject_an_order_that_changes(numbers, make):
    mix = RepeatDataset(MixDataset([numbers(3), numbers(3)]), 2)
    with pytest.raises(ConfigError, match="the MixDataset below gives other clips for the same indices in each epoch"):
        make(mix)
    with pytest.raises(ConfigError, match="ShuffleDataset below"):
        make(ShuffleDataset(numbers(3)))
    assert len(make(ShuffleDataset(numbers(3), reshuffle=False))) == 3


def test_slices_of_an_order_that_changes_have_other_clips_each_epoch_if_allowed(numbers, values):
    mix = MixDataset([numbers(30), numbers(100, 1000)], seed=0)
    part = mix.get_subset(20, allow_reshuffled=True)
    first = values(part)
    part.set_epoch(1)
    assert values(part) == values(SliceDataset(mix, 20, allow_reshuffled=True)) != first
    assert len(ConcatDataset([SliceDataset(mix, 0), numbers(1)])) == 1
    with pytest.raises(ConfigError, match="SliceDataset below the MixDataset.* or set allow_reshuffled=True"):
        DATASETS.build(dict(type="SliceDataset", dataset=part, indices=2))


def test_a_predicate_that_fails_names_the_sample(numbers):
    with pytest.raises(TransformError, match="failed on sample 0: KeyError: 'nothing'"):
        FilterDataset(numbers(2), lambda item: item["nothing"])


def test_a_registered_predicate_gets_its_arguments(numbers, values):
    @FUNCTIONS.register_module(name="above", force=True)
    def above(item, bound=0):
        return item["value"] > bound

    assert values(FilterDataset(numbers(4), dict(type="above", bound=1))) == [2, 3]
    assert values(FilterDataset(numbers(4), "above")) == [1, 2, 3]


def test_repr_is_the_tree(numbers):
    tree = ConcatDataset([RepeatDataset(numbers(2), 2), MMEngineConcat.__mro__[1]([numbers(1)])])
    assert repr(tree).splitlines() == [
        "ConcatDataset(): 5 clips",
        "├─ RepeatDataset(times=2): 4 clips",
        "│  └─ Numbers(): 2 clips",
        "└─ ConcatDataset(): 1 clip",
        "   └─ Numbers(): 1 clip",
    ]


def test_different_classes_raise_with_ways_to_map_them(numbers):
    a, b = numbers(2, 0, ("hello", "i")), numbers(3, 10, ("hola", "i", "you"))
    with pytest.raises(ConfigError, match=r"datasets\[0\] \(Numbers\) has 2 classes .* labels='union' .* aliases"):
        ConcatDataset([a, b])
    both = ConcatDataset([a, b], labels="union", aliases={"hola": "hello"})
    assert both.metainfo["classes"] == ("hello", "i", "you")
    assert [s["label"] for s in both] == [0, 1, 0, 1, 2]
    assert [both.get_cat_ids(i) for i in range(5)] == [[0], [1], [0], [1], [2]]
    assert both.get_data_info(-1) == {"clip_id": "12", "label": 2, "sample_idx": 4}
    apart = ConcatDataset([a, b], labels="separate")
    assert apart.metainfo["classes"] == ("0/hello", "0/i", "1/hola", "1/i", "1/you")
    assert [s["label"] for s in apart] == [0, 1, 2, 3, 4]
    chosen = ConcatDataset([a, b], labels=["you", "i", "hello", "hola"])
    assert [s["label"] for s in chosen] == [2, 1, 3, 1, 0]
    with pytest.raises(ConfigError, match=r"classes \['you'\] are not among the 3"):
        ConcatDataset([a, b], labels=["i", "hello", "hola"])


def test_a_child_may_add_its_classes_and_no_clip(numbers):
    a, b = numbers(2, 0, ("hello", "i")), numbers(2, 10, ("you", "i"))
    both = ConcatDataset([SliceDataset(a, 0), b], labels="union")
    assert both.metainfo["classes"] == ("hello", "i", "you")
    assert [s["label"] for s in both] == [2, 1]
    with pytest.raises(ConfigError, match=r"datasets\[0\] \(SliceDataset\) has no clips"):
        InterleaveDataset([SliceDataset(a, 0), b], labels="union")


def test_a_column_without_clips_is_empty(numbers):
    assert SliceDataset(numbers(3, 0), 0).column("label").tolist() == []


def test_two_classes_of_one_name_stay_two(numbers):
    dataset = numbers(3, 0, ("nephew", "aunt", "nephew"))
    both = ConcatDataset([dataset, numbers(1, 0, ("nephew",))], labels="union")
    assert both.metainfo["classes"] == ("nephew", "aunt", "nephew")
    assert [s["label"] for s in both] == [0, 1, 2, 0]
    assert [s["label"] for s in RelabelDataset(dataset, aliases={"aunt": "uncle"})] == [0, 1, 2]


def test_names_in_both_unicode_forms_are_one_class(numbers):
    composed, decomposed = numbers(1, 0, ("caf\u00e9",)), numbers(2, 10, ("i", "cafe\u0301"))
    both = ConcatDataset([composed, decomposed], labels="union", aliases={"i": "cafe\u0301"})
    assert both.metainfo["classes"] == ("caf\u00e9",)
    both = ConcatDataset([composed, decomposed], labels="union")
    assert both.metainfo["classes"] == ("caf\u00e9", "i")
    assert [s["label"] for s in both] == [0, 1, 0]
    assert len(ConcatDataset([composed, numbers(1, 0, ("cafe\u0301",))])) == 2


class OwnSubset(Subset):
    """A subclass, which may map indices in its own way."""


class Wrapper:
    """A third-party wrapper."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, i):
        return self.dataset[i]


@pytest.mark.parametrize("wrap", [lambda d: OwnSubset(d, range(len(d))), Wrapper, lambda d: Wrapper(Wrapper(d))])
def test_epochs_seeds_and_checks_reach_through_third_party_wrappers(numbers, values, wrap):
    shuffled = ShuffleDataset(numbers(40))
    outer = RepeatDataset(wrap(shuffled), 1, seed=4)
    assert values(outer) == values(ShuffleDataset(numbers(40), seed=4))
    orders = [values(outer)]
    for epoch in (1, 2):
        outer.set_epoch(epoch)
        orders.append(values(outer))
        assert shuffled._epoch_state.epoch == epoch
    assert len({tuple(order) for order in orders}) == 3
    assert ConcatDataset([wrap(ShuffleDataset(numbers(3), seed=9))])._epoch_state.seed == 9
    with pytest.raises(ConfigError, match="ShuffleDataset below"):
        FilterDataset(wrap(shuffled), lambda item: True)
    assert repr(outer).splitlines()[-1].endswith("Numbers(): 40 clips")


def test_a_dataset_whose_set_epoch_takes_no_seed_gets_the_epoch(numbers):
    class EpochOnly(numbers):
        def set_epoch(self, epoch):
            self.epoch = epoch

    inner = EpochOnly(3)
    RepeatDataset(Wrapper(inner), 2).set_epoch(4, seed=1)
    assert inner.epoch == 4


def test_a_clip_below_a_third_party_wrapper_is_augmented_differently_each_epoch(corpus):
    pipeline = [dict(type="LoadKeypoints"), dict(type="RandomAffine")]
    leaf = DATASETS.build(dict(type="KArSLDataset", data_root=str(corpus), pipeline=pipeline, seed=0))
    for wrapped in (Wrapper(leaf), OwnSubset(leaf, [0, 1]), MMEngineConcat.__mro__[1]([Wrapper(leaf)])):
        dataset = MapDataset(wrapped, lambda sample: sample)
        found = []
        for epoch in range(3):
            dataset.set_epoch(epoch)
            found.append(np.nanmean(dataset[0]["keypoint"]))
        assert len(set(found)) == 3


def test_configs_nest_and_accept_the_arguments_of_mmengine(corpus):
    leaf = dict(type="KArSLDataset", data_root=str(corpus))
    cfg = dict(
        type="ConcatDataset",
        ignore_keys=["dataset_name"],
        lazy_init=True,
        datasets=[dict(type="RepeatDataset", times=2, dataset=leaf), dict(type="SliceDataset", indices=3, dataset=leaf)],
    )
    dataset = DATASETS.build(cfg)
    assert isinstance(dataset, ConcatDataset)
    dataset.full_init()
    assert len(dataset) == 2 * len(DATASETS.build(leaf)) + 3


def test_mmengines_wrappers_work_around_and_inside(corpus):
    leaf = DATASETS.build(dict(type="KArSLDataset", data_root=str(corpus)))
    inside = ConcatDataset([MMEngineRepeat(leaf, 2), MMEngineConcat([leaf, leaf])])
    around = MMEngineConcat([inside, inside])
    n = len(leaf)
    assert len(inside) == 4 * n
    assert inside.get_data_info(3 * n + 1)["clip_id"] == leaf.get_data_info(1)["clip_id"]
    assert len(around) == 8 * n
    assert around.get_data_info(5 * n)["clip_id"] == leaf.get_data_info(0)["clip_id"]
    twice = MMEngineRepeat(inside, 2)
    assert twice.metainfo["classes"] == leaf.metainfo["classes"]
    assert twice.get_data_info(4 * n + 1)["clip_id"] == leaf.get_data_info(1)["clip_id"]
    balanced = ClassBalancedDataset(SliceDataset(inside, 30), oversample_thr=0.9)
    assert len(ConcatDataset([balanced])) == len(balanced) > 30
    assert ConcatDataset([balanced]).get_cat_ids(-1) == balanced.get_cat_ids(len(balanced) - 1)
