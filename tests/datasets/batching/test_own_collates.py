"""A collate function of one's own sees samples as a list, and what it does to them is in the batch."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

from karsl.datasets import KArSLDataset, StreamDataset, device_collate, keypoint_collate
from karsl.datasets.combine import ConcatDataset, MapDataset, SliceDataset

LOAD, PACK = dict(type="LoadKeypoints"), dict(type="PackKeypointInputs")
TRAIN = [LOAD, dict(type="TSNSampleFrames", clip_len=6, jitter=1.0), dict(type="CenterScale"), PACK]
KINDS = {
    "alone": lambda make: make(),
    "slice": lambda make: SliceDataset(make(), 100),
    "map": lambda make: MapDataset(make([LOAD]), TRAIN[1:]),
    "concat": lambda make: ConcatDataset([make(), make()]),
    "stream": lambda make: StreamDataset(make(), seed=3, shuffle=False),
}


@pytest.fixture(params=KINDS)
def first(request, corpus):
    """The first batch of four of a dataset that makes its batches in one pass, for a collate function."""

    def make(pipeline=TRAIN):
        return KArSLDataset(data_root=str(corpus), pipeline=pipeline, seed=3)

    return lambda collate: next(iter(DataLoader(KINDS[request.param](make), 4, collate_fn=collate)))


def relabelled(samples):
    for sample in samples:
        sample["label"] += 1000
        sample["inputs"].add_(100)
    return keypoint_collate(samples)


def shortened(samples):
    for sample in samples:
        sample.update({key: sample[key][:2] for key in ("inputs", "keypoint_mask")})
    return device_collate(samples)


def reordered(samples):
    del samples[1]
    samples.sort(key=lambda sample: -sample["sample_idx"])
    samples.append(samples[0])
    samples[1] = samples[0]
    return keypoint_collate(samples)


def swapped_unseen(samples):
    samples[0] = samples[1]
    return keypoint_collate(samples)


def test_edits_of_samples_are_in_the_batch(first):
    plain, edited, short = first(keypoint_collate), first(relabelled), first(shortened)
    assert edited["label"].tolist() == (plain["label"] + 1000).tolist()
    torch.testing.assert_close(edited["inputs"], plain["inputs"] + 100, rtol=0, atol=1e-4)
    torch.testing.assert_close(short["inputs"], plain["inputs"][:, :2], rtol=0, atol=1e-5)


def test_samples_can_be_left_out_sorted_repeated_and_joined(first):
    assert first(reordered)["sample_idx"].tolist() == [3, 3, 0, 3]
    assert first(swapped_unseen)["sample_idx"].tolist() == [1, 1, 2, 3]
    assert first(lambda samples: keypoint_collate(samples[:1] + samples))["sample_idx"].tolist() == [0, 0, 1, 2, 3]
    assert first(lambda samples: keypoint_collate(samples + [dict(samples[0])]))["label"].shape == (5,)
    assert first(lambda samples: keypoint_collate(samples.copy()))["label"].shape == (4,)
