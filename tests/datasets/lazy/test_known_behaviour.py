"""What people know of a LazyDataset, row by row, each with its answer written out.

| known behaviour | here |
| --- | --- |
| map is recorded, and applied when an item is asked for | the same |
| map before the mix is for the dataset that is named; after it for all | the same; without a name it is for every dataset |
| maps are applied in the order recorded, a dataset's before the mix's | the same |
| filter runs at once | the same |
| filter sees items as stored, not as mapped: it keeps other rows than the eager class | it sees the maps so far |
| filter after the mix fails | it works |
| mix interleaves by default, in turns, shorter ones begin again: k times the longest | the same |
| mix with interleave=False puts one after the other | the same |
| before the mix, length and items are those of the first dataset | the same, with a warning |
| d[-1] gives a wrong row | the last |
| an index outside wraps around | IndexError, so iteration ends |
| encode sets a flag, items are encoded one by one, last of all | the same |
| encode without a template fails late | at once, with the call that is missing |
| an encoder that splits an item is refused | the same, with the reason |
| several datasets can be added | the same; two of one name are an error |
| nothing is copied or made up front | the same |
"""

from __future__ import annotations

import pytest
from torch.utils.data import Dataset

from karsl.datasets.lazy import Encoder, LazyDataset
from karsl.errors import ConfigError


class Rows(Dataset):
    """Items {'value': base + i, 'note': 'kept'}; counts how many were made."""

    def __init__(self, count, base=0):
        self.count, self.base, self.made = count, base, 0

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        assert 0 <= i < self.count
        self.made += 1
        return {"value": self.base + i, "note": "kept"}


def add(number):
    return lambda item: {**item, "value": item["value"] + number}


def times(number):
    return lambda item: {**item, "value": item["value"] * number}


def values(dataset):
    return [dataset[i]["value"] for i in range(len(dataset))]


@pytest.fixture
def two():
    return LazyDataset(Rows(2), name="a").add_dataset(Rows(3, 10), name="b")


def test_map_is_recorded_and_applied_when_an_item_is_asked_for():
    rows, calls = Rows(3), []
    lazy = LazyDataset(rows).map(lambda item: calls.append(item["value"]) or item)
    assert (rows.made, calls, len(lazy)) == (0, [], 3)
    assert lazy[1]["value"] == 1
    assert (rows.made, calls) == (1, [1])


def test_map_before_the_mix_is_for_one_dataset_and_after_it_for_all(two):
    two.map(times(100), dataset="b").mix().map(add(1))
    assert values(two) == [1, 1001, 2, 1101, 1, 1201]


def test_map_without_a_name_before_the_mix_is_for_every_dataset(two):
    assert values(two.map(times(2)).mix(interleave=False)) == [0, 2, 20, 22, 24]


def test_maps_are_applied_in_the_order_recorded(two):
    two.map(add(1), dataset="a").map(times(10), dataset="a").mix(interleave=False).map(times(2)).map(add(5))
    assert values(two)[:2] == [(0 + 1) * 10 * 2 + 5, (1 + 1) * 10 * 2 + 5]


def test_filter_runs_at_once_and_sees_the_maps_recorded_so_far():
    lazy = LazyDataset(Rows(6)).map(times(10)).filter(lambda item: item["value"] >= 30).map(add(1))
    assert len(lazy) == 3
    assert values(lazy) == [31, 41, 51]


def test_filter_keeps_what_doing_it_all_at_once_keeps():
    eager = [v for v in [v * 3 % 7 for v in range(10)] if v > 2]
    lazy = LazyDataset(Rows(10)).map(lambda item: {"value": item["value"] * 3 % 7}).filter(lambda item: item["value"] > 2)
    assert values(lazy) == eager


def test_filter_after_the_mix_works(two):
    two.mix().map(add(1)).filter(lambda item: item["value"] % 2 == 1)
    assert values(two) == [1, 11, 1, 13]


