"""Numbers are shared with workers, and with no other process, for less than a file descriptor each."""

import copy
import json
import os
import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from torch.utils.data import DataLoader, Dataset

from karsl.datasets import KArSLDataset
from karsl.datasets.shared_numbers import SharedNumbers

SCRIPT = Path(__file__).with_name("ranks_of_one_object.py")


class Counting(Dataset):
    def __init__(self):
        self.numbers = SharedNumbers([0, 40])

    def __len__(self):
        return 3

    def __getitem__(self, idx):
        self.numbers[0] += 1
        return self.numbers[1] + idx


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_ranks_that_got_the_same_objects_read_each_clip_once_and_have_epochs_of_their_own(corpus, tmp_path, method):
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
    for epoch, (mine, others) in enumerate(zip(first["clips"], second["clips"], strict=True)):
        assert sorted(mine + others) == list(range(84)), f"epoch {epoch}"
        assert len(mine) == len(others) == 42
    assert first["sums"][0] == second["sums"][0] == first["sums"][1], "both draw epoch 0, and the first stays there"
    assert second["sums"][1] != first["sums"][1], "the second goes to epoch 1"


@pytest.mark.parametrize("travelled", [False, True])
def test_a_process_and_its_workers_see_what_the_other_writes(travelled):
    data = Counting()
    data = pickle.loads(pickle.dumps(data)) if travelled else data
    loader = DataLoader(data, num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    found = []
    for base in (40, 50):
        data.numbers[1] = base
        found += [int(batch) for batch in loader]
    assert found == [40, 41, 42, 50, 51, 52]
    assert data.numbers[0] == 6


def test_a_copy_has_the_same_numbers_and_is_another():
    numbers = SharedNumbers([1, 2])
    for other in (copy.deepcopy(numbers), pickle.loads(pickle.dumps(numbers))):
        numbers[0] = 9
        assert other.tolist() == [1, 2]
        numbers[0] = 1


def test_a_thousand_numbers_cost_a_descriptor_or_two_and_are_given_back():
    def held() -> int:
        """Descriptors of torch's shared memory; those of other threads come and go."""
        return sum("/torch_" in target(fd) for fd in Path("/proc/self/fd").iterdir())

    def target(fd) -> str:
        with suppress(FileNotFoundError):
            return os.readlink(fd)
        return ""

    before = held()
    kept = [SharedNumbers([place]) for place in range(3000)]
    assert before < held() <= before + 4
    assert [numbers[0] for numbers in kept] == list(range(3000))
    del kept
    assert held() <= before + 1


def test_seven_hundred_subsets_fit_under_the_usual_limit_of_open_files(corpus):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    dataset = KArSLDataset(data_root=str(corpus), seed=1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    try:
        subsets = [dataset.get_subset([place % 84]) for place in range(700)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    subsets[0].set_epoch(5)
    assert [subset._epoch_state.epoch for subset in subsets[:2]] == [5, 0]
