"""Clips of the same content in a data root: found under any name, in any file and split, and one copy is kept at most."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from karsl.cli.main import main
from karsl.datasets import KArSLDataset
from karsl.errors import DataErrors
from karsl.formats.karsl import scan
from karsl.formats.karsl.scan import scan_npz_folders
from karsl.skeletons import get_skeleton

A, B, C = np.random.default_rng(0).random((3, 5, 184, 4), dtype=np.float32)


def make_root(root: Path, files: dict[str, dict]) -> Path:
    for name, clips in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(root / name, **clips)
    return root


def found(root: Path, **options):
    return scan_npz_folders(root, skeleton=get_skeleton("karsl_184"), **options)


def ids(result) -> list[str]:
    return [record["clip_id"] for record in result.records]


def test_numbered_names_of_different_clips_are_no_problem(tmp_path):
    root = make_root(tmp_path, {"01-train/0001.npz": {"arr_0": A, "arr_1": B}, "01-test/0001.npz": {"arr_0": C}})
    for read_values in (False, True):
        assert found(root, read_values=read_values).problems == []


@pytest.mark.parametrize("read_values", [False, True])
def test_a_copy_under_another_name_is_found_and_only_that_in_test_is_kept(tmp_path, read_values):
    root = make_root(tmp_path, {"01-train/0001.npz": {"x": A, "y": B}, "02-test/0001.npz": {"z": A}})
    result = found(root, read_values=read_values)
    assert ids(result) == ["01-train/0001/y", "02-test/0001/z"]
    assert result.problems == [
        "01-train/0001.npz: clip 'x' has the same content as clip '02-test/0001/z'; it would be used for training and test, "
        "so only the copy in test can be used"
    ]


def test_a_copy_in_the_same_split_is_left_out_and_copies_of_two_signs_both(tmp_path):
    root = make_root(tmp_path, {"01-train/0001.npz": {"x": A, "y": A, "z": B}, "01-train/0002.npz": {"w": B}})
    result = found(root)
    assert ids(result) == ["01-train/0001/x"]
    assert [problem.rpartition("; ")[2] for problem in result.problems] == [
        "it would count twice, so only one of them can be used",
        *["one of the two signs is wrong, so neither clip can be used"] * 2,
    ]


def test_copies_are_found_across_kinds_of_files_compression_and_dtype_when_values_are_read(tmp_path):
    root = make_root(tmp_path, {"01-train/0001.npz": {"x": A}})
    (root / "01-test" / "0001").mkdir(parents=True)
    np.save(root / "01-test" / "0001" / "a.npy", A.astype(np.float64))
    torch.save(torch.from_numpy(A), root / "01-test" / "0001" / "b.pt")
    np.savez_compressed(root / "01-test" / "0001" / "c.npz", q=A)
    assert ids(found(root, read_values=True)) == ["01-test/0001/a"]
    assert ids(found(root)) == ["01-test/0001/a", "01-test/0001/b", "01-test/0001/c"]  # the CRC of archives only


def test_clips_without_any_point_are_not_copies(tmp_path):
    root = make_root(tmp_path, {"01-train/0001.npz": {"x": A * 0}, "01-test/0002.npz": {"y": A * 0}})
    for read_values in (False, True):
        assert found(root, read_values=read_values).problems == []


def test_equal_checksums_of_different_content_are_no_copies(tmp_path, monkeypatch):
    root = make_root(tmp_path, {"01-train/0001.npz": {"x": A}, "01-test/0001.npz": {"y": B}})
    read = scan._scan_file

    def with_equal_crc(*args):
        result = read(*args)
        result.contents = [7 for _ in result.contents]
        return result

    monkeypatch.setattr(scan, "_scan_file", with_equal_crc)
    assert found(root).problems == []


def test_headers_alone_decide_unless_checksums_are_equal(tmp_path, monkeypatch):
    root = make_root(tmp_path, {"01-train/0001.npz": {"x": A, "y": B}, "01-test/0001.npz": {"z": A, "w": C}})
    read, names = scan.read_array, []
    monkeypatch.setattr(scan, "read_array", lambda path, key: names.append(key) or read(path, key))
    found(root)
    assert sorted(names) == ["x", "z"]


def test_prepare_reports_copies_and_skip_bad_never_keeps_one_in_training_and_test(tmp_path, capsys):
    root = make_root(tmp_path, {"01-train/0001.npz": {"x": A, "y": B}, "01-test/0001.npz": {"x": A}})
    assert main(["prepare", str(root)]) == 2
    assert "clip 'x' has the same content as clip '01-test/0001/x'" in capsys.readouterr().err
    assert main(["prepare", str(root), "--skip-bad"]) == 0
    assert "skipped, 1 problem" in capsys.readouterr().out
    records = json.loads((root / "annotations.json").read_text())["data_list"]
    assert [record["clip_id"] for record in records] == ["01-test/0001/x", "01-train/0001/y"]


def test_a_dataset_of_the_folders_refuses_copies_or_skips_them(tmp_path):
    root = make_root(tmp_path, {"01-train/0001.npz": {"x": A, "y": B}, "01-test/0001.npz": {"x": A}})
    with pytest.raises(DataErrors, match="the same content"):
        len(KArSLDataset(data_root=str(root)))
    assert len(KArSLDataset(data_root=str(root), on_error="skip")) == 2


def test_what_is_not_read_is_named_by_the_scan_the_dataset_and_prepare(tmp_path, capsys, monkeypatch):
    root = make_root(tmp_path, {"01-train/0001.npz": {"a": A}, "Signer2-Train/0001.npz": {"b": B}, "0003.npz": {"c": C}})
    os.rename(root / "01-train" / "0001.npz", root / "01-train" / "0001.NPZ")
    for name in ("01-train/._0001.npz", "01-train/notes.txt", "01-train/0002/deep/x.npz", "videos/a.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    expected = [
        "folder 'Signer2-Train' is not read, but has clips, e.g. 'Signer2-Train/0001.npz': rename 'Signer2-Train' to "
        "'02-train'",
        "2 folders are not read: '01-train/0002/deep', 'videos'",
        "1 hidden file or folder is not read: '01-train/._0001.npz'",
        "1 file of another type is not read: '01-train/notes.txt'",
        "1 file outside of a folder like '01-train' is not read: '0003.npz'",
    ]
    result = found(root)
    assert ids(result) == ["01-train/0001/a"]
    assert sorted(result.notes) == sorted(expected)
    logged: list[str] = []
    monkeypatch.setattr("karsl.datasets.karsl.print_log", lambda text, **_: logged.append(text))
    dataset = KArSLDataset(data_root=str(root), pipeline=[dict(type="LoadKeypoints")])
    assert dataset[0]["keypoint"].shape == (5, 184, 3)
    assert sorted(text.partition(": ")[2] for text in logged) == sorted(expected)
    assert main(["prepare", str(root)]) == 0
    out = capsys.readouterr().out
    assert all(f"note: {note}" in out for note in expected)


def test_no_advice_to_remove_a_folder_that_is_not_empty(tmp_path):
    root = make_root(tmp_path, {"01-train/0001.npz": {"a": A}})
    (root / "01-test").mkdir()
    (root / "01-test" / "0001.mp4").touch()
    (problem,) = found(root).problems
    assert problem.startswith("01-test: the folder has no .npz, ")
    assert problem.endswith(" file, only '0001.mp4'; copy its clips there, or move the folder away")


def test_prepare_takes_nan_as_missing_on_request_and_notes_likely_markers(tmp_path, capsys):
    clip, marked = A.copy(), B.copy()
    clip[0, 0] = np.nan
    marked[:, :4, :2] = -1
    root = make_root(tmp_path, {"01-train/0001.npz": {"a": clip}, "01-train/0002.npz": {"b": marked}})
    assert main(["prepare", str(root)]) == 2
    capsys.readouterr()
    assert main(["prepare", str(root), "--nonfinite", "missing"]) == 0
    out = capsys.readouterr().out
    assert "LoadKeypoints(nonfinite='missing')" in out
    assert "e.g. in clip '01-train/0002/b'; if they are missing, use --missing minus_one" in out
    assert main(["prepare", str(root), "--nonfinite", "missing", "--missing", "minus_one"]) == 0
    out = capsys.readouterr().out
    assert "use --missing" not in out
    assert "karsl pack" in out
