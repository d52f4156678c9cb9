"""Choosing clips through wrappers."""

from __future__ import annotations

import pytest
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from torch.utils.data import Subset, TensorDataset

from karsl.datasets import KArSLDataset
from karsl.errors import ConfigError
from karsl.testing import make_corpus
from karsl.visualization.source import ClipFilter, choose_clips, clip_stages, find_clip

PIPELINE = [{"type": "LoadKeypoints"}, {"type": "TSNSampleFrames", "clip_len": 8}, {"type": "PackKeypointInputs"}]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    return str(make_corpus(tmp_path_factory.mktemp("source"), signs=3, signers=("01", "02"), train_clips=3, test_clips=1))


@pytest.fixture
def dataset(root) -> KArSLDataset:
    return KArSLDataset(data_root=root, pipeline=PIPELINE, seed=0)


def ids(places) -> list[str]:
    return [place.record["clip_id"] for place in places]


def test_every_wrapper_is_looked_through(root, dataset):
    other = KArSLDataset(data_root=root, pipeline=PIPELINE, filter_cfg={"split": "test"}, seed=0)
    both = ConcatDataset([dataset, other])
    assert find_clip(both, len(dataset) + 1) == (other, 1)
    assert find_clip(both, -1) == (other, len(other) - 1)
    assert find_clip(RepeatDataset(dataset, times=3), len(dataset) + 2) == (dataset, 2)
    assert find_clip(ClassBalancedDataset(dataset, oversample_thr=1e-3), 4) == (dataset, 4)
    assert find_clip(Subset(both, [5, 0]), 0) == (dataset, 5)
    assert find_clip(Subset(RepeatDataset(dataset, times=2), [5, 30]), 1) == (dataset, 6)


def test_repeated_clips_are_chosen_once(dataset):
    assert ids(choose_clips(RepeatDataset(dataset, times=4), count=0)) == ids(choose_clips(dataset, count=0))


def test_a_choice_is_spread_evenly_unless_a_seed_draws_it(dataset):
    everything = ids(choose_clips(dataset, count=0))
    assert len(everything) == 24
    assert ids(choose_clips(dataset, count=3)) == [everything[i] for i in (4, 12, 20)]
    drawn = [ids(choose_clips(dataset, count=5, seed=s)) for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 5


def test_filters_read_numbers_english_and_arabic(dataset):
    def signs(*words: str) -> set[int]:
        return {p.record["sign"] for p in choose_clips(dataset, count=0, keep=ClipFilter(signs=words))}

    assert signs("2") == {2}
    assert signs("0002", "YES") == {2, 3}
    assert signs("شكر") == {2}
    kept = choose_clips(dataset, count=0, keep=ClipFilter(signers=("02",), splits=("test",)))
    assert {(p.record["signer"], p.record["split"]) for p in kept} == {("02", "test")}


def test_orders(dataset):
    lengths = [p.record["num_frames"] for p in choose_clips(dataset, count=0, sort="length")]
    assert lengths == sorted(lengths)
    by_sign = [p.record["sign"] for p in choose_clips(dataset, count=0, sort="sign")]
    assert by_sign == sorted(by_sign)
    assert [p.index for p in choose_clips(dataset, count=1, indices=[-1, 0])] == [23, 0]


def test_stages_begin_with_the_loaded_clip_and_end_before_packing(dataset):
    (place,) = choose_clips(dataset, count=1)
    assert [name for name, _ in clip_stages(place)] == ["LoadKeypoints", "TSNSampleFrames"]


def test_what_cannot_be_browsed_is_said_in_one_sentence(root, dataset):
    import torch

    with pytest.raises(ConfigError, match="TensorDataset is neither a KeypointDataset nor a wrapper"):
        find_clip(TensorDataset(torch.zeros(3)), 0)
    with pytest.raises(ConfigError, match="index 24 is outside a dataset of 24 clips"):
        choose_clips(dataset, count=1, indices=[24])
    with pytest.raises(
        ConfigError, match="no clip of sign 99 and signer 01 among 24 clips of signs 1, 2, 3; signers 01, 02"
    ):
        choose_clips(dataset, count=1, keep=ClipFilter(signs=("99",), signers=("01",)))
    with pytest.raises(ConfigError, match="sort='name'"):
        choose_clips(dataset, count=1, sort="name")
    bare = KArSLDataset(data_root=root)
    with pytest.raises(ConfigError, match="loads no keypoints"):
        clip_stages(choose_clips(bare, count=1)[0])
