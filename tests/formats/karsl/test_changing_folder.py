"""Files are added, removed and changed while a dataset is open: right data, or an error that names the file."""

from __future__ import annotations

import os

import numpy as np
import pytest

from karsl.datasets import KArSLDataset, keypoint_collate
from karsl.errors import TransformError

PIPELINE = [
    dict(type="LoadKeypoints", cache_bytes=0),
    dict(type="TSNSampleFrames", clip_len=4),
    dict(type="PackKeypointInputs"),
]


def full_of(value: float, frames: int = 5) -> np.ndarray:
    return np.full((frames, 184, 4), value, np.float32)


@pytest.fixture
def root(write_clips):
    return write_clips(
        {"01-train/0001.npz": {"a": full_of(0.1), "b": full_of(0.2)}, "01-train/0002/c.npz": {"x": full_of(0.3)}}
    )


def values(dataset) -> list[float]:
    inputs = keypoint_collate(dataset.__getitems__(range(len(dataset))))["inputs"]
    return [round(float(clip.mean()), 3) for clip in inputs]


def open_dataset(root, **kwargs):
    return KArSLDataset(data_root=str(root), pipeline=PIPELINE, test_mode=True, **kwargs)


def test_the_next_start_sees_added_removed_and_changed_files(root):
    assert values(open_dataset(root)) == [0.1, 0.2, 0.3]
    np.save(root / "01-train" / "0002" / "d.npy", full_of(0.4))
    np.savez(root / "01-train" / "0001.npz", b=full_of(0.5), e=full_of(0.6, frames=9))
    (root / "01-train" / "0002" / "c.npz").unlink()
    again = open_dataset(root)
    assert values(again) == [0.5, 0.6, 0.4]
    assert again.get_data_info(1)["num_frames"] == 9


def test_an_archive_replaced_while_it_is_read_gives_its_new_clips_and_a_warning(root):
    dataset = open_dataset(root)
    assert values(dataset) == [0.1, 0.2, 0.3]
    np.savez(root / "new.npz", b=full_of(0.8, frames=7), new=full_of(0.9), a=full_of(0.7))
    os.replace(root / "new.npz", root / "01-train" / "0001.npz")
    with pytest.warns(UserWarning, match="0001.npz changed after it was indexed; its clips are now found by name"):
        assert values(dataset) == [0.7, 0.8, 0.3]


@pytest.mark.parametrize("change", [os.unlink, lambda path: os.truncate(path, 100)], ids=["removed", "cut"])
@pytest.mark.filterwarnings("ignore:.*changed after it was indexed")
def test_a_removed_clip_is_named_or_skipped(root, change):
    dataset = open_dataset(root)
    skipping = KArSLDataset(data_root=str(root), pipeline=PIPELINE, on_error="skip", seed=0)
    change(root / "01-train" / "0002" / "c.npz")
    with pytest.raises(TransformError, match="LoadKeypoints failed on clip '01-train/0002/c' .*c.npz: "):
        values(dataset)
    assert 2 not in keypoint_collate(skipping.__getitems__([0, 2]))["sample_idx"].tolist()
    assert skipping.num_skipped >= 1


def test_a_replaced_array_file_is_read_again(root):
    path = root / "01-train" / "0002" / "d.npy"
    np.save(path, full_of(0.4))
    dataset = open_dataset(root)
    assert values(dataset)[3] == 0.4
    np.save(root / "new.npy", full_of(0.9, frames=8))
    os.replace(root / "new.npy", path)
    assert values(dataset)[3] == 0.9
