"""`karsl audit`: a summary, JSON, a list of clips that datasets leave out, and a page; nothing in the source is changed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.datasets import KArSLDataset
from karsl.errors import ConfigError
from karsl.io.hashing import fingerprint_files, list_files
from tests.audit import planted


@pytest.fixture
def faulty(corpus, tmp_path):
    """A corpus with an empty clip, and a clip in pixels; and their names."""
    clips = planted.load(corpus)
    names = []
    for file, fault in (("01-train/0001.npz", "empty"), ("02-test/0002.npz", "pixels")):
        key = next(iter(clips[file]))
        clips[file][key] = planted.CONTENT[fault][1](clips[file][key])
        names.append(f"{file[:-4]}/{key}")
    return planted.save(tmp_path / "root", clips, corpus), names


def test_a_sound_corpus_has_status_0(corpus, capsys):
    assert main(["audit", str(corpus)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("84 clips of 4 signs, skeleton karsl_184, ")
    assert out.endswith("no finding\n")


def test_problems_have_status_1_and_are_in_the_summary_and_in_json(faulty, tmp_path, capsys):
    root, names = faulty
    before = fingerprint_files(root, list_files(root))
    assert main(["audit", str(root), "--json", str(tmp_path / "audit.json")]) == 1
    out = capsys.readouterr().out
    assert f"problem: 1 clip has no point in any frame: {names[0]}; extract the keypoints again\n" in out
    content = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    found = {finding["kind"]: [clip["clip_id"] for clip in finding["clips"]] for finding in content["findings"]}
    assert found == {"empty": names[:1], "unit": names[1:]}
    assert content["left_out"] == names
    assert fingerprint_files(root, list_files(root)) == before


def test_a_pack_and_its_annotation_file_give_the_same_findings(faulty, tmp_path, capsys):
    root, names = faulty
    assert main(["pack", str(root), str(tmp_path / "pack"), "--workers", "0"]) == 0
    outputs = []
    for source in (root, tmp_path / "pack", tmp_path / "pack" / "annotations.json"):
        capsys.readouterr()
        assert main(["audit", str(source)]) == 1
        outputs.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("problem")])
    assert outputs[0] == outputs[1] == outputs[2]
    assert len(outputs[0]) == 2


def test_datasets_leave_out_the_listed_clips(faulty, tmp_path):
    root, names = faulty
    assert main(["audit", str(root), "--write-exclude", str(root / "exclude.txt")]) == 1
    everything = KArSLDataset(data_root=str(root))
    sound = KArSLDataset(data_root=str(root), filter_cfg=dict(exclude="exclude.txt"))
    assert len(everything) == 84
    ids = [sound.get_data_info(index)["clip_id"] for index in range(len(sound))]
    assert len(ids) == 82
    assert not set(names) & set(ids)
    (root / "exclude.txt").write_text(f"# only one\n{names[0]}\n")  # the index of the other list is not used
    assert len(KArSLDataset(data_root=str(root), filter_cfg=dict(exclude="exclude.txt"))) == 83
    assert len(KArSLDataset(data_root=str(root), filter_cfg=dict(exclude=names, split="train"))) == 59


def test_a_missing_list_is_one_sentence(corpus):
    with pytest.raises(ConfigError, match="no file exclude='none.txt'; write it with 'karsl audit --write-exclude'"):
        len(KArSLDataset(data_root=str(corpus), filter_cfg=dict(exclude="none.txt")))


def test_a_folder_of_clips_of_another_skeleton_is_one_line(tmp_path, capsys):
    rng = np.random.default_rng(0)
    planted.save(tmp_path / "root", {f"01-train/{n:04d}.npz": {"a": rng.random((9, 75, 4))} for n in range(1, 60)})
    assert main(["audit", str(tmp_path / "root")]) == 2
    error = capsys.readouterr().err
    assert (
        "  59 clips with 75 keypoints, the skeleton has 184; mp_75 has 75: --source-skeleton mp_75: 01-train/0001.npz"
        in error
    )
    assert error.count("\n") <= 3


def test_prepare_prints_the_findings(faulty, capsys, tmp_path):
    root, names = faulty
    words = ["prepare", str(root), "--out", str(tmp_path / "annotations.json")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert f"note: 1 clip without a point in any frame: {names[0]}\n" in out
    assert f"audit: 1 clip has another unit than the corpus, such as pixels: {names[1]} (" in out
    assert main([*words, "--quick"]) == 0
    assert "audit: " not in capsys.readouterr().out


def test_the_page_is_written_with_its_clips(faulty, tmp_path, capsys):
    root, _ = faulty
    assert main(["audit", str(root), "--html", str(tmp_path / "audit.html")]) == 1
    assert capsys.readouterr().out.endswith(f"page: {tmp_path / 'audit.html'}\npage: {tmp_path / 'audit-clips.html'}\n")
