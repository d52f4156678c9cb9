"""What a sampler says of the clips to come: each once, a run before it is given, and no more when all are in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import Subset

from karsl.cli.main import main
from karsl.datasets import KArSLDataset, keypoint_collate
from karsl.datasets.combine import ConcatDataset
from karsl.datasets.samplers import ResumableSampler
from karsl.errors import TransformError
from karsl.storage.packed import Pack

PIPELINE = [dict(type="LoadKeypoints"), dict(type="TSNSampleFrames", clip_len=8), dict(type="PackKeypointInputs")]


class Watched(torch.utils.data.Dataset):
    """Notes which places it is told of."""

    def __init__(self, count, useful=True):
        self.count, self.useful, self.told = count, useful, []

    def __len__(self):
        return self.count

    def __getitem__(self, place):
        return place

    def read_ahead(self, places):
        self.told.append(places.tolist())
        return self.useful


def test_each_clip_is_told_of_once_and_a_run_before_it_is_given():
    clips = Watched(1000)
    order, given = ResumableSampler(clips, seed=0), []
    for place in order:
        given.append(place)
        told = sum(clips.told, [])
        assert told[: len(given)] == given
        assert len(told) >= min(1000, len(given) + 256)
    assert sum(clips.told, []) == given
    assert [len(run) for run in clips.told] == [512, 256, 232]


def test_a_long_batch_is_told_of_as_a_whole():
    clips = Watched(4000)
    order = ResumableSampler(clips, seed=0)
    order.batch_size = 1000
    next(iter(order))
    assert [len(run) for run in clips.told] == [2000]


def test_a_pass_that_goes_on_tells_of_what_is_left():
    clips = Watched(1000)
    whole = list(ResumableSampler(Watched(1000), seed=0))
    order = ResumableSampler(clips, seed=0)
    order.skip(900)
    assert list(order) == sum(clips.told, []) == whole[900:]


def test_when_nothing_is_new_no_more_is_told_until_the_next_epoch():
    clips = Watched(1000, useful=False)
    order = ResumableSampler(clips, seed=0)
    for epoch in range(3):
        order.set_epoch(epoch)
        assert sorted(order) == list(range(1000))
        assert len(clips.told) == epoch + 1


@pytest.mark.parametrize(
    ("wrap", "member", "places"),
    [
        (lambda a, b: Subset(a, [5, 7]), 0, [[5, 7]]),
        (lambda a, b: torch.utils.data.ConcatDataset([a, b]), 1, [[0, 1, 2]]),
        (lambda a, b: ConcatDataset([a, b]), 1, [[0, 1, 2]]),
        (lambda a, b: Subset(ConcatDataset([a, b]), [11, 2]), 1, [[1]]),
    ],
)
def test_clips_are_told_to_the_dataset_that_reads_them(wrap, member, places):
    members = Watched(10), Watched(3)
    dataset = wrap(*members)
    list(ResumableSampler(dataset, shuffle=False, seed=0))
    assert members[member].told == places


def test_a_dataset_that_cannot_read_ahead_is_left_alone():
    assert sorted(ResumableSampler(range(300), seed=0)) == list(range(300))


@pytest.fixture(scope="module")
def pack(corpus, tmp_path_factory):
    path = tmp_path_factory.mktemp("ahead") / "pack"
    assert main(["pack", str(corpus), str(path)]) == 0
    return path


def test_clips_of_a_pack_are_fetched_once(pack, monkeypatch):
    asked = []

    def note(self, starts, lengths, *, in_background=False):
        asked.append((starts.tolist(), in_background))
        return real(self, starts, lengths, in_background=in_background)

    real = Pack.advise
    monkeypatch.setattr(Pack, "advise", note)
    dataset = KArSLDataset("annotations.json", data_root=str(pack), pipeline=PIPELINE, seed=0)
    starts = dataset.column("frame_start")
    places = np.arange(len(dataset))
    assert dataset.read_ahead(places[:10])
    assert dataset.read_ahead(places[5:])
    assert not dataset.read_ahead(places)
    assert asked == [(part.tolist(), True) for part in (starts[:10], starts[5:], starts)]
    assert len(keypoint_collate(dataset.__getitems__([3, 4]))["inputs"]) == 2
    assert asked[-1] == (starts[3:5].tolist(), False)


def test_what_cannot_be_fetched_ahead_is_said_by_the_batch(corpus, pack, tmp_path):
    places = np.arange(4)
    assert not KArSLDataset(data_root=str(corpus), pipeline=PIPELINE).read_ahead(places)
    assert not KArSLDataset("annotations.json", data_root=str(pack), pipeline=PIPELINE[1:]).read_ahead(places)
    copied = dict(ann_file=str(pack / "annotations.json"), data_root=str(tmp_path), pipeline=PIPELINE)
    lost = KArSLDataset(**copied)
    assert not lost.read_ahead(places)
    with pytest.raises(TransformError, match="no such file"):
        keypoint_collate(lost.__getitems__([0]))["inputs"]
