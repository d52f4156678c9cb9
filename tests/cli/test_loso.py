"""`karsl loso`: folds that resume after a kill, streams and their fusion, and what reads the result."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from karsl.cli.loso import _folder
from karsl.cli.main import main
from karsl.evaluation import read_scores
from karsl.testing import make_corpus

CONFIG = """
default_scope = 'karsl'
custom_imports = dict(imports=['stop_loso'])
pipeline = [dict(type='LoadKeypoints'), dict(type='TSNSampleFrames', clip_len=8, jitter=0.8), dict(type='CenterScale'),
            dict(type='PackKeypointInputs')]
dataset = dict(type='KArSLDataset', data_root='corpus', pipeline=pipeline)
train_dataloader = dict(batch_size=6, num_workers=0, sampler=dict(type='ResumableSampler'),
                        dataset=dict(**dataset, filter_cfg=dict(split='train')))
test_dataloader = dict(batch_size=6, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                       dataset=dict(**dataset, filter_cfg=dict()))
model = dict(type='KeypointRecognizer',
             backbone=dict(type='STTransformer', skeleton='auto', in_channels='auto', embed_dims=8, depth=1, num_heads=2),
             cls_head=dict(type='ClassifierHead', num_classes='auto', in_channels=8))
train_cfg = dict(by_epoch=True, max_epochs=2)
test_cfg = dict()
test_evaluator = dict(type='AccuracyMetric')
optim_wrapper = dict(optimizer=dict(type='Adam', lr=0.01))
randomness = dict(seed=1)
"""
# Ends the process as a kill does, in the second epoch of the second fold.
STOP = """
import os
from karsl.registry import HOOKS
from mmengine.hooks import Hook

if os.environ.get('STOP'):
    from karsl.engine import EpochHook
    plain = EpochHook.before_train_epoch

    def stop(self, runner):
        if runner.work_dir.endswith('02') and runner.epoch == 1:
            os._exit(9)
        return plain(self, runner)

    EpochHook.before_train_epoch = stop
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A config, and a corpus of three signs and three signers."""
    folder = tmp_path_factory.mktemp("loso")
    make_corpus(folder / "corpus", signs=3, train_clips=2, test_clips=1)
    (folder / "config.py").write_text(CONFIG, encoding="utf-8")
    (folder / "stop_loso.py").write_text(STOP, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)


@pytest.fixture(scope="module")
def straight(folder) -> Path:
    """All folds in one go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        assert main(["loso", "config.py", "--work-dir", "straight"]) == 0
    return folder / "straight"


def test_each_clip_is_tested_once_by_a_model_that_never_saw_its_signer(straight):
    folds = [read_scores(straight / signer / "scores.npz") for signer in ("01", "02", "03")]
    assert [set(fold.signer.tolist()) for fold in folds] == [{"01"}, {"02"}, {"03"}]
    joined = read_scores(straight / "scores.npz")
    assert len(joined) == len(set(joined.clip_id.tolist())) == 27
    assert len(joined.checkpoint) == 3
    results = json.loads((straight / "loso.json").read_text(encoding="utf-8"))["folds"]
    values = [fold["metrics"]["top1"]["value"] for fold in results["folds"]]
    expected = [float((fold.scores.argmax(axis=1) == fold.label).mean()) for fold in folds]
    assert values == pytest.approx(expected)
    assert results["summary"]["top1"]["mean"] == pytest.approx(np.mean(expected))
    assert results["summary"]["top1"]["std"] == pytest.approx(np.std(expected, ddof=1))


