"""Runs over many clips: the same bytes for any workers and interruptions, failures in a report, nothing half written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.datasets import KArSLDataset, KeypointDataset
from karsl.io.annotations import parse_annotations
from karsl.io.atomic import exclusive_lock

OPTIONS = ("--extractor", "brightest", "--import", "brightest", "--skeleton", "hand_42")


@pytest.fixture
def extract(brightest, tmp_path):
    """`extract(out)` runs the command on `tmp_path/videos` in this process."""
    return lambda out, *more, workers="0": main(
        ["extract", str(tmp_path / "videos"), str(out), *OPTIONS, "--workers", workers, *more]
    )


@pytest.fixture
def videos(tmp_path, make_frames) -> Path:
    root = tmp_path / "videos"
    make_frames(root / "no" / "b", [(4, 2, 9), (0, 0, 0), (6, 1, 9)])
    make_frames(root / "yes" / "a", [(1, 1, 9)] * 5)
    make_frames(root / "yes" / "c", [(2, 3, 9)] * 9)
    return root


def content(out: Path) -> dict[str, bytes]:
    """Everything that other commands read."""
    files = [*sorted((out / "clips").rglob("*")), out / "annotations.json"]
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in files if p.is_file()}


def in_a_process(videos: Path, out: Path, workers: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "karsl", "extract", str(videos), str(out), *OPTIONS, "--workers", workers]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def test_clips_records_and_classes_are_written(extract, videos, annotations, tmp_path, capsys):
    assert extract(tmp_path / "out") == 0
    clip = np.load(tmp_path / "out" / "clips" / "no" / "b.npy")
    assert (clip.shape, clip.dtype) == ((3, 42, 4), np.float32)
    assert clip[:, 21].tolist() == [[0.5, 0.5, 0, 0.5], [0, 0, 0, 0], [0.75, 0.25, 0, 0.5]]  # the right wrist
    assert np.count_nonzero(np.delete(clip, 21, axis=1)) == 0
    metainfo, records = parse_annotations(tmp_path / "out" / "annotations.json")
    assert metainfo["classes"] == ["no", "yes"]
    assert metainfo["extractor"] == {"name": "brightest", "version": "1"}
    assert metainfo["video_root"] == str(videos)
    assert records[0] == {
        "clip_id": "no/b", "keypoint_path": "clips/no/b.npy", "num_frames": 3, "img_shape": [4, 8], "left_hand": 0.0,
        "right_hand": 0.6667, "video": "no/b", "label": 0,
    }  # fmt: skip
    assert [record["label"] for record in records] == [0, 1, 1]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["clips"], report["frames"], report["missing_hands"]) == (3, 17, {"left_hand": 1.0, "right_hand": 0.0588})
    assert "3 clips, 17 frames in" in capsys.readouterr().out


def test_a_dataset_reads_the_result(extract, videos, tmp_path):
    extract(tmp_path / "out")
    pipeline = [dict(type="LoadKeypoints")]
    dataset = KeypointDataset("annotations.json", data_root=str(tmp_path / "out"), pipeline=pipeline)
    assert len(dataset) == 3
    assert np.isnan(dataset[0]["keypoint"][1]).all()
    assert dataset[0]["keypoint_score"][:, 21].tolist() == [0.5, 0, 0.5]


def test_the_files_do_not_depend_on_workers(extract, videos, tmp_path):
    assert extract(tmp_path / "0", workers="0") == 0
    assert extract(tmp_path / "2", workers="2") == 0
    assert content(tmp_path / "0") == content(tmp_path / "2")


@pytest.mark.parametrize("killed", ["parent", "worker"])
def test_a_killed_run_is_resumed_with_the_same_files(extract, videos, make_frames, tmp_path, killed):
    """The worker that sees a picture of full brightness kills its parent or itself, in mid clip."""
    make_frames(videos / "yes" / "b", [(3, 3, 9)] * 4 + [(3, 3, 255)])
    done = in_a_process(videos, tmp_path / "torn", "1", BRIGHTEST_KILLS=killed)
    if killed == "parent":
        assert done.returncode == -9
    else:
        assert done.returncode == 2
        assert "a worker ended with status -9" in done.stderr
        assert "Traceback" not in done.stderr
    assert len((tmp_path / "torn" / "journal.jsonl").read_text().splitlines()) == 2
    assert not (tmp_path / "torn" / "annotations.json").exists()
    with (tmp_path / "torn" / "journal.jsonl").open("a") as journal:
        journal.write('{"recipe": "torn line')
    assert extract(tmp_path / "torn") == 0
    assert json.loads((tmp_path / "torn" / "report.json").read_text())["resumed"] == 2
    assert extract(tmp_path / "whole") == 0
    assert content(tmp_path / "torn") == content(tmp_path / "whole")


@pytest.mark.parametrize("change", ["recipe", "skeleton", "video", "file"])
def test_a_clip_is_extracted_again_if_anything_changed(extract, videos, make_frames, tmp_path, monkeypatch, change):
    assert extract(tmp_path / "out") == 0
    options = ()
    if change == "recipe":
        monkeypatch.setenv("BRIGHTEST_VERSION", "2")
    elif change == "skeleton":
        options = ("--skeleton", "mp_75")
    elif change == "video":
        (videos / "no" / "b" / "2.png").unlink()
    else:
        (tmp_path / "out" / "clips" / "no" / "b.npy").write_bytes(b"torn")
    assert extract(tmp_path / "out", *options) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["resumed"] == (2 if change in ("video", "file") else 0)
    clip = np.load(tmp_path / "out" / "clips" / "no" / "b.npy")
    assert clip.shape == (2 if change == "video" else 3, 75 if change == "skeleton" else 42, 4)


def test_failures_are_listed_and_the_other_clips_are_written(extract, videos, make_frames, annotations, tmp_path, capsys):
    make_frames(videos / "no" / "a", [(1, 1, 9), (1, 1, 254)])
    make_frames(videos / "no" / "d", [(1, 1, 9)])
    (videos / "no" / "d" / "1.png").write_bytes(b"no picture")
    (videos / "no" / "e.mp4").write_bytes(b"no video")
    assert extract(tmp_path / "out", workers="2") == 1
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["failures"] == {
        "no/a": "ValueError: too bright",
        "no/d": f"{videos}/no/d/1.png: not a readable picture (cannot identify image file '{videos}/no/d/1.png')",
        "no/e.mp4": "not a readable video (Invalid data found when processing input)",
    }
    assert "failed: no/a: ValueError: too bright\n" in (err := capsys.readouterr().err)
    assert "3 clips failed; the same command tries them again" in err
    assert [r["clip_id"] for r in annotations(tmp_path / "out")["data_list"]] == ["no/b", "yes/a", "yes/c"]
    assert not list((tmp_path / "out").rglob("*.part*"))
    for bad in ("no/a/1.png", "no/d/1.png", "no/e.mp4"):
        (videos / bad).unlink()
    assert extract(tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["resumed"] == 3


def test_doubts_are_in_the_records_and_in_the_report(extract, videos, make_frames, annotations, tmp_path, capsys):
    make_frames(videos / "no" / "dark", [(0, 0, 0)] * 2)
    (videos / "yes" / "a" / "3.png").unlink()
    assert extract(tmp_path / "out") == 0
    records = {r["clip_id"]: r.get("doubts", []) for r in annotations(tmp_path / "out")["data_list"]}
    assert records == {
        "no/b": [],
        "no/dark": ["no keypoint was found in any frame"],
        "yes/a": ["the numbers of the pictures are not consecutive: 4 follows 2"],
        "yes/c": [],
    }
    assert "doubtful: no/dark: no keypoint was found in any frame\n" in capsys.readouterr().out


def test_clips_of_karsl_are_labeled_by_sign_with_glosses_of_the_sheet(extract, make_frames, annotations, tmp_path):
    root = tmp_path / "videos"
    make_frames(root / "01" / "01" / "train" / "0071" / "03_01_0071_(01_12_16_15_53_03)_c", [(1, 1, 9)])
    make_frames(root / "01" / "01" / "test" / "0003" / "01_01_0003_(12_01_17_15_53_03)_c", [(1, 1, 9)])
    (root / "labels.csv").write_text("SignID,Sign-Arabic,Sign-English\n3,ثلاثة,three\n71,هيكل عظمي,skeleton\n")
    assert extract(tmp_path / "out") == 0
    content = annotations(tmp_path / "out")
    assert content["metainfo"]["classes"] == ["three", "skeleton"]
    assert content["metainfo"]["signs"] == [3, 71]
    assert [(r["clip_id"], r["label"], r["session"]) for r in content["data_list"]] == [
        ("01-test/0003/01_01_0003_(12_01_17_15_53_03)_c", 0, "2017-01-12"),
        ("01-train/0071/03_01_0071_(01_12_16_15_53_03)_c", 1, "2016-12-01"),
    ]
    options = dict(data_root=str(tmp_path / "out"), pipeline=[dict(type="LoadKeypoints")], skeleton="hand_42")
    dataset = KArSLDataset("annotations.json", filter_cfg=dict(subset="karsl100", signers=1), **options)
    assert (len(dataset), dataset.metainfo["classes"], dataset[0]["label"]) == (1, ("skeleton",), 0)


def test_a_table_of_another_corpus_is_not_read_as_a_label_sheet(extract, videos, tmp_path):
    (videos / "labels.csv").write_text("signer0_sample1000,164")
    assert extract(tmp_path / "out") == 0


def test_a_corrected_list_changes_the_records_without_a_new_extraction(extract, videos, annotations, tmp_path):
    table = tmp_path / "videos.csv"
    for signer in ("1", "2"):
        table.write_text(f"path,class,signer\nvideos/yes/a,yes,{signer}\n")
        options = [str(table), str(tmp_path / "out"), *OPTIONS, "--workers", "0"]
        assert main(["extract", *options]) == 0
    (record,) = annotations(tmp_path / "out")["data_list"]
    assert (record["clip_id"], record["signer"]) == ("videos/yes/a", "2")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["resumed"] == 1


def test_a_sign_that_the_sheet_lacks_is_noted(extract, make_frames, annotations, tmp_path, capsys):
    make_frames(tmp_path / "videos" / "01" / "train" / "0007" / "a", [(1, 1, 9)])
    (tmp_path / "videos" / "labels.csv").write_text("SignID,Sign-Arabic,Sign-English\n3,ثلاثة,three\n")
    assert extract(tmp_path / "out") == 0
    assert "note: the label sheet lacks sign 7, so all classes are named by SignID" in capsys.readouterr().out
    assert annotations(tmp_path / "out")["metainfo"]["classes"] == ["0007"]


def test_a_pack_is_written_and_its_clips_are_kept_while_some_failed(extract, videos, tmp_path, capsys):
    (videos / "no" / "e.mp4").write_bytes(b"no video")
    assert extract(tmp_path / "pack", "--to", "pack") == 1
    (videos / "no" / "e.mp4").unlink()
    assert "no/e.mp4" in json.loads((tmp_path / "pack.report.json").read_text())["failures"]
    assert extract(tmp_path / "pack", "--to", "pack") == 0
    assert json.loads((tmp_path / "pack.report.json").read_text())["resumed"] == 3
    assert main(["pack", "--verify", str(tmp_path / "pack")]) == 0
    assert "all checksums match: 3 clips" in capsys.readouterr().out
    assert not (tmp_path / ".pack.extraction").exists()
    assert extract(tmp_path / "pack", "--to", "pack") == 2
    assert "exists; choose another name" in capsys.readouterr().err


def test_clips_of_another_source_in_the_same_folder_are_noted_and_kept(extract, videos, tmp_path, capsys):
    assert extract(tmp_path / "out") == 0
    (videos / "yes").rename(tmp_path / "aside")
    assert extract(tmp_path / "out") == 0
    assert "note: 2 clips of earlier runs in" in capsys.readouterr().out
    (tmp_path / "aside").rename(videos / "yes")
    assert extract(tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["resumed"] == 3


def test_a_folder_of_another_origin_is_not_written(extract, videos, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "annotations.json").write_text("{}")
    assert extract(tmp_path / "out") == 2
    assert "contains 'annotations.json', which no extraction wrote" in capsys.readouterr().err
    assert (tmp_path / "out" / "annotations.json").read_text() == "{}"


def test_the_log_of_a_batch_job_has_lines_with_rate_and_remaining_time(extract, videos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("karsl.cli.extract._LOG_INTERVAL_S", 0)
    assert extract(tmp_path / "out") == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["1/3 clips", "2/3 clips"]
    assert all(re.fullmatch(r"\d/3 clips, extracting, [0-9.]+ frames/s, \d+ min left", line) for line in lines)


def test_a_library_that_is_not_installed_ends_the_run_with_its_extra(extract, videos, tmp_path, capsys, monkeypatch):
    (videos / "no" / "a.mp4").write_bytes(b"a video")
    monkeypatch.setitem(sys.modules, "av", None)
    assert extract(tmp_path / "out") == 2
    assert "PyAV is not installed; install it with: pip install 'karsl[extract]'\n" in capsys.readouterr().err


def test_two_runs_do_not_write_one_folder(extract, videos, tmp_path, capsys):
    with exclusive_lock(tmp_path / "out"):
        assert extract(tmp_path / "out") == 2
    assert "another process is writing" in capsys.readouterr().err


def test_a_full_disk_ends_the_run_with_one_sentence_and_keeps_what_is_done(extract, videos, make_frames, tmp_path, capsys):
    """The limit of a file's size is that of a disk without room."""
    resource = pytest.importorskip("resource", reason="this system has no limits of processes")
    make_frames(videos / "yes" / "long", [(1, 1, 9)] * 50)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        assert extract(tmp_path / "out") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "no room left for" in (err := capsys.readouterr().err)
    assert err.count("\n") == 1
    assert extract(tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["resumed"] == 3
