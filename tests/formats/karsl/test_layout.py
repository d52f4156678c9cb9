"""Folders that are not a data root: their content and what to rename."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.errors import ConfigError, DatasetNotFoundError
from karsl.formats import open_clips
from karsl.formats.karsl.layout import describe_layout
from karsl.formats.karsl.scan import scan_npz_folders
from karsl.skeletons import get_skeleton


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("1_train/0001.npz", "it contains '1_train/0001.npz': rename '1_train' to '01-train'"),
        ("02_test/0001.npz", "it contains '02_test/0001.npz': rename '02_test' to '02-test'"),
        ("train-02/0001.npy", "it contains 'train-02/0001.npy': rename 'train-02' to '02-train'"),
        ("signer 3 Train/0001.npz", "it contains 'signer 3 Train/0001.npz': rename 'signer 3 Train' to '03-train'"),
        ("01/train/0001.npz", "it contains '01/train/0001.npz': rename '01/train' to '01-train'"),
        ("train/01/0001.npz", "it contains 'train/01/0001.npz': rename 'train/01' to '01-train'"),
        ("01/train/0001/a.npz", "it contains '01/train/0001/a.npz': rename '01/train' to '01-train'"),
        ("train/0001.npz", "it contains 'train/0001.npz': rename 'train' to '<signer>-train', such as '01-train'"),
        ("hello/a.npz", "it contains 'hello/a.npz': the folders of a root are named like '01-train' and '01-test'"),
        ("01/01/train/0001/03_c.mp4", "it contains '01/01/train/0001/03_c.mp4': 'karsl extract' finds the keypoints in "
         "its .mp4 files"),
        ("01/01/train/0001/03_c/0.jpg", "it contains '01/01/train/0001/03_c/0.jpg': 'karsl extract' finds the keypoints "
         "in its .jpg files"),
        ("notes.txt", "it contains 'notes.txt'"),
    ],
)  # fmt: skip
def test_errors_of_another_layout_name_the_fix(tmp_path, name, message):
    root = touch(tmp_path, name)
    assert describe_layout(root) == message
    with pytest.raises(DatasetNotFoundError) as caught:
        scan_npz_folders(root, skeleton=get_skeleton("karsl_184"))
    assert f"expected files like '01-train/0001.npz', {message}; see 'karsl prepare --help'" in str(caught.value)


def test_a_root_above_or_below_is_found(tmp_path):
    root = touch(tmp_path, "m3/karsl/01-train/0001.npz", "m3/karsl/01-train/0002/a.npz") / "m3"
    assert describe_layout(root) == f"the root is one level down: '{root / 'karsl'}'"
    assert describe_layout(tmp_path) == f"the root is 2 levels down: '{root / 'karsl'}'"
    for inside in ("01-train", "01-train/0002"):
        assert describe_layout(root / "karsl" / inside) == f"it is a folder of the root, which is '{root / 'karsl'}'"


def test_an_empty_folder_is_reported_and_hidden_folders_are_ignored(tmp_path):
    assert describe_layout(tmp_path) == "it is empty"
    assert describe_layout(touch(tmp_path, ".git/01-train/0001.npz")) == "it contains '.git'"


def test_commands_report_it_too(tmp_path, capsys):
    root = touch(tmp_path / "m9", "1_train/0001.npz")
    for words in (["prepare", root], ["browse", root], ["pack", root, tmp_path / "out"]):
        assert main([str(word) for word in words]) == 2
        assert "it contains '1_train/0001.npz': rename '1_train' to '01-train'" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="rename '1_train' to '01-train'"):
        open_clips(root)


def test_few_folders_of_a_huge_tree_are_read(tmp_path, monkeypatch):
    for number in range(700):
        (tmp_path / f"{number:04d}" / "inner").mkdir(parents=True)
    read, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: read.append(path) or scandir(path))
    assert describe_layout(tmp_path) == "it contains '0000', '0001', '0002', '0003', ..."
    assert len(read) <= 300


def test_problems_of_a_scan_have_a_remedy(write_clips, capsys):
    root = write_clips({"01-train/0001.npz": {"a": 3}})
    (root / "01-train" / "0002.npz").touch()
    prepare = f"'karsl prepare {root} --skip-bad' writes annotations.json without them; then --ann-file annotations.json\n"
    skip = "add --skip-bad (skip_bad=True) to leave these clips out\n"
    for words, remedy in ((["prepare", root], prepare), (["pack", root, root / "out"], skip)):
        assert main([str(word) for word in words]) == 2
        assert capsys.readouterr().err.endswith(f"0002.npz: the file is empty; copy it again or remove it\n{remedy}")


def test_clips_of_another_skeleton_ask_for_it(write_clips, capsys):
    root = write_clips({"01-train/0001.npz": {"a": np.ones((3, 75, 4), np.float32)}})
    assert main(["prepare", str(root), "--skip-bad"]) == 2
    remedy = "75 keypoints are those of mp_75: pass skeleton='mp_75' to the dataset, or --source-skeleton mp_75 to"
    assert capsys.readouterr().err.endswith(f"{remedy} 'karsl prepare'\n")
    assert main(["prepare", str(root), "--source-skeleton", "mp_75"]) == 0


def test_problems_of_one_kind_are_joined(write_clips, capsys):
    clips = {f"c{i}": np.ones((3, 543, 4), np.float32) for i in range(40)}
    root = write_clips({"01-train/0001.npz": clips | {"d": np.ones((0, 543, 4), np.float32)}})
    assert main(["prepare", str(root)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"karsl prepare: 41 problems in {root}:\n")
    assert error.count("has 543 keypoints, the skeleton 184") == 5
    assert "  ... and 35 more of this kind\n" in error
    assert error.count("has no frames") == 1
