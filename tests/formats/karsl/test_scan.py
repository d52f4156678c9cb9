"""Scans of a data root: every clip in order, all problems of all files, every layout, cached headers."""

from __future__ import annotations

import os
import sys
import zipfile

import numpy as np
import pytest
import torch

from karsl.datasets import KArSLDataset
from karsl.errors import DatasetNotFoundError
from karsl.formats.karsl.scan import scan_npz_folders
from karsl.io import LabelTable
from karsl.io.missing import STRICT, MissingPoints
from karsl.io.npz import ByteRange, read_range
from karsl.io.sources import IndexedSource
from karsl.skeletons import get_skeleton

SKELETON = get_skeleton("karsl_184")


def scan(root, **kwargs):
    return scan_npz_folders(root, skeleton=SKELETON, **kwargs)


@pytest.mark.parametrize("clips", [1, 30])
def test_the_directory_of_an_archive_is_read_once_however_many_clips_it_has(write_clips, monkeypatch, clips):
    root = write_clips({"01-train/0001.npz": {f"c{n}": 2 for n in range(clips)}})
    opened, init = [], zipfile.ZipFile.__init__
    monkeypatch.setattr(
        zipfile.ZipFile, "__init__", lambda self, *args, **options: opened.append(1) or init(self, *args, **options)
    )
    found = scan(root, read_values=True)
    assert (len(found.records), found.problems, len(opened)) == (clips, [], 1)


@pytest.mark.parametrize("missing", [STRICT, MissingPoints("missing", ("minus_one",))], ids=["strict", "rules"])
def test_clips_that_are_read_are_passed_on_as_a_source_reads_them(write_clips, missing):
    rng = np.random.default_rng(0)
    clips = {key: rng.integers(-1, 2, (3, 184, 4)).astype(np.float32) for key in "abc"}
    clips["c"][1, 5, 2] = np.nan
    root = write_clips({"01-train/0001.npz": clips})
    visited = {}
    found = scan(root, read_values=True, missing=missing, visit=visited.__setitem__)
    source = IndexedSource({}, SKELETON, found.records, root, missing=missing)
    assert list(visited) == [record["clip_id"] for record in found.records]
    assert len(visited) == (2 if missing is STRICT else 3), "a clip with a problem is not"
    for record in found.records:
        np.testing.assert_array_equal(visited[record["clip_id"]], source.read_stored(record))
    scan(root, visit=pytest.fail)


def test_every_clip_is_listed_in_an_order_of_names(write_clips):
    root = write_clips({"02-train/0003.npz": {"z": 5, "y": 6}, "01-test/0001.npz": {"c": 2}, "01-test/0002.npz": {"b": 3}})
    found = scan(root)
    assert found.problems == []
    assert found.signs == (1, 2, 3)
    assert [(r["clip_id"], r["num_frames"]) for r in found.records] == [
        ("01-test/0001/c", 2),
        ("01-test/0002/b", 3),
        ("02-train/0003/z", 5),
        ("02-train/0003/y", 6),
    ]
    record = found.records[2]
    byte_range = ByteRange(*record.pop("member"))
    assert read_range(root / "02-train/0003.npz", "z", byte_range).shape == (5, 184, 4)
    assert record == {
        "clip_id": "02-train/0003/z",
        "keypoint_path": "02-train/0003.npz",
        "keypoint_key": "z",
        "sign": 3,
        "signer": "02",
        "split": "train",
        "num_frames": 5,
    }


def test_other_folders_and_files_are_ignored(write_clips):
    root = write_clips({"01-train/0001.npz": {"a": 2}})
    (root / "notes").mkdir()
    (root / "01-train" / ".DS_Store").touch()
    (root / "01-train" / "._0001.npz").touch()
    assert len(scan(root).records) == 1
    assert scan(root).problems == []


def test_a_missing_folder_and_a_folder_of_something_else_are_not_found(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="is not a folder; expected one that contains '01-train/0001.npz'"):
        scan(tmp_path / "none")
    with pytest.raises(DatasetNotFoundError, match="no clips in data_root=.*expected files like '01-train/0001.npz'"):
        scan(tmp_path)
    (tmp_path / "annotations.json").touch()
    with pytest.raises(DatasetNotFoundError, match="to use its annotations.json, pass ann_file='annotations.json'"):
        scan(tmp_path)


