"""The options of array files in the commands: what is printed, written, and rejected."""

from __future__ import annotations

import json

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.datasets import KeypointDataset


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Stacks of rows of 258 columns, one file per word, with a suffix in capitals."""
    (tmp_path / "clips").mkdir()
    for word, count in (("hello", 3), ("yes", 2)):
        stack = np.random.default_rng(count).uniform(0.1, 1, (count, 6, 258)).astype(np.float32)
        np.save(tmp_path / "clips" / f"{word}.npy", stack)
        (tmp_path / "clips" / f"{word}.npy").rename(tmp_path / "clips" / f"{word}.NPY")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "clips"


def test_prepare_writes_an_annotation_file_that_is_read_without_options(clips, capsys):
    assert main(["prepare", "clips", "--layout", "pose:33x4, lh:21x3, rh:21x3"]) == 0
    assert "5 clips, 6-6 frames\nannotation file: clips/annotations.json" in capsys.readouterr().out
    content = json.loads((clips / "annotations.json").read_text(encoding="utf-8"))
    assert content["data_list"][4] == {
        "clip_id": "yes/000001",
        "keypoint_path": "yes.NPY",
        "keypoint_index": 1,
        "label": 1,
        "num_frames": 6,
    }
    dataset = KeypointDataset("annotations.json", data_root="clips", pipeline=[dict(type="LoadKeypoints")])
    expected = np.load(clips / "yes.NPY")[1].reshape(6, -1)[:, :4]
    np.testing.assert_array_equal(dataset[4]["keypoint"][:, 0], expected[:, :3])


def test_prepare_reports_values_that_are_not_finite_and_skips_their_clips(clips, capsys):
    stack = np.load(clips / "yes.NPY")
    stack[1, 0, 0] = np.nan
    np.save(clips / "no.npy", stack)
    assert main(["prepare", "clips", "--layout", "holistic_258"]) == 2
    assert "no.npy, clip 1 has 1 values that are NaN or infinite, first in frame 0, keypoint 0" in capsys.readouterr().err
    assert main(["prepare", "clips", "--layout", "holistic_258", "--skip-bad"]) == 0
    assert "6 clips" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["pack", "clips", "out"], ["convert", "clips", "out", "--to", "annotation"]])
def test_a_guess_is_printed_with_the_command_that_shows_it(clips, command, capsys):
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "is read as 'holistic_258'; check it with: karsl browse clips --layout holistic_258" in out
    assert "2 classes from the names of files" in out


def test_browse_draws_clips_by_their_layout_and_rejects_it_for_a_config(clips, tmp_path, capsys):
    options = ["--layout", "holistic_258", "--not-show", "--output-dir", "sheets", "-n", "1"]
    assert main(["browse", "clips", *options]) == 0
    assert len(list((tmp_path / "sheets").glob("*.png"))) > 0
    (tmp_path / "config.py").write_text("train_dataloader = dict()\n")
    capsys.readouterr()
    assert main(["browse", "config.py", *options]) == 2
    assert "--layout is for folders and files, but 'config.py' is a config; remove it" in capsys.readouterr().err


def test_clips_without_labels_are_packed_but_not_converted_which_names_the_option(clips, capsys):
    assert main(["pack", "clips", "out", "--labels", "none", "--layout", "holistic_258"]) == 0
    assert main(["convert", "clips", "new", "--to", "annotation", "--labels", "none", "--layout", "holistic_258"]) == 2
    assert "record 0 has no ['label']; add it" in (err := capsys.readouterr().err)
    assert err.rstrip().endswith("labels of array files: --labels FILE (labels=)")
