"""Operations of LazyDataset with expected samples.

| operation | result |
| --- | --- |
| map | applied when a sample is accessed |
| map before mix | for the named dataset, without a name for every dataset; after it for all |
| several maps | in the order of the calls, those of a dataset before those of the mix |
| filter | evaluated at once, on samples after the maps so far; works after mix too |
| mix | alternates between datasets, shorter ones start again: k times the longest |
| mix with interleave=False | one dataset after the other |
| before mix | length and samples are those of the first dataset, with a warning |
| d[-1], an index out of range | the last sample, IndexError |
| map of EncodeGloss, SkeletonFeatures | gets classes and skeleton of the dataset |
| several datasets of one name | an error |
"""

from __future__ import annotations

import pytest
from torch.utils.data import Dataset

from karsl.datasets.combine import LazyDataset, MapDataset, MixDataset
from karsl.errors import ConfigError


class Rows(Dataset):
    """Samples {'value': base + i, 'note': 'unchanged'}; counts the samples made."""

    def __init__(self, count, base=0):
        self.count, self.base, self.made = count, base, 0

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        assert 0 <= i < self.count
        self.made += 1
        return {"value": self.base + i, "note": "unchanged"}


def add(number):
    return lambda sample: {**sample, "value": sample["value"] + number}


def times(number):
    return lambda sample: {**sample, "value": sample["value"] * number}


def values(dataset):
    return [dataset[i]["value"] for i in range(len(dataset))]


@pytest.fixture
def two():
    return LazyDataset(Rows(2), name="a").add_dataset(Rows(3, 10), name="b")


def test_map_is_applied_when_a_sample_is_accessed():
    rows, calls = Rows(3), []
    lazy = LazyDataset(rows).map(lambda sample: calls.append(sample["value"]) or sample)
    assert (rows.made, calls, len(lazy)) == (0, [], 3)
    assert lazy[1]["value"] == 1
    assert (rows.made, calls) == (1, [1])


def test_map_before_the_mix_is_for_one_dataset_and_after_it_for_all(two):
    two.map(times(100), dataset="b").mix().map(add(1))
    assert values(two) == [1, 1001, 2, 1101, 1, 1201]


def test_map_without_a_name_before_the_mix_is_for_every_dataset(two):
    assert values(two.map(times(2)).mix(interleave=False)) == [0, 2, 20, 22, 24]


def test_maps_are_applied_in_the_order_of_the_calls(two):
    two.map(add(1), dataset="a").map(times(10), dataset="a").mix(interleave=False).map(times(2)).map(add(5))
    assert values(two)[:2] == [(0 + 1) * 10 * 2 + 5, (1 + 1) * 10 * 2 + 5]


def test_filter_runs_at_once_and_sees_the_maps_so_far():
    lazy = LazyDataset(Rows(6)).map(times(10)).filter(lambda sample: sample["value"] >= 30).map(add(1))
    assert len(lazy) == 3
    assert values(lazy) == [31, 41, 51]


def test_filter_keeps_what_an_eager_filter_keeps():
    eager = [v for v in [v * 3 % 7 for v in range(10)] if v > 2]
    lazy = LazyDataset(Rows(10)).map(lambda sample: {"value": sample["value"] * 3 % 7})
    assert values(lazy.filter(lambda sample: sample["value"] > 2)) == eager


def test_filter_after_the_mix_works(two):
    two.mix().map(add(1)).filter(lambda sample: sample["value"] % 2 == 1)
    assert values(two) == [1, 11, 1, 13]


def test_filter_after_a_weighted_mix_is_true_in_every_epoch(two):
    two.mix(weights={"a": 1, "b": 1}, stopping_strategy="all_exhausted").map(add(1))
    two.filter(lambda sample: sample["value"] != 12)
    for epoch in range(4):
        two.set_epoch(epoch)
        assert set(values(two)) == {1, 2, 11, 13}


def test_filter_of_a_weighted_mix_that_was_added_as_an_object():
    mix = MapDataset(MixDataset([Rows(4), Rows(4, 10)], seed=1), add(1))
    lazy = LazyDataset(mix).map(times(2)).filter(lambda sample: sample["value"] != 4)
    for epoch in range(4):
        lazy.set_epoch(epoch)
        assert set(values(lazy)) <= {2, 6, 8, 22, 24, 26, 28}
    with pytest.raises(ConfigError, match="which no config can name"):
        lazy.to_config()


def test_interleave_alternates_and_shorter_datasets_start_again(two):
    two.mix()
    assert len(two) == 2 * 3
    assert values(two) == [0, 10, 1, 11, 0, 12]


def test_concatenation(two):
    two.mix(interleave=False)
    assert len(two) == 2 + 3
    assert values(two) == [0, 1, 10, 11, 12]


def test_before_the_mix_length_and_samples_are_those_of_the_first_dataset(two):
    assert len(two) == 2
    assert values(two) == [0, 1]
    assert len(two.mix()) == 6


def test_negative_indices_count_from_the_end(two):
    two.mix()
    assert [two[i]["value"] for i in (-1, -2, -6)] == [12, 0, 0]
    for index in (6, -7):
        with pytest.raises(IndexError):
            two[index]
    assert len(list(two)) == 6


def test_several_datasets(two):
    two.add_dataset(Rows(1, 20), name="c").mix()
    assert values(two) == [0, 10, 20, 1, 11, 20, 0, 12, 20]
    assert two.names == ("a", "b", "c")
    with pytest.raises(ConfigError, match="there is a dataset 'a' already"):
        LazyDataset(Rows(1), name="a").add_dataset(Rows(1), name="a")
    with pytest.raises(ConfigError, match="add_dataset after mix"):
        two.add_dataset(Rows(1))


def test_no_sample_is_made_in_advance():
    a, b = Rows(10**9), Rows(10**9, 5)
    lazy = LazyDataset(a).add_dataset(b).map(add(1)).mix().map(times(2))
    assert len(lazy) == 2 * 10**9
    assert lazy[2 * 10**9 - 1]["value"] == 2 * (10**9 - 1 + 5 + 1)
    assert (a.made, b.made) == (0, 1)


def test_a_mix_of_one_dataset_is_that_dataset():
    lazy = LazyDataset(Rows(3)).mix().map(add(1))
    assert values(lazy) == [1, 2, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.map(add(1), dataset="z"), "no dataset 'z'; there are a, b"),
        (lambda d: d.mix().map(add(1), dataset="a"), r"map\(dataset='a'\) after mix\(\)"),
        (lambda d: d.mix().mix(), r"mix\(\) was called before"),
        (lambda d: LazyDataset().map(add(1)), r"map\(\) before add_dataset"),
        (lambda d: LazyDataset().mix(), r"mix\(\) before add_dataset"),
        (lambda d: len(LazyDataset()), "no dataset yet; call add_dataset"),
        (lambda d: d.map(dict(type="SkeletonFeature")), "did you mean 'SkeletonFeatures'"),
        (lambda d: d.mix(weights={"a": 1}), "one positive number for each"),
        (lambda d: d.to_config(), r"2 datasets are not mixed yet; call mix\(\)"),
    ],
)
def test_invalid_calls_raise_with_a_remedy(two, call, message):
    with pytest.raises(ConfigError, match=message):
        call(two)
