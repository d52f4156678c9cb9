"""Batches: stacked tensors, and one sentence if clips do not fit together."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from karsl.datasets import KArSLDataset, LengthBucketSampler, keypoint_collate
from karsl.datasets.transforms import PackKeypointInputs
from karsl.errors import ConfigError
from karsl.registry import FUNCTIONS
from karsl.testing.strategies import make_clip


def packed(frames: int = 4, **options) -> dict:
    return PackKeypointInputs(**options)(make_clip(frames, "msl_226", missing="scattered", seed=frames))


def test_samples_are_stacked_key_by_key():
    samples = [
        {"inputs": torch.full((1, 2, 3), x), "keypoint_mask": torch.tensor([[seen, True]]), "label": n, "sample_idx": n + 5}
        for n, x, seen in ((1, 1.0, False), (2, 2.0, True))
    ]
    batch = keypoint_collate(samples)
    assert list(batch) == ["inputs", "keypoint_mask", "label", "sample_idx"]
    assert batch["inputs"].tolist() == [[[[1] * 3] * 2], [[[2] * 3] * 2]]
    assert batch["keypoint_mask"].tolist() == [[[False, True]], [[True, True]]]
    assert batch["label"].tolist() == [1, 2]
    assert batch["sample_idx"].tolist() == [6, 7]
    assert [v.dtype for v in batch.values()] == [torch.float32, torch.bool, torch.int64, torch.int64]


def test_packed_clips_become_a_contiguous_batch():
    batch = keypoint_collate([packed(), packed(), packed()])
    assert batch["inputs"].shape == (3, 4, 67, 3)
    assert batch["inputs"].is_contiguous()
    assert torch.isfinite(batch["inputs"]).all()


def test_a_batch_of_one_keeps_its_first_axis():
    assert keypoint_collate([packed()])["label"].shape == (1,)


def test_other_keys_become_lists():
    batch = keypoint_collate([packed(meta_keys=("clip_id",)), packed(meta_keys=("clip_id",))])
    assert batch["clip_id"] == ["scattered-4-4"] * 2


def test_clips_of_different_lengths_name_the_step_that_would_help():
    with pytest.raises(ConfigError, match=r"\(4, 67, 3\) and \(6, 67, 3\); end .*TSNSampleFrames.*PadTo"):
        keypoint_collate([packed(6), packed(4)])


def test_a_key_that_only_some_samples_have_is_named_and_not_dropped():
    lacking = packed()
    del lacking["label"]
    for samples in ([packed(), lacking], [lacking, packed()]):
        with pytest.raises(ConfigError, match=r"only some samples of a batch have \['label'\]"):
            keypoint_collate(samples)


@pytest.mark.parametrize("num_clips", [1, 2])
def test_samples_that_are_not_packed_name_the_step_that_is_missing(write_clips, num_clips):
    root = write_clips({"01-train/0001.npz": {"a": 4, "b": 4}})
    dataset = KArSLDataset(data_root=str(root), pipeline=[dict(type="LoadKeypoints")])
    remedy = r"no 'inputs'; end the pipeline with dict\(type='PackKeypointInputs'\)"
    with pytest.raises(ConfigError, match=rf"a sample has \['clip_id', .*'keypoint', .*\], {remedy}"):
        next(iter(DataLoader(dataset, num_clips, collate_fn=keypoint_collate)))
    with pytest.raises(ConfigError, match=f"a sample is a ndarray, {remedy}"):
        keypoint_collate([np.zeros((4, 184, 3))])


def test_an_empty_batch_is_rejected():
    with pytest.raises(ConfigError, match="keypoint_collate: no samples"):
        keypoint_collate([])


def test_configs_find_it_by_name():
    assert FUNCTIONS.get("keypoint_collate") is keypoint_collate


def _clip(length: int) -> dict:
    return {
        "inputs": torch.full((length, 2, 3), 1.0),
        "keypoint_mask": torch.ones(length, 2, dtype=torch.bool),
        "label": length,
    }


@pytest.mark.parametrize(("pad", "frames"), [(True, 3), (4, 4)])
def test_clips_of_different_lengths_are_padded_with_frames_without_keypoints(pad, frames):
    batch = keypoint_collate([_clip(3), _clip(1)], pad=pad)
    assert batch["inputs"].shape == (2, frames, 2, 3)
    assert batch["inputs"][1, :, 0, 0].tolist() == [1.0] + [0.0] * (frames - 1)
    assert batch["keypoint_mask"][:, :, 1].sum(dim=1).tolist() == batch["num_frames"].tolist() == [3, 1]
    assert batch["keypoint_mask"].dtype == torch.bool
    assert batch["label"].tolist() == [3, 1]


def test_padding_names_what_it_cannot_use():
    with pytest.raises(ConfigError, match="keypoint_collate: pad=-1"):
        keypoint_collate([_clip(3)], pad=-1)
    with pytest.raises(ConfigError, match=r"or pad each batch with collate_fn=dict\(type='keypoint_collate', pad=True\)"):
        keypoint_collate([_clip(3), _clip(1)])
    other = {**_clip(3), "inputs": torch.zeros(3, 5, 3)}
    with pytest.raises(ConfigError, match=r"\(3, 2, 3\) and \(3, 5, 3\); give all clips the same keypoints"):
        keypoint_collate([_clip(3), other], pad=True)


def test_whole_clips_in_batches_of_similar_length_are_padded_to_the_longest(corpus):
    pipeline = [dict(type="LoadKeypoints"), dict(type="PackKeypointInputs")]
    dataset = KArSLDataset(data_root=str(corpus), pipeline=pipeline, index_cache=None)
    sampler = LengthBucketSampler(dataset, batch_size=8, seed=0)
    lengths = dataset.column("num_frames")
    for batch in DataLoader(dataset, 8, sampler=sampler, collate_fn=partial(keypoint_collate, pad=True)):
        assert batch["num_frames"].tolist() == lengths[batch["sample_idx"].numpy()].tolist()
        assert batch["inputs"].shape[1] == batch["num_frames"].max()