def test_all_problems_of_all_files_are_reported_together(write_clips):
    good = np.zeros((3, 184, 4), np.float32)
    bad_value = good.copy()
    bad_value[2, 7, 1] = np.inf
    root = write_clips(
        {
            "01-train/0001.npz": {"rank": good[0], "points": good[:, :10], "frames": good[:0], "columns": good[..., :2]},
            "01-train/0002.npz": {"text": np.array(["a"]), "fine": good + 0.5, "infinite": bad_value},
            "01-train/hello.npz": {"a": 3},
            "01-train/0009.npz": {"a": 3},
            "01-test/0002.npz": {"fine": 3, "copy": good + 0.5},
            "01-trian/0001.npz": {"a": 3},
            "01-train/²².npz": {"a": 3},
        }
    )
    (root / "02-train").mkdir()
    (root / "01-test" / "0001.npz").touch()
    sheet = LabelTable((1, 2), ("ا", "ب"), ("a", "b"))
    found = scan(root, label_table=sheet, read_values=True)
    assert [r["clip_id"] for r in found.records] == ["01-test/0002/fine", "01-test/0002/copy"]
    assert found.problems == [
        "01-trian: no split 'trian'; did you mean 01-train? Rename the folder",
        "02-train: the folder is empty; copy its clips or remove it",
        "01-test/0001.npz: the file is empty; copy it again or remove it",
        "01-train/0001.npz: clip 'rank' has shape (184, 4); a clip is (frames, 184, 3 or 4)",
        "01-train/0001.npz: clip 'points' has 10 keypoints, the skeleton 184, shape (3, 10, 4)",
        "01-train/0001.npz: clip 'frames' has no frames, shape (0, 184, 4)",
        "01-train/0001.npz: clip 'columns' has 2 values per keypoint; x, y, z and optionally visibility are expected, "
        "shape (3, 184, 2)",
        "01-train/0002.npz: clip 'text' holds <U1, not numbers",
        "01-train/0002.npz: clip 'infinite' has 1 values that are NaN or infinite, first in frame 2, keypoint 7",
        "01-train/0009.npz: sign 9 is not in the label table (2 signs, 1-2)",
        "01-train/hello.npz: a file must be named by its SignID, like '0001.npz'; rename it",
        "01-train/²².npz: a file must be named by its SignID, like '0001.npz'; rename it",
        "01-train/0002.npz: clip 'fine' has the same content as clip '01-test/0002/copy'; it would be used for training and "
        "test, so only the copy in test can be used",
    ]


def test_values_are_not_checked_by_default(write_clips):
    clip = np.full((2, 184, 4), np.nan, np.float32)
    root = write_clips({"01-train/0001.npz": {"a": clip}})
    assert scan(root).problems == []
    assert len(scan(root, read_values=True).problems) == 1


def test_damaged_bytes_are_found_when_values_are_read(write_clips):
    root = write_clips({"01-train/0001.npz": {"a": 4}})
    path = root / "01-train" / "0001.npz"
    data = bytearray(path.read_bytes())
    data[3000] ^= 255
    path.write_bytes(data)
    assert "clip 'a' is damaged" in scan(root, read_values=True).problems[0]


def test_real_keypoints_have_no_problems(shared_data):
    found = scan(shared_data("karsl_layout"), read_values=True)
    assert found.problems == []
    assert len(found.records) == 60
    assert {r["num_frames"] for r in found.records} == {30}


def test_the_order_does_not_depend_on_when_files_were_written(write_clips):
    first = write_clips({"01-train/0002.npz": {"a": 2}})
    write_clips({"01-train/0001.npz": {"a": 3}, "01-train/0010.npz": {"a": 4}})
    os.utime(first / "01-train" / "0002.npz", (1, 1))
    assert [r["sign"] for r in scan(first).records] == [1, 2, 10]