def test_filter_after_a_weighted_mix_holds_in_every_epoch(two):
    two.mix(weights={"a": 1, "b": 1}, stop="all_exhausted").map(add(1)).filter(lambda item: item["value"] != 12)
    for epoch in range(4):
        two.set_epoch(epoch)
        assert set(values(two)) == {1, 2, 11, 13}


def test_interleave_takes_turns_and_shorter_ones_begin_again(two):
    two.mix()
    assert len(two) == 2 * 3
    assert values(two) == [0, 10, 1, 11, 0, 12]


def test_concatenation(two):
    two.mix(interleave=False)
    assert len(two) == 2 + 3
    assert values(two) == [0, 1, 10, 11, 12]


def test_before_the_mix_length_and_items_are_those_of_the_first_dataset(two):
    assert len(two) == 2
    assert values(two) == [0, 1]
    assert len(two.mix()) == 6


def test_negative_places_count_from_the_end(two):
    two.mix()
    assert [two[i]["value"] for i in (-1, -2, -6)] == [12, 0, 0]
    for place in (6, -7):
        with pytest.raises(IndexError):
            two[place]
    assert len(list(two)) == 6


class Square(Encoder):
    def encode(self, item):
        return {"square": item["value"] ** 2}


class Windows(Encoder):
    one_to_one = False


def test_encode_is_a_flag_the_encoder_comes_last_and_other_keys_stay(two):
    two.set_encoder(Square())
    assert "square" not in two[1]
    two.encode().mix().map(add(1))
    assert two[1] == {"value": 11, "note": "kept", "square": 121}


def test_encode_without_an_encoder_says_which_call_is_missing(two):
    with pytest.raises(ConfigError, match=r"encode\(\) without an encoder; call set_encoder"):
        two.encode()


def test_an_encoder_that_splits_an_item_is_refused_with_the_reason(two):
    with pytest.raises(ConfigError, match="Windows may give several items for one, so the place of an item"):
        two.set_encoder(Windows())


def test_several_adds(two):
    two.add_dataset(Rows(1, 20), name="c").mix()
    assert values(two) == [0, 10, 20, 1, 11, 20, 0, 12, 20]
    assert two.names == ("a", "b", "c")
    with pytest.raises(ConfigError, match="there is a dataset 'a' already"):
        LazyDataset(Rows(1), name="a").add_dataset(Rows(1), name="a")
    with pytest.raises(ConfigError, match="add_dataset after mix"):
        two.add_dataset(Rows(1))


def test_nothing_is_made_up_front():
    a, b = Rows(10**9), Rows(10**9, 5)
    lazy = LazyDataset(a).add_dataset(b).map(add(1)).mix().map(times(2))
    assert len(lazy) == 2 * 10**9
    assert lazy[2 * 10**9 - 1]["value"] == 2 * (10**9 - 1 + 5 + 1)
    assert (a.made, b.made) == (0, 1)


def test_a_mix_of_one_is_itself():
    lazy = LazyDataset(Rows(3)).mix().map(add(1))
    assert values(lazy) == [1, 2, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.map(add(1), dataset="z"), "no dataset 'z'; there are a, b"),
        (lambda d: d.mix().map(add(1), dataset="a"), r"map\(dataset='a'\) after mix\(\)"),
        (lambda d: d.mix().mix(), r"mix\(\) was called before"),
        (lambda d: LazyDataset().map(add(1)), r"map\(\) before add_dataset"),
        (lambda d: len(LazyDataset()), "no dataset yet; call add_dataset"),
        (lambda d: LazyDataset(Rows(1), steps=[dict(do="mapp")]), r"steps\[0\]: do='mapp'"),
        (lambda d: LazyDataset(Rows(1), steps=[dict(do="map", transfrom=1)]), r"steps\[0\], map: .*transfrom"),
        (lambda d: d.set_encoder("FeatureEncodr"), "did you mean 'FeatureEncoder'"),
        (lambda d: d.flush(), r"flush\(\) without save_as"),
        (lambda d: d.mix(weights={"a": 1}), "one positive number for each"),
    ],
)
def test_wrong_calls_say_what_to_do(two, call, message):
    with pytest.raises(ConfigError, match=message):
        call(two)
