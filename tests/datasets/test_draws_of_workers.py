"""The same seed gives the same batches, whoever draws them."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from karsl.datasets import KArSLDataset, ResumableSampler, keypoint_collate
from karsl.errors import ConfigError

PIPELINE = [
    dict(type="LoadKeypoints"),
    dict(type="RandomResample"),
    dict(type="TSNSampleFrames", clip_len=8, jitter=1.0),
    dict(type="RandomFlip"),
    dict(type="RandomAffine"),
    dict(type="RandomGaussianNoise"),
    dict(type="FrameDropout"),
]


def shake(results):
    """A user's transform that draws from all three global generators."""
    noise = np.random.rand() + random.random() + float(torch.rand(()))
    return {**results, "keypoint": results["keypoint"] + np.float32(noise)}


def dataset_of(corpus, *extra, **kwargs):
    steps = [*PIPELINE, *extra, dict(type="PackKeypointInputs")]
    return KArSLDataset(data_root=str(corpus), filter_cfg={"split": "test"}, pipeline=steps, **kwargs)


def epochs_of(dataset, *, epochs=2, seed=5, **loader):
    """The inputs of each epoch as one tensor, in dataset order."""
    batches = DataLoader(dataset, batch_size=4, collate_fn=keypoint_collate, **loader)
    out = []
    for epoch in range(epochs):
        if seed is not None:
            dataset.set_epoch(epoch, seed=seed)
        out.append(torch.cat([batch["inputs"] for batch in batches]))
    return out


@pytest.mark.parametrize(
    "loader",
    [
        dict(num_workers=1),
        dict(num_workers=3),
        dict(num_workers=2, persistent_workers=True),
        dict(num_workers=2, multiprocessing_context="spawn"),
        dict(num_workers=2, multiprocessing_context="forkserver", persistent_workers=True),
    ],
    ids=str,
)
def test_batches_are_the_same_for_any_workers_and_start_method(corpus, loader):
    expected = epochs_of(dataset_of(corpus, shake))
    found = epochs_of(dataset_of(corpus, shake), **loader)
    assert not torch.equal(expected[0], expected[1]), "epochs differ"
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a, b)


def test_an_epoch_reaches_persistent_workers_of_a_dataset_that_was_pickled(corpus):
    expected = epochs_of(dataset_of(corpus))
    travelled = pickle.loads(pickle.dumps(dataset_of(corpus)))
    found = epochs_of(travelled, num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_without_a_seed_every_epoch_is_new(corpus, workers):
    """MMEngine seeds the workers alike in each epoch; a dataset that nobody seeded must not repeat itself."""
    torch.manual_seed(0)
    dataset = dataset_of(corpus, shake).get_subset([0] * 8)
    first, second = epochs_of(
        dataset,
        seed=None,
        num_workers=workers,
        worker_init_fn=lambda worker: torch.manual_seed(worker),
    )
    assert not torch.equal(first, second)
    assert len({x.numpy().tobytes() for x in first}) == 8, "one clip, in two batches: workers draw different numbers"


def test_a_seed_of_its_own_makes_a_dataset_repeatable_at_once(corpus):
    a, b = dataset_of(corpus, seed=9), dataset_of(corpus, seed=9)
    assert torch.equal(a[3]["inputs"], b[3]["inputs"])
    assert not torch.equal(a[3]["inputs"], dataset_of(corpus, seed=8)[3]["inputs"])


def test_test_mode_is_repeatable_without_a_seed(corpus):
    dataset = dataset_of(corpus, test_mode=True)
    assert torch.equal(dataset[1]["inputs"], dataset[1]["inputs"])


def test_global_generators_of_the_caller_are_left_as_they_were(corpus):
    dataset = dataset_of(corpus, shake, seed=1)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), np.random.rand(), float(torch.rand(()))
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    dataset[0]
    assert (random.random(), np.random.rand(), float(torch.rand(()))) == expected


def test_a_subset_has_an_epoch_of_its_own(corpus):
    dataset = dataset_of(corpus, seed=2)
    subset = dataset.get_subset(3)
    before = subset[0]["inputs"]
    dataset.set_epoch(7)
    assert torch.equal(subset[0]["inputs"], before)
    assert not torch.equal(dataset[0]["inputs"], before)


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5, "7"])
def test_a_seed_that_cannot_be_kept_is_refused_wherever_it_is_given(corpus, seed):
    dataset = dataset_of(corpus, lazy_init=True)
    sampler = ResumableSampler(range(3))
    for give in (
        lambda: dataset_of(corpus, seed=seed, lazy_init=True),
        lambda: dataset.set_epoch(0, seed=seed),
        lambda: ResumableSampler(range(3), seed=seed),
        lambda: sampler.set_epoch(0, seed=seed),
    ):
        with pytest.raises(ConfigError, match=r"seed=.*; expected a whole number of 0 to 2\*\*63 - 1"):
            give()
    dataset.set_epoch(0, seed=2**63 - 1)
    assert dataset._epoch_state.seed == 2**63 - 1
