"""ClassBalancedDataset: compared with MMEngine's, over labels of any kind, and in a run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import BaseDataset
from mmengine.dataset import ClassBalancedDataset as MMEngineClassBalanced
from torch.utils.data import Dataset

from karsl.datasets import KArSLDataset
from karsl.datasets.combine import (
    CacheDataset,
    ClassBalancedDataset,
    ConcatDataset,
    RelabelDataset,
    ShuffleDataset,
    SliceDataset,
)
from karsl.engine import build_runner, load_config
from karsl.errors import ConfigError
from karsl.registry import DATASETS

TRAIN = [dict(type="LoadKeypoints"), dict(type="TSNSampleFrames", clip_len=4, jitter=1.0), dict(type="RandomAffine")]
TRAIN.append(dict(type="PackKeypointInputs"))


class Labeled(BaseDataset):
    """Clips with any number of labels."""

    def __init__(self, labels):
        self.labels = labels
        super().__init__()

    def full_init(self):
        self._fully_initialized = True

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return {"value": i}

    def get_data_info(self, i):
        return {"clip_id": str(i)}

    def get_cat_ids(self, i):
        return self.labels[i]


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=60), st.floats(0.01, 1))
def test_indices_equal_those_of_mmengine(labels, threshold):
    dataset = ClassBalancedDataset(Labeled(labels), threshold)
    expected = MMEngineClassBalanced(Labeled(labels), threshold)
    assert [dataset[i]["value"] for i in range(len(dataset))] == expected.repeat_indices
    assert [dataset.get_cat_ids(i) for i in range(len(dataset))] == [expected.get_cat_ids(i) for i in range(len(expected))]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(0.01, 1))
def test_clips_of_rare_classes_are_repeated_more_often(labels, threshold):
    balanced = ClassBalancedDataset(Labeled([[label] for label in labels]), threshold)
    times = np.bincount([balanced[i]["value"] for i in range(len(balanced))], minlength=len(labels))
    fractions = np.bincount(labels)[labels] / len(labels)
    assert times.tolist() == np.ceil(np.maximum(1, np.sqrt(threshold / fractions))).tolist()
    assert times.min() >= 1


@pytest.fixture(scope="module")
def uneven(corpus):
    """One clip of class 0, all of class 1."""

    def uneven(**kwargs):
        dataset = KArSLDataset(data_root=str(corpus), pipeline=TRAIN, seed=3, **kwargs)
        labels = np.array([dataset.get_cat_ids(i)[0] for i in range(len(dataset))])
        return dataset.get_subset([*np.flatnonzero(labels == 0)[:1], *np.flatnonzero(labels == 1)])

    return uneven


def test_repetitions_of_a_clip_have_different_random_numbers(uneven):
    balanced = ClassBalancedDataset(uneven(), oversample_thr=0.5)
    times = int(np.ceil(np.sqrt(0.5 * len(uneven()))))
    assert len(balanced) == len(uneven()) - 1 + times
    assert [balanced.get_cat_ids(i) for i in range(times + 1)] == [[0]] * times + [[1]]
    assert len({balanced[i]["inputs"].numpy().tobytes() for i in range(times)}) == times
    batch = balanced.__getitems__(range(times)).collate()
    assert len({clip.numpy().tobytes() for clip in batch["inputs"]}) == times
    assert balanced.column("label").tolist() == [0] * times + [1] * (len(balanced) - times)


def test_labels_are_found_in_records_columns_and_wrappers(uneven):
    expected = len(ClassBalancedDataset(uneven(), 0.5))
    for inside in (uneven(serialize_data=False), CacheDataset(uneven()), SliceDataset(uneven(), slice(None, None, -1))):
        assert len(ClassBalancedDataset(inside, 0.5)) == expected
    joined = RelabelDataset(uneven(), aliases=dict.fromkeys(uneven().metainfo["classes"][:2], "one"))
    assert len(ClassBalancedDataset(joined, 0.5)) == len(uneven())


def test_datasets_without_labels_and_thresholds_out_of_range_raise(numbers, uneven):
    class Unlabeled(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return {}

    with pytest.raises(ConfigError, match="Unlabeled has no class labels .* a method get_cat_ids"):
        ClassBalancedDataset(Unlabeled(), 0.1)
    with pytest.raises(ConfigError, match="oversample_thr=0; expected a number above 0"):
        ClassBalancedDataset(numbers(2), 0)
    with pytest.raises(ConfigError, match="ShuffleDataset below gives other clips"):
        ClassBalancedDataset(ShuffleDataset(numbers(2)), 0.1)


def test_a_column_that_no_record_has_raises(uneven):
    both = ConcatDataset([uneven(serialize_data=False), uneven(serialize_data=False)])
    assert both.column("label").tolist() == [both.get_cat_ids(i)[0] for i in range(len(both))]
    with pytest.raises(KeyError, match=r"no column 'age': ConcatDataset: datasets\[0\] \(KArSLDataset\) has no records"):
        both.column("age")


def test_the_type_name_in_a_config_is_the_wrapper_of_karsl_and_the_runner_trains_on_it(corpus, tmp_path):
    leaf = dict(type="KArSLDataset", data_root=str(corpus), pipeline=TRAIN, filter_cfg=dict(split="test"))
    cfg = dict(type="ClassBalancedDataset", dataset=leaf, oversample_thr=0.9)
    assert type(DATASETS.build(cfg)) is ClassBalancedDataset
    (tmp_path / "run.py").write_text(
        f"""
default_scope = "karsl"
model = dict(type="KeypointRecognizer", data_preprocessor=dict(type="KeypointDataPreprocessor"),
    backbone=dict(type="STTransformer", skeleton="auto", in_channels="auto", embed_dims=8, depth=1, num_heads=2),
    cls_head=dict(type="ClassifierHead", num_classes="auto", in_channels=8))
train_dataloader = dict(dataset={cfg!r}, batch_size=16, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="keypoint_collate"))
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01))
work_dir = {str(tmp_path / "run")!r}
"""
    )
    runner = build_runner(load_config(tmp_path / "run.py"))
    runner.train()
    dataset = runner.train_dataloader.dataset
    assert type(dataset) is ClassBalancedDataset
    assert len(dataset) > len(dataset.dataset)
    assert dataset._epoch_state.seed == runner.seed
