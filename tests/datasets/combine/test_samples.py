"""Real clips through dataset wrappers: random numbers, batches, epochs, workers, errors."""

from __future__ import annotations

import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from karsl.cli.main import main
from karsl.datasets import KArSLDataset, keypoint_collate
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
from karsl.errors import SkeletonError, TransformError

LOAD, PACK = dict(type="LoadKeypoints"), dict(type="PackKeypointInputs")
MOVE = [dict(type="TSNSampleFrames", clip_len=6, jitter=1.0), dict(type="RandomFlip"), dict(type="RandomAffine")]
TRAIN = [LOAD, *MOVE, dict(type="CenterScale"), PACK]


@pytest.fixture(scope="module")
def pack(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("combined") / "pack"
    assert main(["pack", str(corpus), str(folder), "--dtype", "float32"]) == 0
    return folder


@pytest.fixture
def make(pack):
    def make(pipeline=TRAIN, **kwargs):
        kwargs = {"seed": 3, "filter_cfg": dict(split="test"), **kwargs}
        return KArSLDataset("annotations.json", data_root=str(pack), pipeline=pipeline, **kwargs)

    return make


def same(a, b, atol=0.0):
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(torch.as_tensor(a[key]), torch.as_tensor(b[key]), rtol=0, atol=atol)


def batch_of(dataset, indices):
    return keypoint_collate(dataset.__getitems__(indices))


def nested(make):
    """A tree of every wrapper that a batch can be made through."""
    a, b = make(), make(filter_cfg=dict(split="train"))
    half = SliceDataset(b, slice(0, None, 2))
    return MixDataset(
        [
            RepeatDataset(FilterDataset(a, dict(signers="01")), 3),
            ShuffleDataset(ConcatDataset([half, MapDataset(make([LOAD, *MOVE]), [dict(type="CenterScale"), PACK])])),
            InterleaveDataset([a, b]),
        ],
        weights=[1, 2, 1],
    )


def test_a_nested_batch_is_made_in_one_pass_and_equals_its_samples(make):
    dataset = nested(make)
    indices = [0, 5, 3, -1, 5]
    batch = dataset.__getitems__(indices)
    finished = batch.collate()
    assert finished is not None
    same(finished, keypoint_collate([dataset[i] for i in indices]), atol=1e-5)
    assert finished["sample_idx"].tolist() == [0, 5, 3, len(dataset) - 1, 5]


class Notes:
    """A transform of one clip at a time that draws random numbers, and notes what it is given."""

    def __init__(self):
        self.seen = set()

    def __call__(self, results):
        self.seen.add((results["sample_idx"], results["label"], results["clip_id"]))
        return {**results, "keypoint": results["keypoint"] + np.float32(np.random.rand())}


@pytest.mark.parametrize("place", ["below", "above", "between", "after labels"])
def test_clips_are_joined_again_after_a_transform_of_one_clip_at_a_time(make, place):
    notes, scale, end = Notes(), dict(type="CenterScale"), [dict(type="RandomFlip"), PACK]
    names = make().metainfo["classes"]
    own = {"below": [notes, scale], "between": [scale, notes]}.get(place, [scale])
    above = {"above": [notes, *end], "between": [notes, *end]}.get(place, end)
    a, b = make([LOAD, *MOVE, *own]), make([LOAD, *MOVE, scale], filter_cfg=dict(split="train"))
    if place == "after labels":
        left = MapDataset(RelabelDataset(a, classes=names[::-1]), [notes, *end])
    else:
        left = RelabelDataset(MapDataset(a, above), classes=names[::-1])
    dataset = ConcatDataset([left, RelabelDataset(MapDataset(b, end), classes=names[::-1]), left])
    indices = [0, len(dataset) - 1, len(a) + 2, 3, len(a) + 5]
    singles = [dataset[i] for i in indices]
    seen, notes.seen = notes.seen, set()
    finished = dataset.__getitems__(indices).collate()
    assert finished is not None
    same(finished, keypoint_collate(singles), atol=1e-5)
    assert notes.seen == seen
    assert len(seen) == 3 + (place == "between"), "of the last clip, index 23 of its dataset is 107 of all"


def test_a_transform_of_one_clip_that_rejects_some_gives_the_samples_of_others(make):
    def reject(results):
        return None if results["label"] == 0 else results

    dataset = MapDataset(make([LOAD, *MOVE]), [reject, dict(type="CenterScale"), PACK])
    batch = batch_of(dataset, range(len(dataset)))
    assert (batch["label"] != 0).all()
    assert dataset.num_skipped > 0
    same(batch, keypoint_collate([dataset[i] for i in range(len(dataset))]), atol=1e-5)


def test_a_clip_that_occurs_twice_is_augmented_in_two_ways(make):
    dataset = RepeatDataset(make(), 2)
    n = len(dataset) // 2
    assert dataset.get_data_info(1)["clip_id"] == dataset.get_data_info(n + 1)["clip_id"]
    assert not torch.equal(dataset[1]["inputs"], dataset[n + 1]["inputs"])
    batch = batch_of(dataset, [1, n + 1])
    assert not torch.equal(batch["inputs"][0], batch["inputs"][1])


def test_concatenated_slices_equal_the_dataset_bit_for_bit(make):
    dataset = make()
    whole = ConcatDataset([SliceDataset(dataset, slice(0, 5)), SliceDataset(dataset, slice(5, None))])
    for i in (0, 4, 5, len(dataset) - 1):
        same(whole[i], dataset[i])
    same(batch_of(whole, [1, 6]), batch_of(dataset, [1, 6]))


def test_transforms_of_map_have_the_same_random_numbers_as_in_the_pipeline(make):
    one = make([LOAD, *MOVE, dict(type="RandomFlip"), dict(type="CenterScale"), PACK])
    two = MapDataset(MapDataset(make([LOAD, *MOVE]), dict(type="RandomFlip")), [dict(type="CenterScale"), PACK])
    for i in range(6):
        same(two[i], one[i])
    assert two.__getitems__([0, 3]).collate() is not None
    same(batch_of(two, [0, 3]), batch_of(one, [0, 3]))


@pytest.mark.parametrize("later", [[LOAD, *MOVE], [LOAD, dict(type="TSNSampleFrames", clip_len=4)], [LOAD]], ids=len)
def test_a_pipeline_that_is_replaced_later_is_used(make, later):
    steps = [dict(type="UniformSampleFrames", clip_len=5), dict(type="CenterScale"), PACK]
    changed = make([LOAD, MOVE[0]])
    dataset = MapDataset(changed, steps)
    before = [dataset[2], batch_of(dataset, [0, 2])]
    changed.pipeline = make(later).pipeline
    expected = MapDataset(make(later), steps)
    same(dataset[2], expected[2])
    same(batch_of(dataset, [0, 2]), batch_of(expected, [0, 2]))
    changed.pipeline = make([LOAD, MOVE[0]]).pipeline
    same(dataset[2], before[0])
    same(batch_of(dataset, [0, 2]), before[1])


def test_random_numbers_of_a_user_function_depend_on_seed_epoch_and_index(make):
    def shake(sample):
        return {**sample, "inputs": sample["inputs"] + np.random.rand()}

    a, b = MapDataset(make(), shake), MapDataset(make(), shake)
    same(a[2], b[2])
    assert "sample_key" not in a[2]
    same(batch_of(a, [2, 4]), keypoint_collate([b[2], b[4]]))
    first = a[2]["inputs"]
    a.set_epoch(1)
    assert not torch.equal(a[2]["inputs"], first)


def test_an_epoch_is_a_function_of_seed_and_epoch(make):
    def epoch(number):
        dataset = nested(lambda *args, **kwargs: make(*args, **{"seed": None, **kwargs}))
        dataset.set_epoch(number, seed=7)
        return batch_of(dataset, range(0, len(dataset), 3))

    same(epoch(2), epoch(2))
    assert not torch.equal(epoch(2)["inputs"], epoch(3)["inputs"])


@pytest.mark.parametrize(
    "loader", [dict(), dict(num_workers=2), dict(num_workers=1, multiprocessing_context="spawn")], ids=str
)
def test_batches_do_not_depend_on_workers(make, loader):
    def epoch(**kwargs):
        dataset = SliceDataset(nested(make), 20, allow_reshuffled=True)
        dataset.set_epoch(1)
        return torch.cat([b["inputs"] for b in DataLoader(dataset, 5, collate_fn=keypoint_collate, **kwargs)])

    assert torch.equal(epoch(**loader), epoch())


def test_an_epoch_set_in_the_parent_reaches_persistent_workers(make):
    dataset = SliceDataset(nested(make), 8, allow_reshuffled=True)
    loader = DataLoader(dataset, 4, collate_fn=keypoint_collate, num_workers=1, persistent_workers=True)
    for number in (0, 1):
        dataset.set_epoch(number)
        found = torch.cat([b["inputs"] for b in loader])
        same(dict(x=found), dict(x=batch_of(dataset, range(8))["inputs"]), atol=0)


def test_a_filter_reads_no_clip_if_records_are_enough(make, monkeypatch):
    dataset = MapDataset(make([LOAD]), [*MOVE, dict(type="CenterScale"), PACK])
    reads = []
    monkeypatch.setattr(type(dataset), "get_sample", lambda self, i, **kw: reads.append(i))
    filtered = FilterDataset(dataset, lambda item: item["signer"] == "02" and item["label"] < 3)
    assert {filtered.get_data_info(i)["signer"] for i in range(len(filtered))} == {"02"}
    assert not reads


def test_a_filter_sees_the_clip_after_the_transforms(make):
    def long(item):
        return item["num_frames"] > 6

    dataset = make([LOAD])
    assert len(FilterDataset(dataset, long)) == sum(dataset.get_data_info(i)["num_frames"] > 6 for i in range(len(dataset)))
    sampled = MapDataset(dataset, dict(type="TSNSampleFrames", clip_len=7, jitter=0.0))
    assert len(FilterDataset(sampled, long)) == len(dataset)

    def marked(results):
        return {**results, "mark": float(np.nanmax(results["keypoint"]))}

    marks = MapDataset(dataset, marked)
    middle = sorted(marks[i]["mark"] for i in range(len(marks)))[len(marks) // 2]
    filtered = FilterDataset(marks, lambda item: item["mark"] > middle, num_workers=2)
    assert [s["mark"] > middle for s in filtered] == [True] * len(filtered)
    assert len(filtered) < len(marks)


def test_pickles_under_spawn_are_small_for_any_number_of_indices(make):
    dataset = RepeatDataset(make(), 1000)
    chosen = SliceDataset(dataset, np.random.default_rng(0).permutation(len(dataset)))
    text = ForkingPickler.dumps(chosen)
    assert len(text) < 60_000
    same(pickle.loads(text)[5], chosen[5])


def test_different_keypoints_raise_with_a_remedy(make):
    hands = make([LOAD, dict(type="SelectKeypoints", names=["rh", "lh"]), *TRAIN[1:4], PACK])
    with pytest.raises(SkeletonError, match=r"ends with 184 keypoints .* put SelectKeypoints\(skeleton='karsl_184'"):
        ConcatDataset([make(), hands])
    raw = ConcatDataset([make([LOAD]), make([LOAD, dict(type="SelectKeypoints", names=["rh", "lh"])])])
    one = MapDataset(raw, [dict(type="SelectKeypoints", names=["rh", "lh"]), *MOVE, PACK])
    assert one.output_skeleton.num_keypoints == 42
    assert batch_of(one, [0, -1])["inputs"].shape == (2, 6, 42, 3)


def test_an_error_names_child_clip_and_transform(make):
    def fails(results):
        raise ValueError("no")

    dataset = ConcatDataset([make(), make([LOAD, fails, PACK])])
    with pytest.raises(TransformError, match=r"ConcatDataset: datasets\[1\] \(KArSLDataset\): fails failed on clip .*: no"):
        dataset[-1]
    with pytest.raises(TransformError, match=r"datasets\[1\]"):
        batch_of(dataset, [0, len(dataset) - 1])


def test_a_clip_that_cannot_be_used_is_replaced_as_its_dataset_allows(make):
    def picky(results):
        return None if results["label"] == 0 else results

    dataset = ConcatDataset([make([LOAD, picky, *TRAIN[1:]]), make([LOAD, *TRAIN[1:]])])
    indices = [i for i in range(len(dataset)) if dataset.get_data_info(i)["label"] == 0][:2]
    assert all(dataset[i]["label"] != 0 for i in indices if i < len(dataset) // 2)
    assert dataset.num_skipped > 0
    with pytest.raises(TransformError, match="<lambda> returned None for sample 0"):
        MapDataset(make(test_mode=True), lambda sample: None)[0]


def test_a_cache_below_transforms_returns_the_same_clips_again(make):
    cached = MapDataset(CacheDataset(make([LOAD])), [*MOVE, PACK])
    plain = make([LOAD, *MOVE, PACK])
    assert cached[3]["keypoint_mask"].shape == plain[3]["keypoint_mask"].shape
    first = cached[3]["inputs"]
    assert torch.equal(cached[3]["inputs"], first)
    assert cached.dataset.hits >= 2
    cached.set_epoch(1)
    assert not torch.equal(cached[3]["inputs"], first)


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_a_clip_read_before_the_seed_is_set_is_cached_as_in_any_worker(make, start_method):
    dataset = MapDataset(CacheDataset(make([LOAD, MOVE[0]], seed=None)), [PACK])
    before = dataset[2]["inputs"]
    dataset.set_epoch(0, seed=5)
    options = dict(num_workers=1, multiprocessing_context=start_method, timeout=300)
    (found,) = DataLoader(SliceDataset(dataset, 4), 4, collate_fn=keypoint_collate, **options)
    same(found, keypoint_collate([dataset[i] for i in range(4)]))
    assert not torch.equal(found["inputs"][2], before)
    dataset.set_epoch(1, seed=5)
    assert torch.equal(dataset[2]["inputs"], found["inputs"][2])


def test_any_dataset_of_dicts_can_be_mixed_in(make):
    class Foreign(Dataset):
        metainfo = {}

        def __len__(self):
            return 3

        def __getitem__(self, i):
            return {"inputs": torch.zeros(6, 184, 3), "keypoint_mask": torch.zeros(6, 184, dtype=torch.bool),
                    "label": 0, "sample_idx": i}  # fmt: skip

    dataset = ConcatDataset([make(), Foreign()])
    batch = batch_of(dataset, [0, len(dataset) - 1])
    assert batch["inputs"].shape == (2, 6, 184, 3)
    assert batch["sample_idx"].tolist() == [0, len(dataset) - 1]


def test_columns_for_samplers_cover_all_children(make):
    dataset = nested(make)
    labels = dataset.column("label")
    assert labels.tolist() == [dataset.get_cat_ids(i)[0] for i in range(len(dataset))]
