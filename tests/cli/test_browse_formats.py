"""`karsl browse`: every format, every source, and opening what was written."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.testing import make_corpus
from karsl.visualization.clips.open import open_dataset
from karsl.visualization.draw.canvas import Image

CONFIG = """
default_scope = 'karsl'
clips = dict(type='KArSLDataset', data_root={root!r}, pipeline=[dict(type='LoadKeypoints')])
steps = [dict(type='TSNSampleFrames', clip_len=8), dict(type='RandomFlip', prob=0.5), dict(type='RandomAffine')]
packed = [*steps, dict(type='PackKeypointInputs')]
train_dataloader = dict(batch_size=2, dataset={dataset})
"""
PLAIN = "dict(type='KArSLDataset', data_root=clips['data_root'], pipeline=[*clips['pipeline'], *packed])"
SOURCES = {
    "plain": PLAIN,
    "wrapped": "dict(type='mmengine.RepeatDataset', times=2, dataset=dict(type='mmengine.ConcatDataset', datasets=["
    f"{PLAIN}]))",
    "mapped": "dict(type='MapDataset', dataset=clips, transform=packed)",
    "mix": "dict(type='LazyDataset', dataset=dict(type='InterleaveDataset', datasets=["
    "dict(type='MapDataset', dataset=clips, transform=steps)] * 2))",
    "stream": f"dict(type='StreamDataset', source={PLAIN})",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("formats") / "corpus", signs=2, signers=("01",), train_clips=3, test_clips=1)


def browse(*words: object) -> int:
    return main(["browse", *map(str, words)])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def config(root: Path, folder: Path, source: str = "plain") -> Path:
    path = folder / "config.py"
    path.write_text(CONFIG.format(root=str(root), dataset=SOURCES[source]), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", ["gif", "webp", "mp4"])
def test_animations_are_one_file_per_clip(root, tmp_path, suffix, capsys):
    assert browse(config(root, tmp_path), "--format", suffix, "--index", 0, 1, "--output-dir", tmp_path / "out") == 0
    found = names(tmp_path / "out")
    assert len(found) == 2
    assert all(name.endswith(f".{suffix}") for name in found)
    assert f"2 {suffix} files in {tmp_path / 'out'}" in capsys.readouterr().out


def test_page_has_every_transform_and_augmented_views(root, tmp_path):
    assert browse(config(root, tmp_path), "--format", "html", "-n", 3, "--augmentations", 3, "--output-dir", tmp_path) == 0
    text = (tmp_path / "browse.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])
    assert len(data["clips"]) == 3
    for clip in data["clips"].values():
        steps = [stage["name"] for stage in clip["stages"]]
        assert steps == ["LoadKeypoints", "1. TSNSampleFrames", "2. RandomFlip", "3. RandomAffine"]
        assert len(clip["augmentations"]) == 2


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_shows_its_transforms(root, tmp_path, source):
    path = config(root, tmp_path, source)
    for mode in ("original", "pipeline"):
        assert browse(path, "--mode", mode, "-n", 1, "--output-dir", tmp_path / mode) == 0
    assert names(tmp_path / "original") == names(tmp_path / "pipeline")
    name = names(tmp_path / "original")[0]
    with Image.open(tmp_path / "original" / name) as one, Image.open(tmp_path / "pipeline" / name) as all_steps:
        assert all_steps.size[1] > 3.5 * one.size[1]


def test_augmented_views_are_stacked(root, tmp_path):
    heights = []
    for count in (1, 4):
        out = tmp_path / str(count)
        assert browse(config(root, tmp_path), "--augmentations", count, "--index", 0, "--seed", 1, "--output-dir", out) == 0
        with Image.open(out / names(out)[0]) as image:
            heights.append(image.size[1])
    assert heights[1] > 2 * heights[0]


def test_sheets_per_sign(root, tmp_path, capsys):
    assert browse(root, "--per-sign", 3, "--output-dir", tmp_path) == 0
    assert names(tmp_path) == ["sign_0001.png", "sign_0002.png"]
    with Image.open(tmp_path / "sign_0001.png") as image:
        assert image.size[1] == 54 + 3 * 126 + 8
    assert "2 sheets in" in capsys.readouterr().out


def test_files_are_browsed_without_a_config(root, tmp_path):
    npz = root / "01-train" / "0002.npz"
    with np.load(npz) as file:
        np.save(tmp_path / "one.npy", file[file.files[0]])
    assert browse(npz, "-n", 0, "--output-dir", tmp_path / "npz") == 0
    assert len(names(tmp_path / "npz")) == 3 + 1
    assert browse(tmp_path / "one.npy", "--output-dir", tmp_path / "npy") == 0
    assert names(tmp_path / "npy") == ["one.png", "overview.png"]


def test_packs_and_annotation_files_are_browsed_without_a_config(root, tmp_path):
    assert main(["pack", str(root), str(tmp_path / "pack")]) == 0
    assert browse(tmp_path / "pack", "-n", 0, "--sign", "شكر", "--output-dir", tmp_path / "a") == 0
    assert browse(tmp_path / "pack" / "annotations.json", "-n", 0, "--output-dir", tmp_path / "b") == 0
    assert len(names(tmp_path / "a")) == 4 + 1
    assert len(names(tmp_path / "b")) == 8 + 1


@pytest.mark.parametrize("source", ["karsl_layout", "asl_signs_app", "msl150", "holistic1662", "pose_format/mediapipe.pose"])
def test_real_clips_of_every_format_are_drawn(source, shared_data, tmp_path):
    path = shared_data(source)
    if path.suffix == ".pose":
        pytest.importorskip("pose_format")
    assert browse(path, "-n", 2, "--output-dir", tmp_path) == 0
    for name in names(tmp_path):
        with Image.open(tmp_path / name) as image:
            assert len(image.convert("RGB").getcolors(1 << 24)) > 20


@pytest.mark.skipif(shutil.which("sh") is None, reason="no shell")
def test_output_is_opened_once_or_image_by_image_or_not_at_all(root, tmp_path, monkeypatch):
    output, opener, out = tmp_path / "output", tmp_path / "opener", tmp_path / "out"
    opener.write_text(f'#!/bin/sh\necho "$1" >> {output}\n')
    opener.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{opener} %s")  # looked up once per process
    assert browse(root, "-n", 2, "--output-dir", out, "--not-show") == 0
    assert not output.exists()
    assert browse(root, "-n", 2, "--output-dir", out) == 0
    assert output.read_text().split() == [(out / "overview.png").as_uri()]
    assert browse(root, "-n", 2, "--output-dir", out, "--show-interval", 0.01) == 0
    assert len(output.read_text().split()) == 1 + 3


def test_without_a_display_nothing_is_opened(root, tmp_path, monkeypatch):
    from karsl.cli.browse_export import has_display

    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert os.name != "posix" or not has_display()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--augmentations", 0), "--augmentations 0; expected a number of at least 1"),
        (("--per-sign", -1), "--per-sign -1; expected"),
        (("--port", 70000), "--port 70000; expected 0 to 65535"),
        (("--show-interval", -1), "--show-interval -1; expected seconds"),
        (("--from", "karsl"), "--from is for folders and files"),
        (("--skeleton", "karsl_184"), "--source-skeleton is for folders and files"),
        (("--trust-pickle", "a.pkl"), "--trust-pickle is for folders and files"),
    ],
)
def test_invalid_options_are_one_sentence(root, tmp_path, capsys, words, text):
    assert browse(config(root, tmp_path), "--output-dir", tmp_path / "out", *words) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_sources_without_clips_are_one_sentence(tmp_path, capsys):
    np.savez(tmp_path / "flat.npz", a=np.zeros((3, 7)))
    np.savez(tmp_path / "few.npz", a=np.ones((3, 7, 3)))
    (tmp_path / "text.npz").write_text("not an archive")
    for name, text in (
        ("nowhere", "no config, folder or file"),
        ("flat.npz", "shape (3, 7) is not a clip"),
        ("few.npz", "use --source-skeleton NAME"),
        ("text.npz", "text.npz"),
    ):
        assert browse(tmp_path / name) == 2
        assert text in capsys.readouterr().err


def test_help_has_examples(capsys):
    assert main(["browse", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.count("  karsl browse ") >= 6
    assert "--serve" in text


def test_the_person_to_show_can_be_chosen(tmp_path, capsys):
    points = np.zeros((2, 5, 17, 3), np.float32)
    points[0, ..., :2], points[1, ..., :2] = 0.25, 0.75
    clip = {"frame_dir": "a", "label": 0, "keypoint": points, "keypoint_score": np.ones((2, 5, 17), np.float32)}
    path = tmp_path / "two.pkl"
    path.write_bytes(pickle.dumps({"annotations": [clip], "metainfo": {"skeleton": "coco_17"}}))
    for person, x in ((0, 0.25), (1, 0.75)):
        shown = open_dataset(path, trusted=True, person=person)
        assert (shown.stages(0)[-1][1]["keypoint"][..., 0] == x).all()
    words = ["browse", str(path), "--trust-pickle", str(path), "--output-dir", str(tmp_path / "sheets")]
    assert main([*words, "--person", "1"]) == 0
    assert main([*words, "--person", "2"]) == 2
    assert "has 2 persons, none at 2" in capsys.readouterr().err
