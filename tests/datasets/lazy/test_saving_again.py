"""Which items a second `save_as` goes on with: those of the same dataset, told by what it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import Dataset

from karsl.datasets import KArSLDataset
from karsl.datasets.combine import CacheDataset, ConcatDataset, MapDataset, MixDataset, RepeatDataset, SliceDataset
from karsl.datasets.lazy import LazyDataset
from karsl.datasets.lazy.identity import CannotTell, items_identity
from karsl.registry import DATASETS

LOAD, HANDS = dict(type="LoadKeypoints"), dict(type="SelectKeypoints", names=["rh", "lh"])
SCRIPT = Path(__file__).with_name("saving_process.py")


def in_a_process(corpus, folder, *whats, **env):
    command = [sys.executable, str(SCRIPT), str(corpus), str(folder), *whats]
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout


def test_a_killed_save_is_gone_on_with_by_the_same_dataset_only(corpus, tmp_path):
    assert in_a_process(corpus, tmp_path, "object", "sliced", "untold", DIE_AT="3") == ""
    assert {path.name for path in tmp_path.glob(".*.items")} == {".object.items", ".sliced.items", ".untold.items"}
    told = in_a_process(
        corpus, tmp_path, "object-centered", "object-signer", "object", "sliced-centered", "sliced", "untold"
    )
    answers = dict(line.split(": ", 1) for line in told.splitlines())
    assert [what for what, answer in answers.items() if answer == "written"] == ["object", "sliced", "untold"]
    assert sum("holds items of another recorded dataset" in answer for answer in answers.values()) == 3
    assert told.count("items are made anew") == 1
    assert "untold.items: items are made anew, since those left there may be another dataset's: " in told
    seen = {name: len((tmp_path / f"{name}.log").read_text().splitlines()) for name in ("object", "sliced", "untold")}
    assert seen == {"object": 4 + 3, "sliced": 4 + 3, "untold": 4 + 6}
    for name in seen:
        pack = KArSLDataset("annotations.json", data_root=str(tmp_path / name), pipeline=[LOAD])
        source = KArSLDataset(data_root=str(corpus), pipeline=[LOAD], filter_cfg=dict(signers="01"))
        for i in range(6):
            np.testing.assert_array_equal(pack[i]["keypoint"], source[i]["keypoint"])


class Plain(Dataset):
    """Of someone else."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, i):
        return {"value": self.values[i]}


class Doubled(Plain):
    def __getitem__(self, i):
        return {"value": 2 * self.values[i]}


class Scaled(KArSLDataset):
    """A dataset of one's own, whose samples depend on an attribute."""

    def __init__(self, scale, **kwargs):
        self.scale = scale
        super().__init__(**kwargs)

    def prepare_data(self, idx):
        results = super().prepare_data(idx)
        return {**results, "keypoint": self.scale * results["keypoint"]}


def add(amount):
    return lambda item: {**item, "value": item["value"] + amount}


def many(corpus):
    """Datasets of which no two make the same items."""

    def clips(*steps, **kwargs):
        return KArSLDataset(data_root=str(corpus), pipeline=[LOAD, *steps], **{"seed": 1, **kwargs})

    one, two = clips(filter_cfg=dict(signers="01")), clips(filter_cfg=dict(signers="02"))
    yield from (SliceDataset(one, 3), SliceDataset(two, 3), SliceDataset(one, -3), SliceDataset(one, [0, 2, 1]))
    yield from (MapDataset(one, HANDS), MapDataset(one, {**HANDS, "names": ["lh", "rh"]}), MapDataset(clips(HANDS), HANDS))
    yield from (MapDataset(CacheDataset(one, seed=s), dict(type="RandomFlip")) for s in (1, 2))
    yield from (MixDataset([one, two], weights, seed=1) for weights in ([1, 1], [1, 2]))
    yield from (MixDataset([two, one], seed=1), MixDataset([one, two], seed=2), ConcatDataset([one, two]))
    yield from (ConcatDataset([one, two], labels=labels) for labels in ("separate", [*one.metainfo["classes"]][::-1]))
    yield from (RepeatDataset(Scaled(scale, data_root=str(corpus), pipeline=[LOAD], seed=1), 1) for scale in (1, 2))
    yield from (RepeatDataset(kind(np.arange(n)), 1) for kind in (Plain, Doubled) for n in (3, 4))
    yield from (MapDataset(Plain(np.arange(3)), add(amount)) for amount in (1, 2))
    later = RepeatDataset(Plain(np.arange(3)), 1, seed=0)
    later.set_epoch(1)
    yield later


def test_datasets_that_make_other_items_are_told_apart_and_the_same_are_not(corpus):
    told = [items_identity(dataset) for dataset in many(corpus)]
    assert len(set(told)) == len(told) > 20
    assert [items_identity(dataset) for dataset in many(corpus)] == told


def test_a_file_that_changed_is_another_dataset(tmp_path):
    class Reads(Plain):
        def __init__(self, path):
            super().__init__([1, 2])
            self.path = path

    path = tmp_path / "a"
    path.write_text("one")
    first = items_identity(RepeatDataset(Reads(str(path)), 1))
    assert items_identity(RepeatDataset(Reads(str(path)), 1)) == first
    path.write_text("other")
    assert items_identity(RepeatDataset(Reads(str(path)), 1)) != first


def test_what_cannot_be_told_is_said(tmp_path):
    with (tmp_path / "open").open("w") as stream, pytest.raises(CannotTell):
        items_identity(MapDataset(Plain([1]), lambda item: stream.write(str(item))))


def test_the_text_of_a_plan_holds_no_address(corpus):
    leaf = DATASETS.build(dict(type="KArSLDataset", data_root=str(corpus)))
    text = LazyDataset(leaf, name="a").add_dataset(Plain([1]), name="b").describe()
    assert f"0. add_dataset(dataset=KArSLDataset(data_root={str(corpus)!r}), name='a')" in text
    assert "1. add_dataset(dataset=Plain(), name='b')" in text
