"""Tars of other projects: extra keys of their json change no clip, whether read one by one, in batches, or converted."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from karsl.datasets import StreamDataset, TarDataset, keypoint_collate
from karsl.errors import AnnotationError
from karsl.formats import open_clips

PIPELINE = [dict(type="LoadKeypoints"), dict(type="TSNSampleFrames", clip_len=6), dict(type="PackKeypointInputs")]


def clip_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).random((9, 42, 4), dtype=np.float32) * 0.8 + 0.1


def write_tar(path: Path, metadata: dict, **members: bytes) -> Path:
    """Write two samples with `metadata` in the json of each."""
    with tarfile.open(path, "w") as archive:
        for number in range(2):
            stream = io.BytesIO()
            np.save(stream, clip_of(number))
            for suffix, content in {"npy": stream.getvalue(), "json": json.dumps(metadata).encode(), **members}.items():
                info = tarfile.TarInfo(f"s{number}.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def open_tar(path: Path, kind: type = TarDataset):
    return kind(str(path), PIPELINE, skeleton="hand_42", cache_dir=str(path.parent / "cache"), seed=0, test_mode=True)


@pytest.mark.parametrize(
    "metadata",
    [
        {"frame_start": 12},
        {"keypoint": [1, 2]},
        {"keypoint_score": "none"},
        {"keypoint_key": "x"},
        {"keypoint_path": "/etc/passwd"},
        {"member": [1, 2, 3]},
        {"byte_start": 0, "dtype": "int8", "xxh3": 3, "pack": "p"},
        {"skeleton": "mediapipe", "sample_key": 3, "sample_idx": 7},
        {"frame_inds": [0, 0], "centered": True, "inputs": 1},
        {"num_frames": 999, "clip_id": 12, "sign": [1]},
        {"label": 1.0},
    ],
    ids=lambda metadata: next(iter(metadata)),
)
def test_json_keys_of_a_clip_do_not_change_its_numbers(tmp_path, metadata):
    plain = open_tar(write_tar(tmp_path / "plain.tar", {"label": 1}))
    path = write_tar(tmp_path / "extra.tar", {"label": 1, **metadata})
    dataset = open_tar(path)
    assert [dataset.get_data_info(n)["clip_id"] for n in range(2)] == ["s0", "s1"]
    for index in range(2):
        assert (dataset[index]["inputs"] == plain[index]["inputs"]).all()
        assert dataset[index].keys() == plain[index].keys()
    (batch,), (expected,) = (list(DataLoader(d, 2, collate_fn=keypoint_collate)) for d in (dataset, plain))
    assert (batch["inputs"] == expected["inputs"]).all()
    assert (batch["label"].tolist(), batch["sample_idx"].tolist()) == ([1, 1], [0, 1])
    source = open_clips(path, skeleton="hand_42")
    assert [(r["label"], type(r["label"]), r["num_frames"]) for r in source.records] == [(1, int, 9)] * 2
    np.testing.assert_array_equal(source.read(source.records[1]), clip_of(1))


@pytest.mark.parametrize("label", ["hello", 1.5, True, [1], float("nan")])
def test_a_label_that_is_no_integer_is_named_with_its_sample(tmp_path, label):
    path = write_tar(tmp_path / "label.tar", {"label": label})
    words = r"label.tar: sample 's0' has label .*, not an integer; correct its .json, or give the label in a .cls"
    for read in (open_tar, lambda p: open_tar(p, StreamDataset), lambda p: open_clips(p, skeleton="hand_42")):
        with pytest.raises(AnnotationError, match=words):
            read(path)
    assert open_tar(write_tar(tmp_path / "cls.tar", {"label": label}, cls=b"2"))[0]["label"] == 2


def test_a_tar_without_the_requested_clips_lists_what_it_has(tmp_path):
    path = write_tar(tmp_path / "some.tar", {"label": 1}, **{"keypoints.npy": b"", "txt": b"no clip"})
    message = r"some.tar: no sample has a member='keypoint.npy'; did you mean 'keypoints.npy'\?; its samples have json, key"
    for kind in (TarDataset, StreamDataset):
        with pytest.raises(AnnotationError, match=message):
            kind(str(path), PIPELINE, skeleton="hand_42", member="keypoint.npy", cache_dir=str(tmp_path / "cache"))
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "a.txt")
    with pytest.raises(AnnotationError, match=r"some.tar: no clips, which are .npy or .npz; its samples have txt"):
        open_tar(path)


def test_strings_of_tars_json_are_not_read_as_paths(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("not for you")
    write_tar(tmp_path / "clips-000000.tar", {"label": 1})
    manifest = {"metainfo": {"classes": str(secret), "skeleton": "hand_42"}, "tars": [{"name": "clips-000000.tar"}]}
    (tmp_path / "tars.json").write_text(json.dumps(manifest))
    dataset = TarDataset(str(tmp_path / "clips-000000.tar"), PIPELINE, cache_dir=str(tmp_path / "cache"))
    assert (dataset.metainfo["classes"], dataset.metainfo["skeleton"]) == (str(secret), "hand_42")
    named = TarDataset(str(tmp_path), PIPELINE, cache_dir=str(tmp_path / "cache"), metainfo=dict(classes=("a", "b")))
    assert named.metainfo["classes"] == ("a", "b")