def test_one_file_per_clip_is_a_layout_too(write_clips, tmp_path):
    clips = np.random.default_rng(0).random((8, 4, 184, 4), dtype=np.float32)
    tensors = torch.from_numpy(clips)
    root = write_clips({"01-train/0002.npz": {"a": clips[0]}, "01-train/0003/b.npz": {"keypoints": clips[1]}})
    np.save(root / "01-train" / "0003" / "c.npy", clips[2])
    torch.save(tensors[3].clone(), root / "01-train" / "0003" / "d.pt")
    torch.save({"e": tensors[6].clone(), "f": tensors[7].clone()}, root / "01-train" / "0004.pt")
    np.savez(root / "01-train" / "0003" / "two.npz", x=clips[4], y=clips[5])
    (root / "01-train" / "0003" / "notes.txt").touch()
    found = scan(root, read_values=True)
    assert found.problems == []
    assert [(r["clip_id"], r["sign"]) for r in found.records] == [
        ("01-train/0002/a", 2),
        ("01-train/0003/b", 3),
        ("01-train/0003/c", 3),
        ("01-train/0003/d", 3),
        ("01-train/0003/two/x", 3),
        ("01-train/0003/two/y", 3),
        ("01-train/0004/e", 4),
        ("01-train/0004/f", 4),
    ]
    dataset = KArSLDataset(data_root=str(root), pipeline=[dict(type="LoadKeypoints")])
    assert all(np.array_equal(np.nan_to_num(dataset[n]["keypoint"]), clips[n, ..., :3]) for n in range(8))


def test_problems_of_files_of_one_clip_name_them(write_clips):
    root = write_clips({"01-train/0001.npz": {"a": 3}, "01-train/hello/x.npz": {"a": 3}})
    (root / "01-train" / "0001").mkdir()
    np.save(root / "01-train" / "0001" / "a.npy", np.zeros((3, 184, 4)))
    np.save(root / "01-train" / "0001" / "bad.npy", np.full((3, 184, 4), np.nan))
    np.save(root / "01-train" / "0001" / "few.npy", np.zeros((3, 9, 4)))
    torch.save("no tensor", root / "01-train" / "0001" / "text.pt")
    assert [p.partition("/")[2] for p in scan(root, read_values=True).problems] == [
        "0001/bad.npy: the clip has 2208 values that are NaN or infinite, first in frame 0, keypoint 0",
        "0001/few.npy: the clip has 9 keypoints, the skeleton 184, shape (3, 9, 4)",
        "0001/text.pt: entry None is a str; save one tensor per clip",
        "hello: a folder must be named by its SignID, like '0001'; rename it",
        "0001.npz: clip '01-train/0001/a' is also in 01-train/0001/a.npy; rename one of the two",
    ]


@pytest.mark.parametrize("suffix", ["npy", "pt"])
def test_one_array_without_a_name_is_one_of_the_problems(write_clips, suffix):
    root = write_clips({"01-train/0001.npz": {"a": 2}, "01-train/0003.npz": {"b": np.zeros((2, 3))}})
    file = root / f"01-train/0002.{suffix}"
    np.save(file, np.ones((2, 184, 4), np.float32)) if suffix == "npy" else torch.save(torch.ones(2, 184, 4), file)
    found = scan(root)
    assert [r["clip_id"] for r in found.records] == ["01-train/0001/a"]
    assert found.problems[0] == (
        f"01-train/0002.{suffix}: one array without a name; move it to a folder of its sign, 01-train/0002/1.{suffix}"
    )
    assert found.problems[1].startswith("01-train/0003.npz: clip 'b' has shape")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode there")
def test_a_name_that_is_not_utf_8_is_a_problem(write_clips):
    root = write_clips({"01-train/0001.npz": {"a": 2}})
    (root / "01-train" / "0002").mkdir()
    with open(os.fsencode(root / "01-train" / "0002") + b"/caf\xe9.npy", "wb") as stream:
        np.save(stream, np.ones((2, 184, 4), np.float32))
    os.mkdir(os.fsencode(root) + b"/01-tr\xe9in")
    found = scan(root)
    assert [r["clip_id"] for r in found.records] == ["01-train/0001/a"]
    assert found.problems[0] == r"01-train/0002/caf\xe9.npy: the name is not UTF-8; rename it"
    assert found.problems[1].startswith(r"01-tr\xe9in: no split")


def test_a_scan_with_a_cache_equals_one_without(write_clips, tmp_path):
    root = write_clips({"01-train/0001.npz": {"a": 3, "b": 4}, "01-test/0001.npz": {"c": 5}})
    for path in root.rglob("*.npz"):
        os.utime(path, (1, 1))
    first, again = (scan(root, cache_dir=tmp_path) for _ in range(2))
    assert first.records == again.records == scan(root).records
    write_clips({"01-train/0001.npz": {"z": 9}})
    (root / "01-test" / "0001.npz").unlink()
    write_clips({"01-test/0002.npz": {"d": 1}})
    assert [r["clip_id"] for r in scan(root, cache_dir=tmp_path).records] == ["01-test/0002/d", "01-train/0001/z"]
