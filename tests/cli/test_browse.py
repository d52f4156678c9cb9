"""`karsl browse`: from a config and from a folder, in every mode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS

from karsl.cli.browse_export import unique_names
from karsl.cli.main import main
from karsl.testing import make_corpus
from karsl.visualization.draw.canvas import Image

CONFIG = """
default_scope = 'karsl'
pipeline = [dict(type='LoadKeypoints'), dict(type='TSNSampleFrames', clip_len=8), dict(type='CenterScale'),
            dict(type='PackKeypointInputs')]
train_dataloader = dict(batch_size=2, dataset=dict(type='RepeatDataset', times=2, dataset=dict(
    type='KArSLDataset', data_root={root!r}, filter_cfg=dict(split='train'), pipeline=pipeline)))
test_dataloader = dict(batch_size=2, dataset=dict(type='ConcatDataset', datasets=[
    dict(type='KArSLDataset', data_root={root!r}, filter_cfg=dict(split='test', signers=(s,)), pipeline=pipeline,
         test_mode=True) for s in ('01', '02')]))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    corpus = tmp_path_factory.mktemp("browse") / "corpus"
    return make_corpus(corpus, signs=2, signers=("01", "02"), train_clips=2, test_clips=1)


@pytest.fixture
def config(root, tmp_path) -> str:
    path = tmp_path / "config.py"
    path.write_text(CONFIG.format(root=str(root)), encoding="utf-8")
    return str(path)


def browse(*words: object) -> int:
    return main(["browse", *map(str, words)])


def sheets(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_browsed_without_a_config(root, tmp_path, capsys):
    out = tmp_path / "out"
    assert browse(root, "-n", 0, "--split", "test", "--output-dir", out) == 0
    assert len(sheets(out)) == 4 + 1
    assert "overview.png" in sheets(out)
    assert str(out) in capsys.readouterr().out
    with Image.open(out / "overview.png") as image:
        assert image.size == (4 * 196 + 1, 40 + 234 + 1)


def test_the_three_modes_of_a_config_differ(config, tmp_path):
    heights = {}
    for mode in ("original", "transformed", "concat"):
        out = tmp_path / mode
        assert browse(config, "--mode", mode, "--index", 0, "--output-dir", out) == 0
        (name,) = (name for name in sheets(out) if name != "overview.png")
        with Image.open(out / name) as image:
            assert np.asarray(image).std() > 0
            heights[mode] = image.size[1]
    assert heights["concat"] > heights["transformed"] > heights["original"]  # the transformed one has ticks


def test_clips_in_wrappers_are_shown_once(config, tmp_path):
    assert browse(config, "-n", 0, "--mode", "original", "--output-dir", tmp_path / "a") == 0
    assert len(sheets(tmp_path / "a")) == 8 + 1
    assert browse(config, "-n", 0, "--phase", "test", "--mode", "original", "--output-dir", tmp_path / "b") == 0
    assert len(sheets(tmp_path / "b")) == 4 + 1
    assert {name[:7] for name in sheets(tmp_path / "b")} == {"01-test", "02-test", "overvie"}


def test_seed_reproduces_selection_and_images(config, tmp_path):
    for name in ("a", "b"):
        assert browse(config, "-n", 2, "--seed", 5, "--output-dir", tmp_path / name) == 0
    first, again = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("a", "b"))
    assert first == again


def test_options_of_the_config_reach_the_pipeline(config, tmp_path, root):
    more = ("--cfg-options", "test_dataloader.dataset.datasets.0.pipeline.1.clip_len=1")
    assert (
        browse(config, "--phase", "test", "--mode", "transformed", "--index", 0, "--output-dir", tmp_path / "a", *more) == 0
    )
    (name,) = (name for name in sheets(tmp_path / "a") if name != "overview.png")
    with Image.open(tmp_path / "a" / name) as image:
        assert image.size[0] == 760  # one column, the minimum width


