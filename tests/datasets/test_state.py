"""State shared with workers: the same seed gives the same batches, and integers are seen by workers only."""

from __future__ import annotations

import copy
import json
import os
import pickle
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from karsl.datasets import KArSLDataset, ResumableSampler, keypoint_collate
from karsl.datasets.state import SharedInts
from karsl.errors import ConfigError

SCRIPT = Path(__file__).with_name("ranks_of_one_object.py")
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
    """A user's transform that uses all three global generators."""
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
    pickled = pickle.loads(pickle.dumps(dataset_of(corpus)))
    found = epochs_of(pickled, num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_without_a_seed_every_epoch_is_new(corpus, workers):
    """MMEngine seeds the workers alike in each epoch; a dataset without a seed must not repeat itself."""
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


def test_a_seed_makes_a_dataset_repeatable_at_once(corpus):
    a, b = dataset_of(corpus, seed=9), dataset_of(corpus, seed=9)
    assert torch.equal(a[3]["inputs"], b[3]["inputs"])
    assert not torch.equal(a[3]["inputs"], dataset_of(corpus, seed=8)[3]["inputs"])


def test_test_mode_is_repeatable_without_a_seed(corpus):
    dataset = dataset_of(corpus, test_mode=True)
    assert torch.equal(dataset[1]["inputs"], dataset[1]["inputs"])


def test_global_generators_of_the_caller_are_restored(corpus):
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


def test_a_subset_has_its_own_epoch(corpus):
    dataset = dataset_of(corpus, seed=2)
    subset = dataset.get_subset(3)
    before = subset[0]["inputs"]
    dataset.set_epoch(7)
    assert torch.equal(subset[0]["inputs"], before)
    assert not torch.equal(dataset[0]["inputs"], before)


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5, "7"])
def test_an_invalid_seed_is_rejected_everywhere(corpus, seed):
    dataset = dataset_of(corpus, lazy_init=True)
    sampler = ResumableSampler(range(3))
    for pass_seed in (
        lambda: dataset_of(corpus, seed=seed, lazy_init=True),
        lambda: dataset.set_epoch(0, seed=seed),
        lambda: ResumableSampler(range(3), seed=seed),
        lambda: sampler.set_epoch(0, seed=seed),
    ):
        with pytest.raises(ConfigError, match=r"seed=.*; expected an integer from 0 to 2\*\*63 - 1"):
            pass_seed()
    dataset.set_epoch(0, seed=2**63 - 1)
    assert dataset._epoch_state.seed == 2**63 - 1


class Counting(Dataset):
    def __init__(self):
        self.numbers = SharedInts([0, 40])

    def __len__(self):
        return 3

    def __getitem__(self, idx):
        self.numbers[0] += 1
        return self.numbers[1] + idx


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_ranks_that_received_the_same_objects_read_each_clip_once_and_have_their_own_epochs(corpus, tmp_path, method):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), method, str(corpus), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    for epoch, (one, other) in enumerate(zip(first["clips"], second["clips"], strict=True)):
        assert sorted(one + other) == list(range(84)), f"epoch {epoch}"
        assert len(one) == len(other) == 42
    assert first["sums"][0] == second["sums"][0] == first["sums"][1], "both draw epoch 0, and the first stays there"
    assert second["sums"][1] != first["sums"][1], "the second goes to epoch 1"


@pytest.mark.parametrize("pickled", [False, True])
def test_a_process_and_its_workers_see_what_the_other_writes(pickled):
    data = Counting()
    data = pickle.loads(pickle.dumps(data)) if pickled else data
    loader = DataLoader(data, num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    found = []
    for base in (40, 50):
        data.numbers[1] = base
        found += [int(batch) for batch in loader]
    assert found == [40, 41, 42, 50, 51, 52]
    assert data.numbers[0] == 6


def test_a_copy_has_the_same_numbers_and_is_independent():
    numbers = SharedInts([1, 2])
    for other in (copy.deepcopy(numbers), pickle.loads(pickle.dumps(numbers))):
        numbers[0] = 9
        assert other.tolist() == [1, 2]
        numbers[0] = 1


def test_a_thousand_objects_cost_a_descriptor_or_two_and_release_them():
    def num_open() -> int:
        """Count descriptors of torch's shared memory; those of other threads vary."""
        return sum("/torch_" in target(fd) for fd in Path("/proc/self/fd").iterdir())

    def target(fd) -> str:
        with suppress(FileNotFoundError):
            return os.readlink(fd)
        return ""

    before = num_open()
    objects = [SharedInts([number]) for number in range(3000)]
    assert before < num_open() <= before + 4
    assert [numbers[0] for numbers in objects] == list(range(3000))
    del objects
    assert num_open() <= before + 1


def test_seven_hundred_subsets_fit_under_the_usual_limit_of_open_files(corpus):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    dataset = KArSLDataset(data_root=str(corpus), seed=1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    try:
        subsets = [dataset.get_subset([index % 84]) for index in range(700)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    subsets[0].set_epoch(5)
    assert [subset._epoch_state.epoch for subset in subsets[:2]] == [5, 0]


@pytest.fixture
def no_shared_memory(monkeypatch):
    """As with no `/dev/shm`, or a full one: the error of torch."""

    def fail(size: int) -> None:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.UntypedStorage, "_new_shared", fail)
    monkeypatch.setattr("karsl.datasets.state._Block.latest", None)


@pytest.mark.usefixtures("no_shared_memory")
def test_without_shared_memory_a_dataset_works_and_a_warning_gives_the_remedy(corpus, monkeypatch):
    warned: list[str] = []
    monkeypatch.setattr("karsl.datasets.state.print_log", lambda text, **_: warned.append(text))
    dataset = dataset_of(corpus, seed=9)
    dataset.set_epoch(3)
    assert dataset[3]["inputs"].shape == (8, 184, 3)
    assert dataset._epoch_state.epoch == 3
    assert ["use num_workers=0" in text for text in warned] == [True]


@pytest.mark.usefixtures("no_shared_memory")
def test_without_shared_memory_forked_processes_see_what_the_other_writes():
    numbers = SharedInts([5])
    pid = os.fork()
    if pid == 0:
        numbers._block.owner = os.getpid()  # as a worker, which makes no copy
        numbers[0] = 7
        os._exit(0)
    os.waitpid(pid, 0)
    assert numbers[0] == 7


@pytest.mark.usefixtures("no_shared_memory")
def test_without_shared_memory_a_dataset_for_started_workers_is_one_sentence(corpus):
    loader = DataLoader(dataset_of(corpus, seed=9), num_workers=1, multiprocessing_context="spawn")
    with pytest.raises(ConfigError, match="no shared memory for the seed and epoch of workers; enlarge /dev/shm"):
        next(iter(loader))
