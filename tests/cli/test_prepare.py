"""`karsl prepare`: writes an annotation file, or reports all problems."""

import json

import numpy as np

from karsl.cli.main import main
from karsl.formats.karsl import scan
from karsl.io.npz import read_range
from karsl.io.reader import ClipReader

OWN_SKELETON = """
from karsl.skeletons import Skeleton, register_skeleton
register_skeleton(Skeleton("my_two_points", (("pose", ("left_a", "right_a")),)))
"""


def test_the_annotation_file_is_in_openmmlabs_format(write_clips, capsys):
    root = write_clips({"01-train/0002.npz": {"a": 3}, "02-test/0005.npz": {"b": 4}})
    assert main(["prepare", str(root)]) == 0
    content = json.loads((root / "annotations.json").read_text(encoding="utf-8"))
    assert content["metainfo"]["signs"] == [2, 5]
    assert [r["label"] for r in content["data_list"]] == [0, 1]
    assert "2 clips of 2 signs (01-train 1, 02-test 1), 3-4 frames" in capsys.readouterr().out


def test_problems_end_with_status_2_and_nothing_written(write_clips, capsys):
    clip = np.full((3, 184, 4), np.nan, np.float32)
    root = write_clips({"01-train/0002.npz": {"a": clip, "b": 4}, "01-train/x.npz": {"a": 3}})
    assert main(["prepare", str(root)]) == 2
    assert not (root / "annotations.json").exists()
    error = capsys.readouterr().err
    assert error.startswith(f"karsl prepare: 2 problems in {root}:\n")
    assert "clip 'a' has 2208 values that are NaN or infinite, first in frame 0, keypoint 0" in error
    assert main(["prepare", str(root), "--skip-bad", "--out", str(root / "new" / "ann.json")]) == 0
    assert len(json.loads((root / "new" / "ann.json").read_text())["data_list"]) == 1


def test_quick_reads_headers_only(write_clips):
    root = write_clips({"01-train/0002.npz": {"a": np.full((3, 184, 4), np.nan, np.float32)}})
    assert main(["prepare", str(root), "--quick"]) == 0


def test_a_missing_folder_is_one_line(tmp_path, capsys):
    assert main(["prepare", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_each_clip_is_read_once_for_the_scan_and_the_audit(write_clips, monkeypatch, capsys):
    root = write_clips({"01-train/0002.npz": {"a": np.zeros((3, 184, 4)), "b": 4}, "02-test/0005.npz": {"b": 4}})
    reads = []
    monkeypatch.setattr(scan, "read_range", lambda path, key, place: reads.append(key) or read_range(path, key, place))
    monkeypatch.setattr(ClipReader, "read", lambda self, record, *_, **__: reads.append(record["keypoint_key"]))
    assert main(["prepare", str(root)]) == 0
    assert reads == ["a", "b", "b"]
    assert "1 clip without a point in any frame: 01-train/0002/a" in capsys.readouterr().out


def test_the_same_folder_gives_the_same_bytes(corpus, tmp_path):
    for name in ("a.json", "b.json"):
        assert main(["prepare", str(corpus), "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_the_output_explains_how_to_use_the_file(write_clips, capsys):
    root = write_clips({"01-train/0002.npz": {"a": 3}})
    assert main(["prepare", str(root)]) == 0
    assert f"to use it: karsl train CONFIG --data-root {root} --ann-file annotations.json" in capsys.readouterr().out


def test_a_custom_skeleton_is_registered_by_an_imported_module(write_clips, tmp_path, monkeypatch):
    (tmp_path / "my_points_of_prepare.py").write_text(OWN_SKELETON, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    root = write_clips({"01-train/0001.npz": {"a": np.ones((3, 2, 4), np.float32)}})
    words = ["prepare", str(root), "--skeleton", "my_two_points"]
    assert main(words) == 2
    assert main([*words, "--import", "my_points_of_prepare"]) == 0
    content = json.loads((root / "annotations.json").read_text(encoding="utf-8"))
    assert content["metainfo"]["skeleton"] == "my_two_points"


def notes(out: str) -> list[str]:
    return [line.removeprefix("note: ") for line in out.splitlines() if line.startswith("note: ")]


def test_irregular_counts_are_noted_without_failing(write_clips, capsys):
    usual = dict.fromkeys("abcd", 2)
    files = {f"{folder}/{sign:04d}.npz": usual for folder in ("01-train", "02-train") for sign in (1, 2, 3, 600)}
    files |= {"01-test/0001.npz": {"t": 2}, "01-test/0002.npz": {"t": 2}, "01-test/0003.npz": {"t": 2}}
    del files["02-train/0002.npz"]
    files["01-train/0003.npz"] = {"a": 2}
    root = write_clips(files)
    assert main(["prepare", str(root)]) == 0
    assert notes(capsys.readouterr().out) == [
        "signer 02 has no test",
        "01-test lacks 0600",
        "02-train lacks 0002",
        "SignIDs above 502, the last of KArSL: 0600",
        "unusual numbers of clips: 01-train/0003 has 1; the median is 1 in test and 4 in train",
    ]


def test_a_complete_copy_has_no_notes_and_a_poor_one_at_most_six(corpus, write_clips, tmp_path, capsys):
    assert main(["prepare", str(corpus), "--out", str(tmp_path / "a.json")]) == 0
    assert notes(capsys.readouterr().out) == []
    root = write_clips({f"{n:02d}-train/{n:04d}.npz": {"a": 2} for n in range(1, 10)})
    assert main(["prepare", str(root)]) == 0
    assert notes(capsys.readouterr().out)[:2] == [
        "01-train lacks 0002, 0003, 0004, 0005 and 4 more",
        "02-train lacks 0001, 0003, 0004, 0005 and 4 more",
    ]
    assert main(["prepare", str(root), "--quick"]) == 0
    assert len(notes(capsys.readouterr().out)) == 6


def test_clips_without_any_point_are_listed(write_clips, capsys):
    empty = np.zeros((3, 184, 4), np.float32)
    empty[..., 3] = 0.5  # visibility of points that are missing
    once = np.zeros((3, 184, 4), np.float32)
    once[2, 5, 0] = 0.5
    root = write_clips({"01-train/0001.npz": {"a": empty, "b": once, "c": 2}, "01-train/0002/d.npz": {"x": empty[:, :, :3]}})
    assert main(["prepare", str(root)]) == 0
    assert notes(capsys.readouterr().out) == ["2 clips without a point in any frame: 01-train/0001/a, 01-train/0002/d"]
    assert main(["prepare", str(root), "--quick"]) == 0
    assert notes(capsys.readouterr().out) == []


def test_the_annotation_file_of_a_pack_is_not_overwritten(corpus, tmp_path, capsys):
    assert main(["pack", str(corpus), str(tmp_path / "pack"), "--workers", "0"]) == 0
    before = (tmp_path / "pack" / "annotations.json").read_bytes()
    assert main(["prepare", str(corpus), "--quick", "--out", str(tmp_path / "pack" / "annotations.json")]) == 2
    assert "is a pack, which has its own annotation file; choose another folder for --out" in capsys.readouterr().err
    assert (tmp_path / "pack" / "annotations.json").read_bytes() == before
