"""Samplers prefetch each clip once, one run before it is returned, and never fail because of it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset

from karsl.cli.main import main
from karsl.datasets import KArSLDataset, TarDataset, keypoint_collate
from karsl.datasets.combine import ConcatDataset, FilterDataset
from karsl.datasets.order import ResumableSampler, samplers
from karsl.io.readahead import FileRanges

PIPELINE = [dict(type="LoadKeypoints"), dict(type="TSNSampleFrames", clip_len=8), dict(type="PackKeypointInputs")]


@pytest.fixture
def prefetched(monkeypatch):
    """Indices of each run that a sampler prefetched."""
    found = []

    def record(dataset, indices):
        found.append(indices.tolist())
        return True

    monkeypatch.setattr(samplers, "prefetch", record)
    return found


def test_each_clip_is_prefetched_once_and_a_run_before_it_is_returned(prefetched):
    returned = []
    for index in ResumableSampler(range(1000), seed=0):
        returned.append(index)
        before = sum(prefetched, [])
        assert before[: len(returned)] == returned
        assert len(before) >= min(1000, len(returned) + 256)
    assert sum(prefetched, []) == returned
    assert [len(run) for run in prefetched] == [512, 256, 232]


def test_a_long_batch_is_prefetched_at_once(prefetched):
    order = ResumableSampler(range(4000), seed=0)
    order.batch_size = 1000
    next(iter(order))
    assert [len(run) for run in prefetched] == [2000]


@pytest.mark.parametrize("left", [0, 100, 256, 257, 900])
def test_a_resumed_pass_prefetches_what_is_left(prefetched, left):
    order = ResumableSampler(range(1000), seed=0)
    whole = list(order)
    del prefetched[:]
    order.skip(left)
    assert list(order) == sum(prefetched, []) == whole[left:]
    order.skip(0)
    del prefetched[:]
    resumed = iter(order)
    next(resumed)
    resumed.load_state_dict(resumed.state_dict() | {"done": left})
    del prefetched[:]
    assert list(resumed) == sum(prefetched, []) == whole[left:]


@pytest.mark.parametrize("answer", [False, RuntimeError("of any kind")])
def test_after_a_run_that_needs_no_reading_the_next_check_is_eight_runs_later(monkeypatch, answer):
    tries = []

    def answer_always(dataset, indices):
        tries.append(len(indices))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(samplers, "prefetch", answer_always)
    order = ResumableSampler(range(5000), seed=0)
    for epoch in range(2):
        order.set_epoch(epoch)
        assert sorted(order) == list(range(5000))
    assert tries == [512, 512, 512] * 2


def test_after_a_pause_prefetching_continues(monkeypatch):
    tries = []

    def record(dataset, indices):
        tries.append(indices.tolist())
        return len(tries) > 1

    monkeypatch.setattr(samplers, "prefetch", record)
    order = ResumableSampler(range(5000), seed=0)
    whole = list(order)
    assert tries[0] == whole[:512]
    assert sum(tries[1:], []) == whole[2048:]


# ---- requested bytes ----


@pytest.fixture(scope="module")
def pack(corpus, tmp_path_factory):
    path = tmp_path_factory.mktemp("prefetch") / "pack"
    assert main(["pack", str(corpus), str(path), "--shard-size", "0.002"]) == 0
    return path


@pytest.fixture
def requested(monkeypatch):
    """Byte ranges requested from the system while nothing is in memory, by file name."""
    found: dict[str, list] = {}

    def record(files):
        for path, ranges in files:
            found.setdefault(Path(path).name, []).extend(ranges)

    monkeypatch.setattr(samplers, "advise", record)
    monkeypatch.setattr(samplers, "is_in_memory", lambda files: False)
    return found


def read_all(dataset) -> None:
    """Prefetch all clips of a dataset, in order, and wait until it is done."""
    assert sorted(ResumableSampler(dataset, shuffle=False, seed=0)) == list(range(len(dataset)))
    for thread in threading.enumerate():
        if thread.name == "prefetch":
            thread.join()


def expected(dataset, indices) -> dict[str, list]:
    out: dict[str, list] = {}
    for index in indices:
        record = dataset.get_data_info(index)
        row = 184 * 4 * 2
        span = 128 + record["frame_start"] * row, record["num_frames"] * row
        out.setdefault(Path(record["keypoint_path"]).name, []).append(span)
    return out


def opened(folder, **kwargs):
    return KArSLDataset("annotations.json", data_root=str(folder), pipeline=PIPELINE, seed=0, **kwargs)


def in_order(found: dict[str, list]) -> dict[str, list]:
    return {name: sorted(spans) for name, spans in found.items()}


def test_the_bytes_of_every_clip_of_a_pack_are_requested(pack, requested):
    dataset = opened(pack)
    read_all(dataset)
    assert len(requested) > 1, "several shards"
    assert in_order(requested) == in_order(expected(dataset, range(len(dataset))))


@pytest.mark.parametrize(
    ("wrap", "indices"),
    [
        (lambda d: Subset(d, [5, 7]), [5, 7]),
        (lambda d: Subset(Subset(d, np.arange(9)), [-1]), [8]),
        (lambda d: d.get_subset(3), [0, 1, 2]),
        (lambda d: FilterDataset(d, dict(labels=[1])), 1),
        (lambda d: ConcatDataset([Subset(d, [4]), d]), None),
    ],
)
def test_only_clips_that_are_returned_are_requested(pack, requested, wrap, indices):
    dataset = opened(pack)
    labels = [dataset.get_data_info(i)["label"] for i in range(len(dataset))]
    if isinstance(indices, int):
        indices = [i for i, label in enumerate(labels) if label == indices]
    read_all(wrap(dataset))
    assert in_order(requested) == in_order(expected(dataset, [4, *range(len(dataset))] if indices is None else indices))


def test_the_bytes_of_mapped_tars_are_requested(corpus, tmp_path, requested):
    assert main(["convert", str(corpus), str(tmp_path / "tars"), "--to", "tar"]) == 0
    dataset = TarDataset(str(tmp_path / "tars"), PIPELINE, cache_dir=str(tmp_path / "cache"), seed=0)
    read_all(dataset)
    record = dataset.get_data_info(3)
    span = record["byte_start"], record["num_frames"] * 184 * 4 * np.dtype(record["dtype"]).itemsize
    assert span in requested[Path(record["keypoint_path"]).name]
    assert sum(map(len, requested.values())) == len(dataset)


def test_clips_in_memory_are_not_requested(pack, requested, monkeypatch):
    monkeypatch.setattr(samplers, "is_in_memory", lambda files: isinstance(files[0], FileRanges))
    read_all(opened(pack))
    assert requested == {}


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not list mapped files")
def test_this_process_opens_no_pack_for_its_workers(pack, tmp_path):
    folder = shutil.copytree(pack, tmp_path / "pack")  # read by no other test
    dataset = opened(folder)
    loader = DataLoader(
        dataset, batch_size=16, sampler=ResumableSampler(dataset, seed=0), collate_fn=keypoint_collate, num_workers=2
    )
    assert sum(len(batch["label"]) for batch in loader) == len(dataset)
    assert str(folder) not in Path("/proc/self/maps").read_text()
    keypoint_collate(dataset.__getitems__([0]))["inputs"]
    assert str(folder) in Path("/proc/self/maps").read_text()


# ---- what cannot be prefetched is no error ----


def test_archives_lists_and_uninitialized_datasets_are_not_prefetched(corpus, pack, requested):
    for dataset in (
        KArSLDataset(data_root=str(corpus), pipeline=PIPELINE),
        opened(pack, serialize_data=False),
        Subset(opened(pack, lazy_init=True, skeleton="karsl_184"), [0, 1]),
        Subset(ConcatDataset([opened(pack)], lazy_init=True), [0, 1]),
        range(300),
    ):
        read_all(dataset)
    assert requested == {}


class Wrapper:
    """Twice as long as the wrapped dataset, otherwise identical."""

    def __init__(self, inner):
        self.inner = inner

    def __len__(self):
        return 2 * len(self.inner)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_unknown_wrappers_and_missing_files_are_left_to_the_reader(pack, tmp_path, requested):
    for dataset in (
        Wrapper(opened(pack)),
        Wrapper(ConcatDataset([opened(pack)])),
        Subset(opened(pack), {0: 3, 1: 4}),
        KArSLDataset(str(pack / "annotations.json"), data_root=str(tmp_path), pipeline=PIPELINE),
    ):
        read_all(dataset)


def test_a_batch_does_not_depend_on_the_kind_of_sampler(pack):
    dataset = opened(pack)
    order = list(ResumableSampler(dataset, seed=0))
    prefetched = next(iter(DataLoader(dataset, 9, sampler=ResumableSampler(dataset, seed=0), collate_fn=keypoint_collate)))
    listed = next(iter(DataLoader(dataset, 9, sampler=order, collate_fn=keypoint_collate)))
    assert torch.equal(prefetched["inputs"], listed["inputs"])
