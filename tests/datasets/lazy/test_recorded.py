"""A recorded dataset over real clips: batches, plans as text and config, trial, files."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from karsl.datasets import KArSLDataset, keypoint_collate
from karsl.datasets.lazy import LazyDataset
from karsl.datasets.lazy.plan import imported
from karsl.errors import ConfigError, DataErrors
from karsl.registry import DATASETS
from karsl.storage.convert import open_source

LOAD, PACK = dict(type="LoadKeypoints"), dict(type="PackKeypointInputs")


def same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(torch.as_tensor(a[key]), torch.as_tensor(b[key])), key


def short(item):
    """A condition that a config can name."""
    return item["num_frames"] < 1000


def test_a_batch_of_a_mix_is_made_in_one_pass(recorded):
    lazy = recorded()
    batch = lazy.__getitems__([0, 3, len(lazy) - 1]).finished()
    assert batch["inputs"].shape == (3, 6, 184, 3)
    one_by_one = keypoint_collate([lazy[i] for i in (0, 3, -1)])
    torch.testing.assert_close(batch["inputs"], one_by_one["inputs"], rtol=0, atol=1e-5)
    assert torch.equal(batch["sample_idx"], one_by_one["sample_idx"])


def test_encoded_items_keep_what_they_had(recorded):
    lazy = recorded().encode()
    item = lazy[1]
    assert item["features"].shape == (6, 2 * 184 * 3)
    assert item["sign"] == lazy.metainfo["signs"][item["label"]]
    assert {"inputs", "keypoint_mask", "sample_idx"} <= item.keys()
    batch = next(iter(DataLoader(lazy, 4, collate_fn=keypoint_collate)))
    assert batch["features"].shape == (4, 6, 2 * 184 * 3)


def test_the_config_of_a_plan_builds_the_same_dataset(recorded):
    lazy = recorded().encode().filter(short)
    cfg = lazy.describe(form="config")
    assert json.loads(json.dumps(cfg)) == cfg
    again = DATASETS.build({**cfg, "seed": 5})
    assert len(again) == len(lazy)
    for i in (0, -1):
        same(again[i], lazy[i])
    assert again.describe(form="config") == cfg
    assert again.describe() == lazy.describe()


def test_the_text_of_a_plan_says_what_was_recorded_and_what_came_of_it(recorded):
    lazy = recorded()
    assert "LazyDataset(one, two): not initialised" in lazy.describe()
    lazy.full_init()
    text = lazy.describe()
    assert "2. map(transform=RandomFlip(prob=1.0), dataset='two')" in text
    assert "3. filter(keep={'min_frames': 5}): keeps 28 of 28; keeps 28 of 28" in text
    assert "4. mix(interleave=False)" in text
    assert "LazyDataset(one, two): 56 clips" in text


def test_what_no_config_can_name_is_said_with_the_step(leaf):
    lazy = LazyDataset(leaf()).map(lambda item: item)
    with pytest.raises(ConfigError, match="step 1, map: transform is a function, which no config can name"):
        lazy.describe(form="config")
    with pytest.raises(ConfigError, match="step 0, add_dataset: dataset is a KArSLDataset"):
        LazyDataset(DATASETS.build(leaf())).describe(form="config")
    with pytest.raises(ConfigError, match="cannot be imported"):
        imported("karsl.nothing:here")


def test_a_trial_finds_what_fails_and_what_does_not_fit(leaf, recorded):
    assert recorded().encode().check(items=3) == 6

    def broken(results):
        raise ValueError("no hands")

    lazy = LazyDataset(leaf([LOAD, PACK]), name="a").add_dataset(leaf([LOAD, broken, PACK]), name="b").mix()
    with pytest.raises(DataErrors, match="broken failed on clip .*: no hands") as caught:
        lazy.check(items=2)
    assert len(caught.value.problems) >= 2
    unlike = LazyDataset(leaf([LOAD, dict(type="TSNSampleFrames", clip_len=4), PACK]), name="a")
    unlike.add_dataset(leaf([LOAD, dict(type="TSNSampleFrames", clip_len=5), PACK]), name="b").mix()
    with pytest.raises(DataErrors, match=r"inputs \(5, 184, 3\).* is .*inputs \(4, 184, 3\)"):
        unlike.check(items=2)


@pytest.fixture
def small(leaf):
    """Five clips, cut to three frames, without packing."""
    lazy = LazyDataset(leaf(indices=[0, 7, 3, 30, 31]), name="a", seed=1)
    return lazy.map(dict(type="TSNSampleFrames", clip_len=3, jitter=1.0))


def clips_of(lazy):
    return [np.where(item["keypoint_score"][..., None] > 0, item["keypoint"], 0) for item in lazy]


def test_saved_as_a_pack_it_is_a_dataset_of_its_items(small, tmp_path):
    small.save_as(tmp_path / "pack", dtype="float32")
    pack = KArSLDataset("annotations.json", data_root=str(tmp_path / "pack"), pipeline=[LOAD])
    for i, clip in enumerate(clips_of(small)):
        item = pack[i]
        np.testing.assert_array_equal(np.nan_to_num(item["keypoint"]), clip)
        assert (item["clip_id"], item["label"]) == (small[i]["clip_id"], small[i]["label"])
    assert list(tmp_path.glob(".*.items")) == []


def test_saved_as_jsonl_it_holds_every_bit(small, tmp_path):
    small.set_encoder(dict(type="LabelEncoder", target="arabic")).encode()
    path = small.save_as(tmp_path / "clips.jsonl", format="jsonl")
    head, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert head["metainfo"]["skeleton"] == "karsl_184"
    for line, item, clip in zip(lines, small, clips_of(small), strict=True):
        stored = np.frombuffer(base64.b64decode(line["keypoint"]), "<f4").reshape(line["shape"])
        np.testing.assert_array_equal(stored[..., :3], clip)
        assert (line["gloss"], line["gloss_ids"]) == (item["gloss"], item["gloss_ids"].tolist())


def test_saved_as_parquet_and_tars(small, tmp_path):
    pytest.importorskip("pyarrow")
    small.save_as(tmp_path / "parquet", format="parquet")
    source = open_source(tmp_path / "parquet")
    assert len(source.records) == 5
    np.testing.assert_array_equal(source.read(source.records[0])[..., :3], clips_of(small)[0])
    small.save_as(tmp_path / "tars", format="tars")
    assert (tmp_path / "tars" / "tars.json").is_file()


def test_saving_goes_on_where_it_stopped(small, tmp_path):
    log = tmp_path / "made"
    log.touch()

    def count(item):
        made = [*log.read_text(encoding="utf-8").splitlines(), item["clip_id"]]
        log.write_text("\n".join(made), encoding="utf-8")
        if len(made) == 3:
            raise OSError("the power went")
        return item

    small.map(count)
    with pytest.raises(Exception, match="the power went"):
        small.save_as(tmp_path / "pack")
    assert not (tmp_path / "pack").exists()
    small.save_as(tmp_path / "pack")
    assert len(log.read_text(encoding="utf-8").splitlines()) == 3 + 3
    with pytest.raises(ConfigError, match="pack exists"):
        small.save_as(tmp_path / "pack")


def test_items_of_another_plan_are_not_taken_up(small, tmp_path):
    small.save_as(tmp_path / "pack", mode="training")
    _ = small[0]
    small.map(dict(type="RandomFlip"))
    with pytest.raises(ConfigError, match="holds items of another recorded dataset"):
        small.save_as(tmp_path / "pack")


@pytest.mark.parametrize("workers", [0, 2])
def test_written_through_as_items_are_used_and_closed_by_flush(small, tmp_path, workers):
    small.map(PACK)
    path = small.save_as(tmp_path / "pack", mode="training", dtype="float32")
    assert not path.exists()
    loader = DataLoader(small, 2, collate_fn=keypoint_collate, num_workers=workers)
    seen = torch.cat([batch["inputs"] for batch in loader])
    assert small.flush() == path
    pack = KArSLDataset("annotations.json", data_root=str(path), pipeline=[LOAD, PACK])
    assert torch.equal(torch.stack([item["inputs"] for item in (pack[i] for i in range(len(pack)))]), seen)


def test_flush_writes_what_was_used(small, tmp_path):
    small.save_as(tmp_path / "some.jsonl", format="jsonl", mode="training")
    for i in (4, 1, 4):
        _ = small[i]
    lines = small.flush().read_text(encoding="utf-8").splitlines()[1:]
    assert [json.loads(line)["clip_id"] for line in lines] == [small[1]["clip_id"], small[4]["clip_id"]]
    small.save_as(tmp_path / "none.jsonl", format="jsonl", mode="training")
    with pytest.raises(ConfigError, match="no item of 5 was used yet"):
        small.flush()
    with pytest.raises(ConfigError, match="expected pack, tars, parquet, jsonl"):
        small.save_as(tmp_path / "x", format="zip")