def test_a_killed_run_resumes_to_the_same_scores(folder, straight, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{Path(__file__).parents[2]}")
    monkeypatch.setenv("STOP", "1")
    command = [sys.executable, "-m", "karsl", "loso", "config.py", "--work-dir", "killed"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 9
    assert sorted(path.name for path in Path("killed/02").glob("*.pth")) == ["epoch_1.pth"]
    monkeypatch.delenv("STOP")
    assert main(["loso", "config.py", "--work-dir", "killed"]) == 0
    assert "fold 1 of 3, signer 01: done" in capsys.readouterr().out
    for signer in ("01", "02", "03"):
        with np.load(straight / signer / "scores.npz") as one, np.load(f"killed/{signer}/scores.npz") as other:
            for name in set(one.files) - {"checkpoint"}:
                np.testing.assert_array_equal(one[name], other[name])


def test_the_result_equals_karsl_test_and_is_reported(straight, capsys):
    options = ["--work-dir", "tested", "--dump", "tested.npz", "--cfg-options"]
    options += ["test_dataloader.dataset.filter_cfg.signers=03", "experiment_name=tested_alone"]
    assert main(["test", "config.py", str(straight / "03" / "epoch_2.pth"), *options]) == 0
    tested, fold = read_scores("tested.npz"), read_scores(straight / "03" / "scores.npz")
    np.testing.assert_array_equal(tested.scores, fold.scores)
    assert tested.checkpoint.tolist() == fold.checkpoint.tolist()
    assert main(["report", str(straight / "scores.npz"), "--bootstrap", "20"]) == 0
    assert "per signer" in capsys.readouterr().out


def test_streams_are_trained_and_fused(folder, straight):
    words = [
        "loso",
        "config.py",
        "--work-dir",
        "streams",
        "--streams",
        "joint",
        "bone",
        "--signers",
        "3",
        "--weights",
        "3",
        "1",
    ]
    assert main(words) == 0
    joint, bone, fused = (read_scores(f"streams/{name}/scores.npz") for name in ("joint", "bone", "fused"))
    np.testing.assert_array_equal(joint.scores, read_scores(straight / "03" / "scores.npz").scores)
    assert (joint.scores != bone.scores).any()
    np.testing.assert_allclose(fused.scores, 0.75 * joint.scores + 0.25 * bone.scores, rtol=1e-5)
    assert list(json.loads(Path("streams/loso.json").read_text(encoding="utf-8"))) == ["joint", "bone", "fused"]


def test_folds_of_another_config_are_not_continued(straight, capsys):
    options = ["--work-dir", str(straight), "--cfg-options", "train_cfg.max_epochs=3"]
    assert main(["loso", "config.py", *options]) == 2
    error = capsys.readouterr().err
    assert "has folds of another config" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--signers", "09"], "no such signer; the training data has 01, 02, 03"),
        (["--streams", "joint", "joint"], "give each stream once"),
        (["--streams", "bones"], "stream 'bones' is unknown; did you mean 'bone'?"),
        (["--streams", "joint", "bone", "--weights", "1"], "give one per stream"),
    ],
)
def test_bad_arguments_are_one_sentence(folder, capsys, words, message):
    assert main(["loso", "config.py", "--work-dir", "bad", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    shutil.rmtree("bad", ignore_errors=True)


def test_an_empty_fold_is_one_sentence(folder, capsys):
    options = ["--cfg-options", "test_dataloader.dataset.filter_cfg.split=test", "test_dataloader.dataset.data_root=two"]
    shutil.copytree("corpus", "two", ignore=shutil.ignore_patterns("03-*"), dirs_exist_ok=True)
    assert main(["loso", "config.py", "--work-dir", "empty", "--signers", "03", *options]) == 2
    error = capsys.readouterr().err
    assert "no records in" in error
    assert "it has signer 01, 02" in error
    assert error.count("\n") == 1


def test_signers_of_any_name_have_folders_of_their_own_inside_the_work_dir(tmp_path):
    names = ["01", "a b", "a-b", "a/b", "..", ".", "%2E", "سارة"]
    folders = [_folder(tmp_path, "", name) for name in names]
    assert len({folder.resolve() for folder in folders}) == len(names)
    assert {folder.resolve().parent for folder in folders} == {tmp_path.resolve()}
    assert [folder.name for folder in folders[:3]] == ["01", "a%20b", "a-b"]
