"""Selection of clips through dataset wrappers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from torch.utils.data import Subset, TensorDataset

from karsl.datasets import KArSLDataset, KeypointDataset
from karsl.datasets.combine import ConcatDataset as JoinDataset
from karsl.datasets.combine import MapDataset
from karsl.errors import ConfigError
from karsl.testing import make_corpus
from karsl.visualization.clips.select import ClipFilter, clip_stages, select_clips, shown_stages
from karsl.visualization.clips.sources import as_clips, find_clips

PIPELINE = [{"type": "LoadKeypoints"}, {"type": "TSNSampleFrames", "clip_len": 8}, {"type": "PackKeypointInputs"}]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    return str(make_corpus(tmp_path_factory.mktemp("source"), signs=3, signers=("01", "02"), train_clips=3, test_clips=1))


@pytest.fixture
def dataset(root) -> KArSLDataset:
    return KArSLDataset(data_root=root, pipeline=PIPELINE, seed=0)


def find_clip(dataset, index: int) -> tuple:
    ((_, clip),) = find_clips(dataset, [index])
    return clip.dataset, clip.index


def ids(clips) -> list[str]:
    return [clip.record["clip_id"] for clip in clips]


def test_every_wrapper_is_resolved(root, dataset):
    other = KArSLDataset(data_root=root, pipeline=PIPELINE, filter_cfg={"split": "test"}, seed=0)
    both = ConcatDataset([dataset, other])
    assert find_clip(both, len(dataset) + 1) == (other, 1)
    assert find_clip(both, -1) == (other, len(other) - 1)
    assert find_clip(RepeatDataset(dataset, times=3), len(dataset) + 2) == (dataset, 2)
    assert find_clip(ClassBalancedDataset(dataset, oversample_thr=1e-3), 4) == (dataset, 4)
    assert find_clip(Subset(both, [5, 0]), 0) == (dataset, 5)
    assert find_clip(Subset(RepeatDataset(dataset, times=2), [5, 30]), 1) == (dataset, 6)


def test_repeated_clips_are_selected_once(dataset):
    assert ids(select_clips(RepeatDataset(dataset, times=4), count=0)) == ids(select_clips(dataset, count=0))


def test_selection_is_evenly_spread_or_random_with_a_seed(dataset):
    everything = ids(select_clips(dataset, count=0))
    assert len(everything) == 24
    assert ids(select_clips(dataset, count=3)) == [everything[i] for i in (4, 12, 20)]
    drawn = [ids(select_clips(dataset, count=5, seed=s)) for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 5


def test_filters_accept_numbers_english_and_arabic(dataset):
    def signs(*words: str) -> set[int]:
        return {p.record["sign"] for p in select_clips(dataset, count=0, clip_filter=ClipFilter(signs=words))}

    assert signs("2") == {2}
    assert signs("0002", "YES") == {2, 3}
    assert signs("شكر") == {2}
    kept = select_clips(dataset, count=0, clip_filter=ClipFilter(signers=("02",), splits=("test",)))
    assert {(p.record["signer"], p.record["split"]) for p in kept} == {("02", "test")}
    assert kept == select_clips(dataset, count=0, clip_filter=ClipFilter(signers=("2",), splits=("test",)))


def test_orders(dataset):
    lengths = [p.record["num_frames"] for p in select_clips(dataset, count=0, sort="length")]
    assert lengths == sorted(lengths)
    by_sign = [p.record["sign"] for p in select_clips(dataset, count=0, sort="sign")]
    assert by_sign == sorted(by_sign)
    assert [p.index for p in select_clips(dataset, count=1, indices=[-1, 0])] == [23, 0]


def test_stages_start_with_the_loaded_clip_and_end_before_packing(dataset):
    (clip,) = select_clips(dataset, count=1)
    assert [name for name, _ in clip_stages(clip)] == ["LoadKeypoints", "TSNSampleFrames"]


def test_errors_are_one_sentence(root, dataset):
    with pytest.raises(ConfigError, match="TensorDataset is neither a KeypointDataset nor a wrapper"):
        find_clip(TensorDataset(torch.zeros(3)), 0)
    with pytest.raises(ConfigError, match="index 24 is outside a dataset of 24 clips"):
        select_clips(dataset, count=1, indices=[24])
    with pytest.raises(
        ConfigError, match="no clip of sign 99 and signer 01 among 24 clips of signs 1, 2, 3; signers 01, 02"
    ):
        select_clips(dataset, count=1, clip_filter=ClipFilter(signs=("99",), signers=("01",)))
    with pytest.raises(ConfigError, match="sort='name'"):
        select_clips(dataset, count=1, sort="name")
    bare = KArSLDataset(data_root=root)
    with pytest.raises(ConfigError, match="loads no keypoints"):
        clip_stages(select_clips(bare, count=1)[0])


def test_wrappers_are_resolved_with_their_transforms_and_labels(root):
    loaded = [{"type": "LoadKeypoints"}]
    parts = [
        KArSLDataset(data_root=root, pipeline=loaded, filter_cfg={"signs": signs}, seed=0, index_cache=None)
        for signs in ((1, 2), (2, 3))
    ]
    union = MapDataset(JoinDataset(parts, labels="union"), [{"type": "TSNSampleFrames", "clip_len": 8}])
    selected = select_clips(RepeatDataset(union, times=2), count=0)
    assert len(selected) == len(union) == 32
    assert {p.dataset for p in selected} == set(parts)
    for clip in selected:
        stages = clip_stages(clip)
        assert [name for name, _ in stages] == ["LoadKeypoints", "TSNSampleFrames"]
        assert {results["label"] for _, results in stages} == {clip.record["label"]} == {clip.record["sign"] - 1}
        assert clip.metainfo["classes"][clip.record["label"]] == union.metainfo["classes"][clip.record["label"]]
        assert clip.metainfo["classes_ar"][clip.record["label"]]  # a mix drops what not every corpus has; here all have
    assert {p.record["sign"] for p in select_clips(union, count=0, clip_filter=ClipFilter(signs=("شكر",)))} == {2}


def test_augmented_views_differ_and_the_first_is_that_of_training(dataset):
    flips = KArSLDataset(data_root=dataset.data_root, pipeline=[*PIPELINE[:2], {"type": "RandomAffine"}], seed=0)
    (clip,) = select_clips(flips, count=1)
    stages, others = shown_stages(clip, "pipeline", augmentations=3)
    assert [name for name, _ in stages] == ["LoadKeypoints", "1. TSNSampleFrames", "2. RandomAffine"]
    ends = [results["keypoint"] for _, results in (stages[-1], *others)]
    assert len({points.tobytes() for points in ends}) == 3
    again = shown_stages(clip, "transformed", augmentations=3)
    np.testing.assert_array_equal(again[0][0][1]["keypoint"], ends[0])
    with pytest.raises(ConfigError, match="mode='all'"):
        shown_stages(clip, "all")


def test_clips_per_sign_are_together(dataset):
    selected = select_clips(dataset, count=0, per_sign=2)
    assert [p.record["sign"] for p in selected] == [1, 1, 2, 2, 3, 3]


def test_third_party_datasets_are_shown_as_samples():
    sample = {"inputs": torch.ones(5, 42, 2), "keypoint_mask": torch.ones(5, 42, dtype=torch.bool), "label": torch.tensor(1)}
    others = [sample, sample]
    (clip,) = select_clips(ListOfSamples(others), count=1)
    (stage,) = clip_stages(clip)
    assert (stage[0], stage[1]["skeleton"].name, stage[1]["label"]) == ("sample", "hand_42", 1)
    head = as_clips(iter(others), 1)
    assert (len(head), head.stages(0)[0][1]["keypoint"].shape) == (1, (5, 42, 2))


class ListOfSamples(torch.utils.data.Dataset):
    def __init__(self, samples: list) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict:
        return self.samples[index]


def test_a_clip_in_several_splits_is_selected_by_each(tmp_path):
    records = [("a", ["xsub_train", "xview_val"]), ("b", "xsub_train"), ("c", ["xsub_val"])]
    data_list = [{"clip_id": clip, "keypoint_path": f"{clip}.npy", "label": 0, "split": split} for clip, split in records]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"metainfo": {"classes": ["x"], "skeleton": "hand_42"}, "data_list": data_list}))
    dataset = KeypointDataset(str(path), index_cache=None)
    for split, clips in (("xsub_train", ["a", "b"]), ("xview_val", ["a"])):
        assert ids(select_clips(dataset, count=9, clip_filter=ClipFilter(splits=(split,)))) == clips
