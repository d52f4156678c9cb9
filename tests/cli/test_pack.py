"""`karsl pack`: one line for what was done, one for what is wrong."""

from __future__ import annotations

import json

import pytest

from karsl.cli.main import main


@pytest.fixture
def pack(corpus, tmp_path, capsys):
    assert main(["pack", str(corpus), str(tmp_path / "pack"), "--shard-size", "0.001"]) == 0
    return tmp_path / "pack"


def clip_ids(pack) -> list[str]:
    content = json.loads((pack / "annotations.json").read_text(encoding="utf-8"))
    return [r["clip_id"] for r in content["data_list"]]


def test_a_data_root_is_packed_and_how_to_train_is_said(pack, capsys):
    out = capsys.readouterr().out
    assert "84 clips packed\n84 clips, 4 MiB of float16, 5 shards in " in out
    assert "largest rounding to float16: 0.000" in out
    assert f"train from it with data_root='{pack}', ann_file='annotations.json'" in out


def test_clips_are_removed_appended_and_verified(corpus, pack, capsys):
    ids = clip_ids(pack)
    assert main(["pack", str(pack), "--remove", ids[3], ids[50]]) == 0
    assert "2 clips taken out of" in capsys.readouterr().out
    assert main(["pack", "--verify", str(pack)]) == 0
    assert "every byte is what was written: 82 clips, 5 shards" in capsys.readouterr().out
    assert main(["pack", str(corpus), str(pack), "--append"]) == 0
    assert "82 clips were in the pack before\n2 clips packed\n84 clips" in capsys.readouterr().out
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


def test_options_that_say_nothing_useful_are_refused(corpus, pack, capsys):
    for arguments, words in (
        ([str(corpus)], "1 paths given, expected SOURCE and PACK"),
        (["--verify", str(corpus), str(pack)], "2 paths given, expected PACK alone"),
        ([str(corpus), str(pack)], "holds a pack; add clips to it with --append, or make it anew with --replace"),
        ([str(corpus), str(pack) + "2", "--workers", "-1"], "expected 0 or more"),
        (["--verify", str(corpus)], "holds no manifest.json, so it is no finished pack"),
        ([str(corpus / "none"), str(pack)], "no file or folder"),
        ([str(pack), "--remove", "nobody"], "no clip 'nobody'"),
    ):
        assert main(["pack", *arguments]) == 2
        error = capsys.readouterr().err
        assert words in error.replace("\n", " "), error
        assert error.startswith("karsl pack: ")
