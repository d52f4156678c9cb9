"""Walks over trees of datasets by known answers."""

from __future__ import annotations

import numpy as np
import pytest
from torch.utils.data import ConcatDataset as TorchConcat
from torch.utils.data import Dataset, Subset

from karsl.datasets.combine import CacheDataset, ConcatDataset, MapDataset, RepeatDataset, ShuffleDataset, SliceDataset
from karsl.datasets.tree import (
    child_datasets,
    file_ranges,
    first_changing,
    first_seed,
    leaf_datasets,
    resolve_leaves,
    resolve_one,
    set_epoch,
    walk_datasets,
)


class Clips(Dataset):
    """`count` clips; clip i is stored in the bytes [10 i, 10 i + 10) of a file."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return i

    def stages(self, i):
        return []

    def file_ranges(self, indices):
        return [("file", (10 * i, 10)) for i in indices.tolist()]


def negate(sample):
    return -sample


@pytest.fixture
def tree():
    """Clips 0, 1 of `a`, then clips 2, 1, 0 of `b` negated, then both of `a` again."""
    a, b = Clips(2), Clips(3)
    tree = ConcatDataset([TorchConcat([a]), MapDataset(SliceDataset(b, [2, 1, 0]), negate), Subset(a, [0, 1])])
    return tree, a, b


def test_clips_are_resolved_with_indices_rows_steps_and_path(tree):
    root, a, b = tree
    first, second, third = resolve_leaves(root, np.array([6, 2, 0, 4]))
    assert [clips.dataset for clips in (first, second, third)] == [a, b, a]
    assert [clips.indices.tolist() for clips in (first, second, third)] == [[0], [2, 0], [1]]
    assert [clips.rows.tolist() for clips in (first, second, third)] == [[2], [1, 3], [0]]
    assert [clips.steps for clips in (first, second, third)] == [(), (negate,), ()]
    assert second.path == "ConcatDataset: datasets[1] (MapDataset): dataset (SliceDataset): dataset (Clips)"
    assert [root[i] for i in (6, 2, 0, 4)] == [1, -2, 0, 0]


def test_leaves_and_children_are_walked_from_the_root(tree):
    root, a, b = tree
    assert [(leaf, steps) for _, leaf, steps in leaf_datasets(root)] == [(a, ()), (b, (negate,)), (a, ())]
    assert [type(dataset).__name__ for dataset in walk_datasets(root)] == [
        *("ConcatDataset", "ConcatDataset", "Clips", "MapDataset", "SliceDataset", "Clips", "Subset", "Clips")
    ]
    assert child_datasets(root) == list(root.children)


def test_a_cache_is_read_through_only_as_the_root():
    clips = Clips(3)
    cache = CacheDataset(clips)
    assert [found.dataset for found in resolve_leaves(RepeatDataset(cache, 2), np.arange(4))] == [cache]
    (found,) = resolve_leaves(cache, np.arange(2), open_root=True)
    assert (found.dataset, found.path) == (clips, "CacheDataset: dataset (Clips)")
    assert [leaf for _, leaf, _ in leaf_datasets(cache)] == [cache]


def test_one_clip_is_followed_through_caches_and_subclasses(tree):
    class Own(Subset):
        pass

    _, a, _ = tree
    for dataset in (CacheDataset(a), Own(a, [0, 1]), TorchConcat([a])):
        (found,) = resolve_leaves(dataset, np.array([1]))
        assert resolve_one(found.dataset, int(found.indices[0]), fallback=repr) == (a, 1)
    assert resolve_one("abc", 2, fallback=str.upper) == ("ABC", 2)


def test_byte_ranges_are_those_of_the_clips_that_are_asked_for(tree):
    root, _, _ = tree
    assert file_ranges(root, np.array([1, 2])) == [("file", (10, 10)), ("file", (20, 10))]
    assert file_ranges(CacheDataset(root), np.array([1])) == []


def test_seeds_and_changing_orders_are_found_in_the_tree():
    shuffled = ShuffleDataset(Clips(3), seed=4)
    assert first_seed([Clips(1), Subset(shuffled, [0])]) == 4
    assert first_seed([Clips(1)]) is None
    assert first_changing([Clips(1), Subset(shuffled, [0])]) == "ShuffleDataset"
    assert first_changing([ShuffleDataset(Clips(3), reshuffle=False)]) is None


def test_an_epoch_is_set_with_the_seed_if_the_dataset_accepts_one():
    calls = []

    class EpochOnly:
        def set_epoch(self, epoch):
            calls.append(epoch)

    class WithSeed:
        def set_epoch(self, epoch, seed=None):
            calls.append((epoch, seed))

    class WithOptions:
        def set_epoch(self, epoch, **options):
            calls.append((epoch, options))

    for dataset in (EpochOnly(), WithSeed(), WithOptions(), object()):
        set_epoch(dataset, 2, 7)
    assert calls == [2, (2, 7), (2, {"seed": 7})]
