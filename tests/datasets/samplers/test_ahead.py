"""What a sampler has read from the disk: each clip once, a run before it is given, and never a reason to fail."""

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
from karsl.datasets.samplers import ResumableSampler, ahead
from karsl.io.readahead import FileRanges

PIPELINE = [dict(type="LoadKeypoints"), dict(type="TSNSampleFrames", clip_len=8), dict(type="PackKeypointInputs")]


@pytest.fixture
def told(monkeypatch):
    """Places of each run that a sampler told of."""
    found = []

    def note(dataset, places):
        found.append(places.tolist())
        return True

    monkeypatch.setattr(ahead, "read_ahead", note)
    return found


def test_each_clip_is_told_of_once_and_a_run_before_it_is_given(told):
    given = []
    for place in ResumableSampler(range(1000), seed=0):
        given.append(place)
        before = sum(told, [])
        assert before[: len(given)] == given
        assert len(before) >= min(1000, len(given) + 256)
    assert sum(told, []) == given
    assert [len(run) for run in told] == [512, 256, 232]


def test_a_long_batch_is_told_of_as_a_whole(told):
    order = ResumableSampler(range(4000), seed=0)
    order.batch_size = 1000
    next(iter(order))
    assert [len(run) for run in told] == [2000]


@pytest.mark.parametrize("left", [0, 100, 256, 257, 900])
def test_a_pass_that_goes_on_tells_of_what_is_left(told, left):
    order = ResumableSampler(range(1000), seed=0)
    whole = list(order)
    del told[:]
    order.skip(left)
    assert list(order) == sum(told, []) == whole[left:]
    order.skip(0)
    del told[:]
    going = iter(order)
    next(going)
    going.load_state_dict(going.state_dict() | {"done": left})
    del told[:]
    assert list(going) == sum(told, []) == whole[left:]


@pytest.mark.parametrize("answer", [False, RuntimeError("of any kind")])
def test_where_nothing_has_to_be_read_the_next_look_is_eight_runs_later(monkeypatch, answer):
    tries = []

    def refuse(dataset, places):
        tries.append(len(places))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(ahead, "read_ahead", refuse)
    order = ResumableSampler(range(5000), seed=0)
    for epoch in range(2):
        order.set_epoch(epoch)
        assert sorted(order) == list(range(5000))
    assert tries == [512, 512, 512] * 2


def test_after_a_quiet_time_it_is_told_again(monkeypatch):
    tries = []

    def note(dataset, places):
        tries.append(places.tolist())
        return len(tries) > 1

    monkeypatch.setattr(ahead, "read_ahead", note)
    order = ResumableSampler(range(5000), seed=0)
    whole = list(order)
    assert tries[0] == whole[:512]
    assert sum(tries[1:], []) == whole[2048:]


# ---- which bytes are asked for ----


@pytest.fixture(scope="module")
def pack(corpus, tmp_path_factory):
    path = tmp_path_factory.mktemp("ahead") / "pack"
    assert main(["pack", str(corpus), str(path), "--shard-size", "0.002"]) == 0
    return path


@pytest.fixture
def asked(monkeypatch):
    """Bytes that the system is asked for while nothing is in memory, by name of the file."""
    found: dict[str, list] = {}

    def note(parts):
        for path, ranges in parts:
            found.setdefault(Path(path).name, []).extend(ranges)

    monkeypatch.setattr(ahead, "advise", note)
    monkeypatch.setattr(ahead, "in_memory", lambda parts: False)
    return found


def read_all(dataset) -> None:
    """Tell of all clips of a dataset, in order, and wait until it is done."""
    assert sorted(ResumableSampler(dataset, shuffle=False, seed=0)) == list(range(len(dataset)))
    for thread in threading.enumerate():
        if thread.name == "read ahead":
            thread.join()


def wanted(dataset, places) -> dict[str, list]:
    out: dict[str, list] = {}
    for place in places:
        record = dataset.get_data_info(place)
        row = 184 * 4 * 2
        span = 128 + record["frame_start"] * row, record["num_frames"] * row
        out.setdefault(Path(record["keypoint_path"]).name, []).append(span)
    return out


def opened(folder, **kwargs):
    return KArSLDataset("annotations.json", data_root=str(folder), pipeline=PIPELINE, seed=0, **kwargs)


def in_order(found: dict[str, list]) -> dict[str, list]:
    return {name: sorted(spans) for name, spans in found.items()}


