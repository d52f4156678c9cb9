"""Folders and files by their paths, including relative and ambiguous ones."""

from __future__ import annotations

import json
import shutil
import urllib.request
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.errors import AnnotationError
from karsl.formats import open_clips
from karsl.testing import make_corpus
from karsl.visualization import show
from karsl.visualization.clips.open import open_dataset
from karsl.visualization.server import ClipServer, ClipServerState


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder with `clips`, prepared, and `packed`."""
    folder = tmp_path_factory.mktemp("opening")
    make_corpus(folder / "clips", signs=2, signers=("01",), train_clips=2, test_clips=1)
    assert main(["prepare", str(folder / "clips")]) == 0
    assert main(["pack", str(folder / "clips"), str(folder / "packed")]) == 0
    return folder


@pytest.mark.parametrize("source", ["clips", "packed", "clips/annotations.json", "./clips"])
def test_a_path_from_the_current_folder_is_browsed_and_shown(prepared, tmp_path, monkeypatch, source):
    monkeypatch.chdir(prepared)
    assert main(["browse", source, "-n", "1", "--not-show", "--output-dir", str(tmp_path)]) == 0
    assert (tmp_path / "overview.png").is_file()
    assert repr(show(source)) == "<6 of 6 clips>"
    assert "frames" in repr(show(source, 1))


def test_an_annotation_file_is_named_from_the_current_folder(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(prepared)
    words = ["-n", "1", "--not-show", "--output-dir", str(tmp_path), "--ann-file", "annotations.json"]
    assert main(["browse", "clips", *words]) == 0


def test_annotation_file_without_a_skeleton_is_rejected(prepared, tmp_path):
    root = shutil.copytree(prepared / "clips", tmp_path / "clips")
    file = root / "annotations.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    del content["metainfo"]["skeleton"]
    file.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match="the metainfo has no skeleton; use --source-skeleton NAME"):
        open_dataset(file)
    assert len(open_dataset(file, skeleton="karsl_184")) == 6


@pytest.mark.parametrize("source", ["clips", "packed"])
def test_a_path_from_the_current_folder_is_served(prepared, monkeypatch, source):
    monkeypatch.chdir(prepared)
    state = ClipServerState(open_dataset(source))
    with ClipServer(state, 0) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with urllib.request.urlopen(f"{server.url}clips/{state.links[0]}.json", timeout=120) as answer:
                assert json.loads(answer.read())["row"]["split"] in ("train", "test")
        finally:
            server.shutdown()
            thread.join()


def test_clips_added_after_prepare_are_seen_browsed_and_packed(prepared, tmp_path, capsys):
    root = shutil.copytree(prepared / "clips", tmp_path / "clips")
    with np.load(root / "01-train" / "0001.npz") as file:
        clips = {f"{new}{key}": file[key] * scale for key in file.files for new, scale in (("", 1), ("new ", 0.5))}
    np.savez(root / "01-train" / "0001.npz", **clips)
    assert len(open_dataset(root)) == len(open_clips(root).records) == 8
    assert len(open_dataset(root, ann_file="annotations.json")) == len(open_clips(root / "annotations.json").records) == 6
    pack = shutil.copytree(prepared / "packed", tmp_path / "packed")
    capsys.readouterr()
    assert main(["pack", str(root), str(pack), "--append"]) == 0
    out = capsys.readouterr().out
    assert "6 clips already in the pack\n2 clips packed\n8 clips" in out
    assert f"note: the folders are read, not {root / 'annotations.json'}; open that file to use it" in out
