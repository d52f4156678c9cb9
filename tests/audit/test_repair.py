"""Hands are exchanged where they are at the wrists of the other arms, and the records state in how many frames."""

from __future__ import annotations

import json

import numpy as np

from karsl.audit.repair import HandsByWrist
from karsl.cli.main import main
from karsl.formats import open_clips
from tests.audit import planted


def planted_root(corpus, tmp_path, change):
    """Return a copy of the corpus in which a clip was changed, its file, key, and the clip before."""
    clips = planted.load(corpus)
    file = "01-train/0001.npz"
    key, original = next((key, clip) for key, clip in clips[file].items() if clip[:, planted.RIGHT].any())
    clips[file][key] = change(original)
    return planted.save(tmp_path / "root", clips, corpus), f"{file[:-4]}/{key}", original


def test_exchanged_hands_are_exchanged_back_and_counted(corpus, tmp_path):
    root, clip_id, original = planted_root(corpus, tmp_path, planted.swap_hands)
    source = open_clips(root)
    repaired = HandsByWrist(source)
    (record,) = [record for record in repaired.records if "hands_exchanged" in record]
    assert record["clip_id"] == clip_id
    seen = original[:, [planted.RIGHT.start, planted.LEFT.start], :3].any((1, 2))
    assert record["hands_exchanged"] == seen.sum()
    assert repaired.summary == f"hands exchanged in {seen.sum()} frames of 1 of 84 clips"
    np.testing.assert_array_equal(repaired.read(record)[..., :3], original[..., :3])
    assert repaired.metainfo["hands"] == "by-wrist"
    others = [record for record in repaired.records if record["clip_id"] != clip_id]
    assert all((repaired.read(record) == source.read(record)).all() for record in others[:5])


def test_the_commands_repair_hands_and_record_it(corpus, tmp_path, capsys):
    root, clip_id, original = planted_root(corpus, tmp_path, planted.swap_hands)
    assert main(["pack", str(root), str(tmp_path / "pack"), "--hands", "by-wrist", "--dtype", "float32"]) == 0
    assert main(["convert", str(root), str(tmp_path / "new"), "--to", "annotation", "--hands", "by-wrist"]) == 0
    assert capsys.readouterr().out.count("of 1 of 84 clips\n") == 2
    for folder in ("pack", "new"):
        content = json.loads((tmp_path / folder / "annotations.json").read_text())
        (record,) = [record for record in content["data_list"] if "hands_exchanged" in record]
        assert (record["clip_id"], content["metainfo"]["hands"]) == (clip_id, "by-wrist")
        source = open_clips(tmp_path / folder)
        np.testing.assert_array_equal(source.read(record)[..., :3], original[..., :3])


def test_hands_alone_are_packed_after_the_repair(corpus, tmp_path):
    root, clip_id, original = planted_root(corpus, tmp_path, planted.swap_hands)
    words = ["pack", str(root), str(tmp_path / "pack"), "--hands", "by-wrist", "--skeleton", "hand_42", "--dtype", "float32"]
    assert main([*words, "--source-skeleton", "karsl_184"]) == 0
    source = open_clips(tmp_path / "pack")
    (record,) = [record for record in source.records if record["clip_id"] == clip_id]
    np.testing.assert_array_equal(source.read(record)[:, :21, :3], original[:, planted.LEFT, :3])


def test_without_arms_the_error_names_what_is_missing(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((9, 42, 4), np.float32))
    words = ["convert", str(tmp_path / "a.npy"), str(tmp_path / "out"), "--to", "annotation", "--hands", "by-wrist"]
    assert main([*words, "--layout", "hand_42"]) == 2
    error = capsys.readouterr().err
    assert "skeleton 'hand_42' has no right_wrist, left_wrist; --hands by-wrist needs hands and arms" in error


def test_one_hand_twice_stays_as_it_is(corpus, tmp_path):
    root, clip_id, _ = planted_root(corpus, tmp_path, planted.double_hand)
    assert not any("hands_exchanged" in record for record in HandsByWrist(open_clips(root)).records)
