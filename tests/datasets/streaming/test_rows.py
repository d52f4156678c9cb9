"""Rows of arrays that are not keypoints: features, token ids, ragged texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from karsl.datasets import ArrayDataset, KeypointDataset, ResumableSampler, StreamDataset, keypoint_collate
from karsl.errors import ConfigError, DataErrors, TransformError

SIZES = (5, 3)


@pytest.fixture
def features(tmp_path):
    """Two stacks of float16 features and their labels."""
    for number, size in enumerate(SIZES):
        rows = np.arange(size * 6).reshape(size, 2, 3) + 100 * number
        np.savez(tmp_path / f"X_{number}.npz", data=rows.astype(np.float16), y=np.arange(size) % 2)
    return tmp_path


def test_each_row_of_the_first_axis_is_a_sample(features):
    dataset = ArrayDataset(features)
    assert len(dataset) == sum(SIZES)
    sample = dataset[6]
    assert sample["inputs"].tolist() == [[106, 107, 108], [109, 110, 111]]
    assert (sample["inputs"].dtype, sample["label"], sample["sample_idx"]) == (torch.float16, 1, 6)
    assert list(dataset.metainfo["classes"]) == ["0000", "0001"]
    assert (dataset.skeleton, dataset.get_cat_ids(1)) == (None, [1])


def test_token_ids_keep_their_dtype_and_ragged_rows_their_lengths(tmp_path):
    np.save(tmp_path / "data.npy", np.arange(9, dtype=np.uint16))
    np.save(tmp_path / "data_lengths.npy", np.array([2, 4, 3]))
    dataset = ArrayDataset(tmp_path, labels="none")
    assert [dataset[index]["inputs"].tolist() for index in range(3)] == [[0, 1], [2, 3, 4, 5], [6, 7, 8]]
    assert dataset[0]["inputs"].dtype == torch.uint16


def test_arrays_that_are_no_stacks_are_one_sample_each(tmp_path):
    for word, frames in (("book", 2), ("book", 3), ("house", 4)):
        (tmp_path / word).mkdir(exist_ok=True)
        np.save(tmp_path / word / f"{frames}.npy", np.full((frames, 2), frames))
    dataset = ArrayDataset(tmp_path, stacked=False)
    assert [tuple(dataset[index]["inputs"].shape) for index in range(3)] == [(2, 2), (3, 2), (4, 2)]
    assert [dataset[index]["label"] for index in range(3)] == [0, 0, 1]


def test_the_pipeline_receives_the_record_and_the_row(features):
    dataset = ArrayDataset(features, [lambda results: {"inputs": results["inputs"] * 2, "name": results["clip_id"]}])
    assert dataset[0]["inputs"].tolist() == [[0, 2, 4], [6, 8, 10]]
    assert dataset[0]["name"] == "X_0/data/000000"


@pytest.mark.parametrize("workers", [0, 2])
def test_samplers_and_streams_are_those_of_clips(features, workers):
    dataset = ArrayDataset(features)
    sampler = ResumableSampler(dataset, seed=1)
    order, loader = list(sampler), DataLoader(dataset, 4, sampler=sampler, num_workers=workers)
    assert [i for batch in loader for i in batch["sample_idx"].tolist()] == order
    stream = StreamDataset(str(features), layout="raw", seed=1, batch_size=4)
    assert isinstance(stream.dataset, ArrayDataset)
    assert stream._sizes.tolist() == list(SIZES)
    loader = DataLoader(stream, 4, num_workers=workers, collate_fn=keypoint_collate)
    first = [batch["sample_idx"].tolist() for batch in loader]
    assert sorted(sum(first, [])) == list(range(sum(SIZES)))
    stream.advance(4)
    resumed = StreamDataset(str(features), layout="raw", seed=1, batch_size=4)
    resumed.load_state_dict(stream.state_dict())
    assert [batch["sample_idx"].tolist() for batch in DataLoader(resumed, 4, num_workers=workers)] == first[1:]


def test_remote_rows_are_streamed(features, range_server, tmp_path_factory):
    local = StreamDataset(str(features), layout="raw", seed=1, block_size=100)
    with range_server.serving(features) as (url, _):
        options = dict(layout="raw", seed=1, cache_dir=str(tmp_path_factory.mktemp("cache")))
        stream = StreamDataset(f"{url}/X_{{0..1}}.npz", **options)
        for ours, theirs in zip(stream, local, strict=True):
            assert torch.equal(ours["inputs"], theirs["inputs"])
            assert ours["label"] == theirs["label"]
        with pytest.raises(ConfigError, match=r"is remote; use StreamDataset\(.*, layout='raw'\)"):
            ArrayDataset(f"{url}/X_0.npz")


def test_rows_of_different_kinds_and_numbers_without_rows_are_named(features):
    np.save(features / "other.npy", np.zeros((4, 7)))
    np.save(features / "number.npy", np.array(3.0))
    with pytest.raises(DataErrors, match=r"rows of different kinds, .*float64 \(7,\)': 'other.npy'") as caught:
        ArrayDataset(features)
    assert "number.npy: a single number and no rows; move it away, or select files by pattern=" in str(caught.value)
    assert len(ArrayDataset(features, pattern="X_*.npz")) == sum(SIZES)


def test_a_file_that_was_cut_after_it_was_listed_is_named(features):
    dataset = ArrayDataset(features)
    np.savez(features / "X_1.npz", data=np.zeros((1, 2, 3), np.float16))
    with pytest.raises(TransformError, match=r"X_1.npz: array 'data': no clip 2, it has 1"):
        dataset[7]


def test_keypoints_and_rows_are_not_confused(features):
    with pytest.raises(ConfigError, match="no layout 'raw'"):
        KeypointDataset(data_root=str(features), layout="raw")
