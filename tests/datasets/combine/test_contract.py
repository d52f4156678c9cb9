"""One contract over every registered dataset wrapper of karsl."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest

from karsl.datasets.combine import DatasetWrapper
from karsl.registry import DATASETS
from tests.datasets.combine.conftest import Numbers, values_of


def is_even(sample: dict) -> bool:
    return sample["value"] % 2 == 0


def negate(sample: dict) -> dict:
    return {**sample, "value": -sample["value"]}


# Arguments that between them reach every mode. A wrapper that is not named here is tested with its default arguments.
ARGUMENTS = {
    "CacheDataset": [dict(), dict(max_bytes=0)],
    "ClassBalancedDataset": [dict(oversample_thr=0.1), dict(oversample_thr=0.9)],
    "ConcatDataset": [dict(), dict(labels="union"), dict(labels="separate")],
    "FilterDataset": [dict(predicate=is_even)],
    "InterleaveDataset": [dict(), dict(stopping_strategy="first_exhausted")],
    "LazyDataset": [dict(name="a")],
    "MapDataset": [dict(transform=negate), dict(transform=[negate, negate])],
    "MixDataset": [dict(), dict(weights=[3, 1], stopping_strategy="all_exhausted"), dict(seed=4)],
    "RelabelDataset": [dict(), dict(classes=["e", "d", "c", "b", "a"])],
    "RepeatDataset": [dict(times=1), dict(times=3)],
    "ShuffleDataset": [dict(), dict(reshuffle=False), dict(seed=4)],
    "SliceDataset": [dict(indices=3), dict(indices=-2), dict(indices=[4, 0, 0]), dict(indices=dict(stop=4, step=2))],
}
WRAPPERS = {
    name: cls
    for name, cls in DATASETS.module_dict.items()
    if issubclass(cls, DatasetWrapper) and cls.__module__.startswith("karsl.")
}


def required_arguments(cls: type) -> set[str]:
    """Return the names of arguments without a default, other than the datasets."""
    parameters = inspect.signature(cls).parameters.values()
    return {p.name for p in parameters if p.default is p.empty} - {"dataset", "datasets"}


CASES = [
    pytest.param(name, arguments, id=f"{name}{number}")
    for name, cls in WRAPPERS.items()
    for number, arguments in enumerate(ARGUMENTS.get(name, [] if required_arguments(cls) else [dict()]))
]
every = pytest.mark.parametrize(("name", "arguments"), CASES)


def build(name: str, arguments: dict, **options: object) -> DatasetWrapper:
    """Build a wrapper of five numbers, or of five and two, that are their own labels."""
    classes = ["a", "b", "c", "d", "e"]
    numbers = [Numbers(5, classes=classes), Numbers(2, 10, classes=classes)]
    children = (
        dict(dataset=numbers[0]) if "dataset" in inspect.signature(WRAPPERS[name]).parameters else dict(datasets=numbers)
    )
    return DATASETS.build(dict(type=name, **children, **arguments, **options))


def test_every_registered_wrapper_of_karsl_is_under_this_contract():
    covered = {case.values[0] for case in CASES}
    assert sorted(set(WRAPPERS) - covered) == [], "these have required arguments: add examples of them to ARGUMENTS"
    assert sorted(set(ARGUMENTS) - set(WRAPPERS)) == []


@every
def test_a_negative_index_counts_from_the_end_and_iteration_ends(name, arguments):
    dataset = build(name, arguments)
    assert len(dataset) > 0
    assert [dataset[-i]["value"] for i in range(len(dataset), 0, -1)] == values_of(dataset)
    assert [sample["value"] for sample in dataset] == values_of(dataset)
    for index in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError, match=f"index {index} is out of range for a {name} of {len(dataset)} clips"):
            dataset[index]


@every
def test_several_indices_give_the_same_samples_as_one_at_a_time(name, arguments):
    dataset = build(name, arguments)
    indices = [len(dataset) - 1, 0, -1, 0]
    assert [sample["value"] for sample in dataset.__getitems__(indices)] == [dataset[i]["value"] for i in indices]
    if not dataset.changes_each_epoch:
        assert values_of(dataset[::2]) == values_of(dataset)[::2]


@every
def test_indices_of_children_are_in_range_and_resolve_to_the_sample(name, arguments):
    dataset = build(name, arguments)
    indices = np.arange(len(dataset))
    numbers, below = dataset.locate(indices)
    assert numbers.shape == below.shape == indices.shape
    assert ((numbers >= 0) & (numbers < len(dataset.children))).all()
    assert all(0 <= i < len(dataset.children[n]) for n, i in zip(numbers, below, strict=True))
    if dataset.single:
        assert (numbers == 0).all()
        assert dataset.child_indices(indices).tolist() == below.tolist()


@every
def test_records_have_the_index_and_the_label_of_their_samples(name, arguments):
    dataset = build(name, arguments)
    for index in range(len(dataset)):
        info, sample = dataset.get_data_info(index), dataset[index]
        assert info["sample_idx"] == index
        assert info["clip_id"] == str(abs(sample["value"]))
        assert [info["label"]] == [sample["label"]] == dataset.get_cat_ids(index)


@every
def test_an_epoch_depends_on_seed_and_epoch_only(name, arguments):
    epochs = []
    dataset = build(name, arguments)
    for epoch in (0, 1, 2, 3):
        dataset.set_epoch(epoch)
        again = build(name, arguments)
        again.set_epoch(epoch)
        assert values_of(again) == values_of(dataset)
        epochs.append(values_of(dataset))
    if not dataset.changes_each_epoch:
        assert all(values == epochs[0] for values in epochs)
    assert len({len(values) for values in epochs}) == 1


@every
def test_copies_by_pickle_and_late_initialization_give_the_same(name, arguments):
    dataset = build(name, arguments)
    late = build(name, arguments, lazy_init=True)
    late.full_init()
    for copy in (pickle.loads(pickle.dumps(dataset)), late):
        assert values_of(copy) == values_of(dataset)
        assert repr(copy) == repr(dataset)
        assert copy.metainfo == dataset.metainfo
