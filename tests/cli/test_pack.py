"""`karsl pack`: packs, appends, removes, verifies, and reports each in one line."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from karsl.cli.main import main


@pytest.fixture
def pack(corpus, tmp_path, capsys):
    assert main(["pack", str(corpus), str(tmp_path / "pack"), "--shard-size", "0.001"]) == 0
    return tmp_path / "pack"


def clip_ids(pack) -> list[str]:
    content = json.loads((pack / "annotations.json").read_text(encoding="utf-8"))
    return [r["clip_id"] for r in content["data_list"]]


def test_a_data_root_is_packed_with_a_hint_for_training(pack, capsys):
    out = capsys.readouterr().out
    assert "84 clips packed\n84 clips, 4 MiB of float16, 5 shards in " in out
    assert "largest rounding to float16: 0.000" in out
    assert f"train from it with data_root='{pack}', ann_file='annotations.json'" in out


def test_clips_are_removed_appended_and_verified(corpus, pack, capsys):
    ids = clip_ids(pack)
    assert main(["pack", str(pack), "--remove", ids[3], ids[50]]) == 0
    assert "2 clips removed from" in capsys.readouterr().out
    assert main(["pack", "--verify", str(pack)]) == 0
    assert "all checksums match: 82 clips, 5 shards" in capsys.readouterr().out
    assert main(["pack", str(corpus), str(pack), "--append"]) == 0
    assert "82 clips already in the pack\n2 clips packed\n84 clips" in capsys.readouterr().out
    assert clip_ids(pack) == [*(i for i in ids if i not in (ids[3], ids[50])), ids[3], ids[50]]
    assert (
        main(["pack", str(pack), str(pack.with_name("wide")), "--dtype", "float32", "--shard-size", "0", "--workers", "1"])
        == 0
    )
    assert "84 clips, 9 MiB of float32, 1 shard in" in capsys.readouterr().out


def test_a_flipped_bit_ends_with_status_2_and_names_the_clip(pack, capsys):
    path = pack / "frames-00000.npy"
    data = bytearray(path.read_bytes())
    data[5000] ^= 4
    path.write_bytes(data)
    assert main(["pack", "--verify", str(pack)]) == 2
    error = capsys.readouterr().err
    assert f"1 problem in {pack}:\n  frames-00000.npy: clip 0, frames 0 to " in error
    assert f"({clip_ids(pack)[0]}) are not what was written; copy the shard again" in error


def test_invalid_options_are_rejected(corpus, pack, capsys):
    for arguments, words in (
        ([str(corpus)], "1 paths given, expected SOURCE and PACK"),
        (["--verify", str(corpus), str(pack)], "2 paths given, expected PACK only"),
        ([str(corpus), str(pack)], "holds a pack; add clips to it with --append, or write it again with --replace"),
        ([str(corpus), str(pack) + "2", "--workers", "-1"], "expected 0 or more"),
        (["--verify", str(corpus)], "holds no manifest.json, so it is no finished pack"),
        ([str(corpus / "none"), str(pack)], "no file or folder"),
        ([str(pack), "--remove", "unknown"], "no clip 'unknown'"),
    ):
        assert main(["pack", *arguments]) == 2
        error = capsys.readouterr().err
        assert words in error.replace("\n", " "), error
        assert error.startswith("karsl pack: ")


@pytest.fixture
def pyskl(tmp_path):
    """Write a pickle like pyskl with two clips of COCO keypoints, which it does not name."""
    points = np.random.default_rng(0).random((1, 9, 17, 2), np.float32)
    clip = {"label": 0, "img_shape": (1, 1), "keypoint": points, "keypoint_score": np.ones((1, 9, 17), np.float32)}
    annotations = [{**clip, "frame_dir": name, "total_frames": 9} for name in ("a", "b")]
    path = tmp_path / "pyskl.pkl"
    path.write_bytes(pickle.dumps({"split": {"train": ["a", "b"]}, "annotations": annotations}))
    return path


def test_a_pickle_of_pyskl_is_packed_and_browsed_with_a_source_skeleton(pyskl, tmp_path, capsys):
    trusted, out = ["--trust-pickle", str(pyskl)], tmp_path / "pack"
    assert main(["pack", str(pyskl), str(out), *trusted]) == 2
    assert "the file does not name its skeleton; pass --source-skeleton NAME" in capsys.readouterr().err
    assert main(["pack", str(pyskl), *trusted, str(out), "--source-skeleton", "coco_17", "--skeleton", "mp_75"]) == 0
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["skeleton"] == "mp_75"
    shown = ["--source-skeleton", "coco_17", "--not-show", "--output-dir", str(tmp_path / "shown"), "-n", "1"]
    assert main(["browse", str(pyskl), *trusted, *shown]) == 0
    assert (tmp_path / "shown" / "overview.png").is_file()


def test_a_custom_skeleton_is_registered_by_an_imported_module(pyskl, tmp_path, monkeypatch, capsys):
    (tmp_path / "my_points_of_pack.py").write_text(
        "from karsl.skeletons import Skeleton, register_skeleton\n"
        "register_skeleton(Skeleton('my_17', (('pose', tuple(f'point_{n}' for n in range(17))),)))\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ["pack", str(pyskl), str(tmp_path / "pack"), "--trust-pickle", str(pyskl), "--source-skeleton", "my_17"]
    assert main(words) == 2
    assert "Register your own in a module and pass it with --import MODULE\n" in capsys.readouterr().err
    assert main([*words, "--import", "my_points_of_pack"]) == 0
    assert "2 clips packed" in capsys.readouterr().out


def test_a_data_root_is_not_written_into(corpus, tmp_path, capsys):
    assert main(["pack", str(corpus), str(corpus)]) == 2
    assert "contains files that do not belong to a pack" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["pack", "train"])
def test_help_has_examples(command, capsys):
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.count(f"  karsl {command} ") >= 5
