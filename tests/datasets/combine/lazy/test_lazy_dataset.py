"""LazyDataset over real clips: batches, trees as text and config, checks, exports."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from karsl.datasets import KArSLDataset, keypoint_collate
from karsl.datasets.combine import LazyDataset, SliceDataset
from karsl.datasets.combine.export import DatasetSource, save
from karsl.datasets.combine.map import import_callable
from karsl.errors import ConfigError, DataErrors
from karsl.formats import open_clips
from karsl.registry import DATASETS

LOAD, PACK = dict(type="LoadKeypoints"), dict(type="PackKeypointInputs")


def same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(torch.as_tensor(a[key]), torch.as_tensor(b[key])), key


def short(sample):
    """A predicate that a config can name."""
    return sample["num_frames"] < 1000


def marked(sample):
    """A transform that a config can name."""
    return {**sample, "mark": 1}


def test_a_batch_of_a_mix_is_made_in_one_pass(mixed):
    lazy = mixed()
    batch = lazy.__getitems__([0, 3, len(lazy) - 1]).collate()
    assert batch["inputs"].shape == (3, 6, 184, 3)
    one_by_one = keypoint_collate([lazy[i] for i in (0, 3, -1)])
    torch.testing.assert_close(batch["inputs"], one_by_one["inputs"], rtol=0, atol=1e-5)
    assert torch.equal(batch["sample_idx"], one_by_one["sample_idx"])


def test_encoded_samples_keep_their_other_keys(mixed, encoders):
    lazy = mixed().map(encoders)
    sample = lazy[1]
    assert sample["features"].shape == (6, 2 * 184 * 3)
    assert sample["sign"] == lazy.metainfo["signs"][sample["label"]]
    assert {"inputs", "keypoint_mask", "sample_idx"} <= sample.keys()
    batch = next(iter(DataLoader(lazy, 4, collate_fn=keypoint_collate)))
    assert batch["features"].shape == (4, 6, 2 * 184 * 3)


def test_the_config_of_a_tree_builds_the_same_dataset(mixed, encoders):
    lazy = mixed().map(encoders).filter(short).map(marked)
    cfg = lazy.to_config()
    assert json.loads(json.dumps(cfg)) == cfg
    again = DATASETS.build(cfg)
    assert len(again) == len(lazy)
    for i in (0, -1):
        same(again[i], lazy[i])
    assert again[0]["mark"] == 1
    assert again.to_config() == cfg
    assert again.describe().splitlines()[1:] == lazy.describe().splitlines()[1:]


def test_the_config_of_a_filtered_weighted_mix_builds_the_same_dataset(leaf):
    lazy = LazyDataset(seed=2)
    for signer in ("01", "02"):
        lazy.add_dataset(leaf(filter_cfg=dict(signers=signer)), name=signer)
    lazy.mix(weights={"01": 3, "02": 1}, labels="separate").map(dict(type="TSNSampleFrames", clip_len=4)).filter(short)
    again = DATASETS.build(lazy.to_config())
    assert (len(again), again.metainfo["classes"]) == (len(lazy), lazy.metainfo["classes"])
    for epoch in (0, 1):
        for dataset in (lazy, again):
            dataset.set_epoch(epoch)
        assert [again[i]["clip_id"] for i in range(9)] == [lazy[i]["clip_id"] for i in range(9)]
        assert [again[i]["label"] for i in range(9)] == [lazy[i]["label"] for i in range(9)]


def test_transforms_with_classes_can_be_used_in_a_filtered_weighted_mix(leaf):
    lazy = (
        LazyDataset(seed=2).add_dataset(leaf(filter_cfg=dict(signers="01"))).add_dataset(leaf(filter_cfg=dict(signers="02")))
    )
    lazy.mix(weights=[1, 1]).map([dict(type="EncodeGloss"), PACK | dict(meta_keys=["sign"])])
    lazy.filter(lambda sample: sample["sign"] == lazy.metainfo["signs"][0])
    assert {sample["label"] for sample in lazy} == {0}


def test_the_text_of_a_tree_has_its_operations_and_lengths(mixed):
    lazy = mixed()
    assert "LazyDataset(one, two): not initialized" in lazy.describe()
    lazy.full_init()
    text = lazy.describe()
    assert "LazyDataset(one, two): 56 clips" in text
    assert "MapDataset(TSNSampleFrames, RandomFlip, CenterScale, PackKeypointInputs): 56 clips" in text
    assert "FilterDataset({'min_frames': 5}): 28 clips" in text
    assert "MapDataset(RandomFlip): 28 clips" in text


def test_the_text_before_the_mix_has_one_tree_per_dataset(leaf):
    dataset = DATASETS.build(leaf())
    text = LazyDataset(dataset, name="a").add_dataset(dataset, name="b").map(marked, dataset="b").describe()
    assert text.splitlines()[0] == "LazyDataset(a, b): not mixed"
    assert "b: MapDataset(marked): not initialized" in text
    assert "KArSLDataset(ann_file=" in text


def test_objects_that_no_config_can_name_raise_with_their_path(leaf):
    lazy = LazyDataset(leaf()).map(lambda sample: sample)
    with pytest.raises(ConfigError, match="dataset.transform is a function, which no config can name"):
        lazy.to_config()
    with pytest.raises(ConfigError, match="dataset is a KArSLDataset"):
        LazyDataset(DATASETS.build(leaf())).to_config()
    with pytest.raises(ConfigError, match="cannot be imported"):
        import_callable("karsl.nothing:here")


def test_check_finds_samples_that_fail_and_samples_that_do_not_fit(leaf, mixed, encoders):
    assert mixed().map(encoders).check(num_samples=3) == 6

    def broken(results):
        raise ValueError("no hands")

    lazy = LazyDataset(leaf([LOAD, PACK]), name="a").add_dataset(leaf([LOAD, broken, PACK]), name="b").mix()
    with pytest.raises(DataErrors, match="broken failed on clip .*: no hands") as caught:
        lazy.check(num_samples=2)
    assert len(caught.value.problems) >= 2
    unlike = LazyDataset(leaf([LOAD, dict(type="TSNSampleFrames", clip_len=4), PACK]), name="a")
    unlike.add_dataset(leaf([LOAD, dict(type="TSNSampleFrames", clip_len=5), PACK]), name="b").mix()
    with pytest.raises(DataErrors, match=r"inputs \(5, 184, 3\).* has .*inputs \(4, 184, 3\)"):
        unlike.check(num_samples=2)


@pytest.fixture
def small(leaf):
    """Five clips of three frames, without packing."""
    lazy = LazyDataset(leaf(indices=[0, 7, 3, 30, 31]), name="a", seed=1)
    return lazy.map(dict(type="TSNSampleFrames", clip_len=3, jitter=1.0))


def clips_of(lazy):
    return [np.where(sample["keypoint_score"][..., None] > 0, sample["keypoint"], 0) for sample in lazy]


def test_a_saved_pack_has_the_samples_of_the_dataset(small, tmp_path):
    assert small.save_as(tmp_path / "pack", dtype="float32") == tmp_path / "pack"
    pack = KArSLDataset("annotations.json", data_root=str(tmp_path / "pack"), pipeline=[LOAD])
    assert len(pack) == 5
    for i, clip in enumerate(clips_of(small)):
        sample = pack[i]
        np.testing.assert_array_equal(np.nan_to_num(sample["keypoint"]), clip)
        assert (sample["clip_id"], sample["label"]) == (small[i]["clip_id"], small[i]["label"])
    with pytest.raises(ConfigError, match="pack exists"):
        small.save_as(tmp_path / "pack")


def test_packed_samples_are_saved_with_their_length(small, tmp_path):
    save(small.map(PACK), tmp_path / "pack", dtype="float32")
    pack = KArSLDataset("annotations.json", data_root=str(tmp_path / "pack"), pipeline=[LOAD, PACK])
    assert pack.get_data_info(0)["num_frames"] == 3
    for i in range(5):
        assert torch.equal(pack[i]["inputs"], small[i]["inputs"])


def test_saved_as_parquet_and_tars(small, tmp_path):
    pytest.importorskip("pyarrow")
    small.save_as(tmp_path / "parquet", format="parquet")
    source = open_clips(tmp_path / "parquet")
    assert len(source.records) == 5
    np.testing.assert_array_equal(source.read(source.records[0])[..., :3], clips_of(small)[0])
    small.save_as(tmp_path / "tars", format="tar")
    assert (tmp_path / "tars" / "tars.json").is_file()
    with pytest.raises(ConfigError, match="zip"):
        small.save_as(tmp_path / "x", format="zip")


def test_a_source_reads_each_sample_with_the_same_random_numbers(leaf):
    dataset = DATASETS.build(leaf([LOAD, dict(type="RandomAffine")], indices=[0, 1]))
    source = DatasetSource(SliceDataset(dataset, [0, 1, 0]))
    first, second, again = source.records
    assert (again["clip_id"], second["num_frames"]) == (f"{first['clip_id']}#2", dataset.get_data_info(1)["num_frames"])
    np.testing.assert_array_equal(source.read(first), source.read(first))
    assert not np.array_equal(source.read(first), source.read(again))


def test_records_of_a_source_are_made_without_reading_clips_if_possible(leaf, monkeypatch):
    dataset = DATASETS.build(leaf([LOAD, dict(type="RandomFlip")], indices=3))
    monkeypatch.setattr(type(dataset), "get_sample", lambda self, i, **kw: pytest.fail("a clip was read"))
    assert [record["num_frames"] for record in DatasetSource(dataset).records] == dataset.column("num_frames").tolist()


def test_samples_without_keypoints_or_skeleton_cannot_be_saved(small, tmp_path):
    with pytest.raises(ConfigError, match="has no keypoints"):
        small.map(lambda sample: {"clip_id": "a"}).save_as(tmp_path / "pack")
    with pytest.raises(ConfigError, match="the skeleton of SliceDataset is unknown"):
        save(SliceDataset(torch.utils.data.TensorDataset(torch.zeros(3)), 2), tmp_path / "pack")