def test_a_bad_clip_does_not_hide_the_others(root, tmp_path, capsys):
    copy = make_corpus(tmp_path / "copy", signs=2, signers=["01"], train_clips=1, test_clips=0)
    with np.load(copy / "01-train" / "0002.npz") as file:
        ((key, clip),) = ((key, file[key]) for key in file.files)
    clip[0, 0, 0] = np.nan  # a scan of headers does not see it
    np.savez(copy / "01-train" / "0002.npz", **{key: clip})
    assert browse(copy, "--output-dir", tmp_path / "out") == 2
    assert len(sheets(tmp_path / "out")) == 1 + 1
    error = capsys.readouterr().err
    assert key in error
    assert "LoadKeypoints" in error


def test_a_bad_file_does_not_hide_the_others(root, tmp_path, capsys):
    copy = make_corpus(tmp_path / "copy", signs=2, signers=["01"], train_clips=1, test_clips=0)
    (copy / "01-train" / "0002.npz").write_bytes(b"")
    for number in range(2):  # the second maps the index of the first
        assert browse(copy, "--output-dir", tmp_path / f"out{number}") == 2
        assert len(sheets(tmp_path / f"out{number}")) == 1 + 1
        assert f"1 problem in {copy}:\n  01-train/0002.npz: the file is empty" in capsys.readouterr().err
    (copy / "01-train" / "0001.npz").write_bytes(b"")
    assert browse(copy, "--output-dir", tmp_path / "none") == 2
    assert f"2 problems in data_root='{copy}/':\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--sign", "99"), "no clip of sign 99 among 8 clips"),
        (("--phase", "val"), "has no val_dataloader; it has train, test"),
        (("-n", "-1"), "-n -1; expected 0 for all clips"),
        (("--index", "99"), "index 99 is outside a dataset of 16 clips"),
        (("--data-root", "no/such/folder"), "no/such/folder"),
    ],
)
def test_invalid_arguments_are_one_sentence_and_write_nothing(config, tmp_path, capsys, words, text):
    assert browse(config, "--output-dir", tmp_path / "out", *words) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_options_of_configs_are_rejected_for_a_folder(root, capsys):
    assert browse(root, "--data-root", root) == 2
    assert "--data-root changes a config" in capsys.readouterr().err


def test_names_of_files_are_safe_and_unique():
    assert unique_names(iter(["../../etc/x", "a/b", "a b", "", "مرحبا", "x" * 300])) == [
        "etc_x",
        "a_b",
        "a_b-2",
        "clip",
        "مرحبا",
        "x" * 120,
    ]


def test_an_annotation_in_yaml_is_browsed_and_runs_nothing(root, tmp_path, capsys):
    assert main(["prepare", str(root)]) == 0
    content = (root / "annotations.json").read_text(encoding="utf-8")  # JSON is YAML
    (root / "annotations.yaml").write_text(content, encoding="utf-8")
    assert browse(root / "annotations.yaml", "-n", 2, "--output-dir", tmp_path / "out") == 0
    assert len(sheets(tmp_path / "out")) == 2 + 1
    flag = tmp_path / "ran"
    bad = tmp_path / "bad.yaml"
    bad.write_text(f'metainfo: !!python/object/apply:os.mkdir ["{flag}"]\ndata_list: []\n', encoding="utf-8")
    assert browse(bad) == 2
    assert "could not determine a constructor for the tag" in capsys.readouterr().err
    assert not flag.exists()


def test_samples_of_another_project_are_drawn_for_the_first_person(tmp_path):
    @DATASETS.register_module(force=True)
    class PersonClips(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> dict:
            points = np.random.default_rng(index).random((2, 9, 17, 2), dtype=np.float32)  # (M, T, V, C), as in mmaction2
            return {"keypoint": points, "keypoint_score": np.ones(points.shape[:3], np.float32), "label": 0}

    path = tmp_path / "foreign.py"
    path.write_text("train_dataloader = dict(dataset=dict(type='PersonClips'))\n", encoding="utf-8")
    assert browse(path, "--output-dir", tmp_path / "out") == 0
    assert len(sheets(tmp_path / "out")) == 3 + 1
