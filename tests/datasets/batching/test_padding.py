"""Padded batches that are made in one pass equal samples that are made one by one and padded, for any dataset and loader."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from karsl.cli.main import main
from karsl.datasets import KArSLDataset, LengthBucketSampler, StreamDataset, keypoint_collate
from karsl.datasets.combine import ConcatDataset, InterleaveDataset, MapDataset, SliceDataset

LOAD, PACK = dict(type="LoadKeypoints"), dict(type="PackKeypointInputs", with_score=True)
MOVE = [dict(type="RandomResample", speed=(0.5, 2.0)), dict(type="RandomFlip"), dict(type="CenterScale")]
WHOLE = [LOAD, *MOVE, PACK]
KINDS = {
    "alone": lambda make, pack: make(),
    "pack": lambda make, pack: pack(),
    "mixed files": lambda make, pack: ConcatDataset([SliceDataset(make(), slice(3, None)), pack()]),
    "interleaved": lambda make, pack: InterleaveDataset([pack(), make()]),
    "mapped": lambda make, pack: MapDataset(pack([LOAD]), WHOLE[1:]),
}


@pytest.fixture(scope="module")
def packed(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("padding") / "pack"
    assert main(["pack", str(corpus), str(folder)]) == 0
    return folder


@pytest.fixture
def make(corpus):
    return lambda pipeline=WHOLE: KArSLDataset(data_root=str(corpus), pipeline=pipeline, seed=3, index_cache=None)


@pytest.fixture
def pack(packed):
    options = dict(data_root=str(packed), seed=3, index_cache=None)
    return lambda pipeline=WHOLE: KArSLDataset("annotations.json", pipeline=pipeline, **options)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("kind", KINDS)
def test_a_padded_batch_is_its_samples_padded_and_stacked(make, pack, kind):
    dataset = KINDS[kind](make, pack)
    indices = [7, 0, len(dataset) - 1, 7, 12, 30]
    for pad in (True, 16):
        made = dataset.__getitems__(indices)
        batch = made.collate_padded(pad)
        assert same(batch, keypoint_collate(dataset.__getitems__(indices), pad=pad))
        alone = keypoint_collate([dataset[i] for i in indices], pad=pad)
        assert batch.keys() == alone.keys()
        assert batch["num_frames"].unique().numel() > 1
        torch.testing.assert_close(batch["inputs"], alone["inputs"], rtol=0, atol=1e-5)
        assert all(torch.equal(batch[key], alone[key]) for key in batch.keys() - {"inputs"})
        assert batch["inputs"].shape[1] % pad == 0
        assert not any(clip[length:].any() for clip, length in zip(batch["inputs"], batch["num_frames"], strict=True))


@settings(max_examples=40)
@given(st.lists(st.integers(0, 59), min_size=1, max_size=9), st.integers(1, 40), st.sampled_from((0.0, -1.0)))
def test_any_padded_batch_has_the_bits_of_its_own_samples(packed, indices, pad, fill):
    pipeline = [*WHOLE[:-1], dict(type="PackKeypointInputs", fill=fill)]
    dataset = KArSLDataset("annotations.json", data_root=str(packed), pipeline=pipeline, seed=3)
    written, samples = dataset.__getitems__(indices), dataset.__getitems__(indices)
    assert same(written.collate_padded(pad), keypoint_collate(list(samples), pad=pad))


def test_a_padded_batch_of_one_length_has_that_length(pack):
    dataset = pack([LOAD, dict(type="TSNSampleFrames", clip_len=6), PACK])
    batch = keypoint_collate(dataset.__getitems__([0, 1, 2]), pad=True)
    plain = keypoint_collate(dataset.__getitems__([0, 1, 2]))
    assert same(batch, plain | {"num_frames": torch.tensor([6, 6, 6])})


def test_memory_of_an_earlier_batch_is_not_in_the_padding(pack):
    dataset = pack()
    longest = int(np.argmax(dataset.column("num_frames")))
    for indices in ([longest] * 4, [longest, 0, 1, 2]):
        for _ in range(3):  # the memory of a batch is used again
            batch = keypoint_collate(dataset.__getitems__(indices), pad=True)
            padded = [clip[length:] for clip, length in zip(batch["inputs"], batch["num_frames"], strict=True)]
            assert not any(frames.any() for frames in padded)
            assert batch["keypoint_mask"].any(-1).sum(-1).le(batch["num_frames"]).all()
            batch["inputs"].fill_(7.0)
            batch["keypoint_mask"].fill_(True)
            del batch, padded


def test_padded_batches_do_not_depend_on_workers(pack):
    def epoch(workers):
        dataset, collate = pack(), partial(keypoint_collate, pad=8)
        sampler = LengthBucketSampler(dataset, batch_size=8, seed=0)
        return list(DataLoader(dataset, 8, sampler=sampler, collate_fn=collate, num_workers=workers))

    expected = epoch(0)
    assert len({batch["inputs"].shape for batch in expected}) > 1
    assert all(same(a, b) for a, b in zip(epoch(2), expected, strict=True))


def test_samples_of_a_stream_are_padded_in_one_pass(packed, pack):
    stream = StreamDataset(str(packed), WHOLE, seed=3, shuffle=False, index_cache=None)
    batch = next(iter(DataLoader(stream, 5, collate_fn=partial(keypoint_collate, pad=True))))
    assert same(batch, keypoint_collate(pack().__getitems__(range(5)), pad=True))


def test_a_step_that_is_not_deferred_is_padded_sample_by_sample(pack):
    dataset = pack([LOAD, *MOVE, lambda results: results, PACK])
    expected = keypoint_collate(pack().__getitems__([0, 1, 2]), pad=True)
    assert same(keypoint_collate(dataset.__getitems__([0, 1, 2]), pad=True), expected)