def test_the_bytes_of_every_clip_of_a_pack_are_asked_for(pack, asked):
    dataset = opened(pack)
    read_all(dataset)
    assert len(asked) > 1, "several shards"
    assert in_order(asked) == in_order(wanted(dataset, range(len(dataset))))


@pytest.mark.parametrize(
    ("wrap", "places"),
    [
        (lambda d: Subset(d, [5, 7]), [5, 7]),
        (lambda d: Subset(Subset(d, np.arange(9)), [-1]), [8]),
        (lambda d: d.get_subset(3), [0, 1, 2]),
        (lambda d: FilterDataset(d, dict(labels=[1])), 1),
        (lambda d: ConcatDataset([Subset(d, [4]), d]), None),
    ],
)
def test_only_clips_that_are_given_are_asked_for(pack, asked, wrap, places):
    dataset = opened(pack)
    labels = [dataset.get_data_info(i)["label"] for i in range(len(dataset))]
    if isinstance(places, int):
        places = [i for i, label in enumerate(labels) if label == places]
    read_all(wrap(dataset))
    assert in_order(asked) == in_order(wanted(dataset, [4, *range(len(dataset))] if places is None else places))


def test_the_bytes_of_mapped_tars_are_asked_for(corpus, tmp_path, asked):
    assert main(["convert", str(corpus), str(tmp_path / "tars"), "--to", "tar"]) == 0
    dataset = TarDataset(str(tmp_path / "tars"), PIPELINE, cache_dir=str(tmp_path / "cache"), seed=0)
    read_all(dataset)
    record = dataset.get_data_info(3)
    span = record["byte_start"], record["num_frames"] * 184 * 4 * np.dtype(record["dtype"]).itemsize
    assert span in asked[Path(record["keypoint_path"]).name]
    assert sum(map(len, asked.values())) == len(dataset)


def test_what_is_in_memory_is_not_asked_for(pack, asked, monkeypatch):
    monkeypatch.setattr(ahead, "in_memory", lambda parts: isinstance(parts[0], FileRanges))
    read_all(opened(pack))
    assert asked == {}


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not tell what is mapped")
def test_this_process_opens_no_pack_for_its_workers(pack, tmp_path):
    folder = shutil.copytree(pack, tmp_path / "pack")  # no other test reads it
    dataset = opened(folder)
    loader = DataLoader(
        dataset, batch_size=16, sampler=ResumableSampler(dataset, seed=0), collate_fn=keypoint_collate, num_workers=2
    )
    assert sum(len(batch["label"]) for batch in loader) == len(dataset)
    assert str(folder) not in Path("/proc/self/maps").read_text()
    keypoint_collate(dataset.__getitems__([0]))["inputs"]
    assert str(folder) in Path("/proc/self/maps").read_text()


# ---- what cannot be told is no error ----


def test_archives_lists_and_what_is_not_initialised_are_left_alone(corpus, pack, asked):
    for dataset in (
        KArSLDataset(data_root=str(corpus), pipeline=PIPELINE),
        opened(pack, serialize_data=False),
        Subset(opened(pack, lazy_init=True, skeleton="karsl_184"), [0, 1]),
        Subset(ConcatDataset([opened(pack)], lazy_init=True), [0, 1]),
        range(300),
    ):
        read_all(dataset)
    assert asked == {}


class Wrapper:
    """Twice as long as what it wraps, and all else like it."""

    def __init__(self, inner):
        self.inner = inner

    def __len__(self):
        return 2 * len(self.inner)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_wrappers_that_look_like_ours_and_files_that_are_gone_are_left_to_who_reads(pack, tmp_path, asked):
    for dataset in (
        Wrapper(opened(pack)),
        Wrapper(ConcatDataset([opened(pack)])),
        Subset(opened(pack), {0: 3, 1: 4}),
        KArSLDataset(str(pack / "annotations.json"), data_root=str(tmp_path), pipeline=PIPELINE),
    ):
        read_all(dataset)


def test_a_batch_is_the_same_whoever_orders(pack):
    dataset = opened(pack)
    order = list(ResumableSampler(dataset, seed=0))
    ours = next(iter(DataLoader(dataset, 9, sampler=ResumableSampler(dataset, seed=0), collate_fn=keypoint_collate)))
    listed = next(iter(DataLoader(dataset, 9, sampler=order, collate_fn=keypoint_collate)))
    assert torch.equal(ours["inputs"], listed["inputs"])
