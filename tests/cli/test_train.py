"""`karsl train` and `karsl test` on real files: a foreign text config, resuming, two processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from mmengine.logging import MMLogger

from karsl.cli.main import main
from karsl.testing import make_corpus

# As written by a user of MMEngine without knowledge of karsl: strings only, no hooks, no collate function of karsl.
TEXT_CONFIG = """
    default_scope = 'karsl'
    data_root = '{root}'
    pipeline = [dict(type='LoadKeypoints'), dict(type='TSNSampleFrames', clip_len=8, jitter=0.8),
                dict(type='RandomFlip', prob=0.5), dict(type='CenterScale'), dict(type='PackKeypointInputs')]
    train_dataloader = dict(
        batch_size=4, num_workers=2, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(type='KArSLDataset', data_root=data_root, filter_cfg=dict(split='train'), pipeline=pipeline))
    test_dataloader = dict(
        batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='KArSLDataset', data_root=data_root, filter_cfg=dict(split='test'), pipeline=pipeline,
                     test_mode=True))
    model = dict(
        type='KeypointRecognizer',
        backbone=dict(type='STTransformer', skeleton='karsl_184', embed_dims=8, depth=1, num_heads=2),
        cls_head=dict(type='ClassifierHead', num_classes=3, in_channels=8))
    train_cfg = dict(by_epoch=True, max_epochs=2)
    test_cfg = dict()
    test_evaluator = dict(type='AccuracyMetric')
    optim_wrapper = dict(optimizer=dict(type='Adam', lr=0.01))
    randomness = dict(seed=1)
"""

NOWHERE = "data_root=nowhere"
AUTO = "skeleton='auto', in_channels='auto'"
PACK = "dict(type='PackKeypointInputs', with_score=True)"
WRAPPED = """
inner = train_dataloader['dataset']
train_dataloader['dataset'] = dict(type='RepeatDataset', times=2, dataset=inner)
test_dataloader['dataset'] = dict(type='ConcatDataset', datasets=[test_dataloader['dataset'], test_dataloader['dataset']])
"""
OWN_STEP = """
from karsl.registry import TRANSFORMS
@TRANSFORMS.register_module(force=True)
class OwnStepOfTrain:
    def __call__(self, results):
        return results
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Three signs of one signer: 12 clips to train on, 9 to test on."""
    return make_corpus(tmp_path_factory.mktemp("corpus"), signs=3, signers=["01"], train_clips=4, test_clips=3)


@pytest.fixture
def config(corpus, tmp_path) -> Path:
    path = tmp_path / "foreign.py"
    path.write_text(dedent(TEXT_CONFIG).format(root=corpus.as_posix()), encoding="utf-8")
    return path


def weights(folder: Path, epoch: int) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"epoch_{epoch}.pth", weights_only=True)["state_dict"]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a.keys() | b.keys())


def test_a_foreign_text_config_trains_resumes_exactly_and_is_tested(config, tmp_path, capsys):
    straight, parts = tmp_path / "straight", tmp_path / "parts"
    four = ["--cfg-options", "train_cfg.max_epochs=4", "experiment_name=straight"]
    assert main(["train", str(config), "--work-dir", str(straight), *four]) == 0
    check_start(capsys.readouterr().out, next(straight.glob("*/*.log")))
    assert main(["train", str(config), "--work-dir", str(parts), "--cfg-options", "experiment_name=first"]) == 0
    four[-1] = "experiment_name=second"
    assert main(["train", str(config), "--work-dir", str(parts), "--resume", *four]) == 0
    assert f"checkpoint: {parts / 'epoch_4.pth'}" in capsys.readouterr().out
    assert same(weights(straight, 4), weights(parts, 4))

    dump = tmp_path / "predictions.json"
    checkpoint = str(parts / "epoch_4.pth")
    options = ["--work-dir", str(tmp_path / "test"), "--dump", str(dump)]
    assert main(["test", str(config), checkpoint, *options]) == 0
    assert "acc/top1: " in capsys.readouterr().out
    (log,) = (tmp_path / "test").glob("*/*.log")
    assert "test: 9 clips, 3 signs, signers 01\n" in log.read_text(encoding="utf-8")
    rows = json.loads(dump.read_text(encoding="utf-8"))["predictions"]
    assert [row["sample_idx"] for row in rows] == list(range(9))
    assert len({row["clip_id"] for row in rows}) == 9


def check_start(out: str, log: Path) -> None:
    """The terminal shows few lines before the first epoch, and the path of the log file, which has the others."""
    start, _, _ = out.partition("Epoch(train)")
    assert str(log) in start
    assert len(start.splitlines()) <= 40
    text = log.read_text(encoding="utf-8")
    assert [
        word for word in ("PyTorch compiling details", "train_dataloader = dict(", "before_train_epoch:") if word not in text
    ] == []


def test_two_processes_on_cpu_train_together_and_test_as_one(config, tmp_path, capsys):
    def karsl(*words: str) -> str:
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
        command = [*launch, "-m", "karsl.cli.main", *words, "--launcher", "pytorch"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    out = karsl("train", str(config), "--work-dir", "two", "--cfg-options", "train_dataloader.num_workers=0",
                "train_dataloader.persistent_workers=False")  # fmt: skip
    assert out.count("train: 12 clips, 3 signs, signers 01\n") == 1
    assert "[2][2/2]" in out  # 12 clips are 2 batches of 4 on each of two ranks
    together = karsl("test", str(config), "two/epoch_2.pth", "--work-dir", "test_two")
    options = ["--work-dir", str(tmp_path / "test_one"), "--cfg-options", "experiment_name=one"]
    assert main(["test", str(config), str(tmp_path / "two" / "epoch_2.pth"), *options]) == 0
    alone = capsys.readouterr().out
    assert results(together) == results(alone) != []
    assert not (tmp_path / ".dist_test").exists()


def test_a_missing_signer_is_warned_of_once(config, tmp_path, caplog):
    text = config.read_text(encoding="utf-8").replace("skeleton='karsl_184'", AUTO)
    config.write_text(
        text.replace("filter_cfg=dict(split='train')", "filter_cfg=dict(signers=['01', '09'])"), encoding="utf-8"
    )
    logger = MMLogger.get_current_instance()  # of what happens before the run has a log of its own
    logger.addHandler(caplog.handler)
    options = ["--work-dir", str(tmp_path / "run"), "--cfg-options", "experiment_name=once", "train_cfg.max_epochs=1"]
    assert main(["train", str(config), *options]) == 0
    logger.removeHandler(caplog.handler)
    (log,) = (tmp_path / "run").glob("*/*.log")
    assert (caplog.text + log.read_text(encoding="utf-8")).count("filter_cfg matched no clip for signers 09") == 1


def test_hands_alone_are_trained_on_and_tested(config, tmp_path, capsys):
    text = config.read_text(encoding="utf-8").replace("dict(type='CenterScale'),", "dict(type='CenterScale'), HANDS,")
    text = text.replace("skeleton='karsl_184'", AUTO).replace("dict(type='PackKeypointInputs')", PACK)
    hands = "HANDS = dict(type='SelectKeypoints', names=['rh', 'lh'])\n"
    config.write_text(hands + text, encoding="utf-8")
    work = tmp_path / "hands"
    assert main(["train", str(config), "--work-dir", str(work), "--cfg-options", "experiment_name=hands"]) == 0
    assert weights(work, 2)["backbone.embed.0.weight"].shape == (8, 21 * 5)
    options = ["--work-dir", str(tmp_path / "test"), "--cfg-options", "experiment_name=hands_test"]
    assert main(["test", str(config), str(work / "epoch_2.pth"), *options]) == 0
    fixed = text.replace(AUTO, "skeleton=dict(name='karsl_184', select=['rh', 'lh']), in_channels=4")
    config.write_text(hands + fixed, encoding="utf-8")
    options[-1] = "experiment_name=hands_written_out"
    assert main(["test", str(config), str(work / "epoch_2.pth"), *options]) == 0
    config.write_text(hands + fixed.replace(", select=['rh', 'lh']", ", select=['rh']"), encoding="utf-8")
    capsys.readouterr()
    options = ["--work-dir", str(tmp_path / "one"), "--cfg-options", "experiment_name=one_hand"]
    assert main(["train", str(config), *options]) == 2
    assert "takes (N, T, 21, 4) but got (4, 8, 42, 4)" in capsys.readouterr().err


def test_data_root_and_annotation_file_reach_inside_wrappers(config, corpus, tmp_path, capsys):
    text = config.read_text(encoding="utf-8").replace(corpus.as_posix(), "nowhere") + WRAPPED
    config.write_text(text, encoding="utf-8")
    annotations = tmp_path / "annotations.json"
    assert main(["prepare", str(corpus), "--out", str(annotations)]) == 0
    data = ["--data-root", str(corpus), "--ann-file", str(annotations)]
    options = ["--cfg-options", "train_cfg.max_epochs=1", "experiment_name=wrapped"]
    assert main(["train", str(config), "--work-dir", str(tmp_path / "w"), *data, *options]) == 0
    assert "[1][6/6]" in capsys.readouterr().out  # 12 clips twice are 6 batches of 4
    options[-1] = "experiment_name=wrapped_test"
    dump = tmp_path / "predictions.json"
    checkpoint = str(tmp_path / "w" / "epoch_1.pth")
    words = [str(config), checkpoint, "--work-dir", str(tmp_path / "t"), "--dump", str(dump)]
    assert main(["test", *words, *data, *options]) == 0
    rows = json.loads(dump.read_text(encoding="utf-8"))["predictions"]
    assert len(rows) == 18
    assert [row["clip_id"] for row in rows[:9]] == [row["clip_id"] for row in rows[9:]]  # the same dataset twice
    assert main(["test", *words, "--data-root", str(corpus), "--ann-file", "none.json", *options]) == 2


def test_resuming_without_a_checkpoint_reports_that_it_starts_over(config, tmp_path, capsys):
    work = tmp_path / "fresh"
    options = ["--cfg-options", "train_cfg.max_epochs=1", "experiment_name=fresh"]
    assert main(["train", str(config), "--work-dir", str(work), "--resume", *options]) == 0
    out = capsys.readouterr().out
    assert f"nothing to resume in {work}, starting at epoch 1" in out
    assert "Auto resumed" not in out


def test_a_user_module_is_imported_first(config, tmp_path, monkeypatch, capsys):
    (tmp_path / "my_steps_of_train.py").write_text(OWN_STEP, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    text = config.read_text(encoding="utf-8").replace("dict(type='CenterScale')", "dict(type='OwnStepOfTrain')")
    config.write_text(text, encoding="utf-8")
    words = ["train", str(config), "--work-dir", str(tmp_path / "own"), "--cfg-options", "experiment_name=own"]
    assert main([*words, "--import", "my_steps_of_trian"]) == 2
    assert "--import my_steps_of_trian: no module 'my_steps_of_trian'" in capsys.readouterr().err
    assert main([*words, "--import", "my_steps_of_train"]) == 0


def results(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith("acc/")]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "nowhere.py"], "karsl train: config 'nowhere.py' does not exist"),
        (["test", "{config}", "nowhere.pth"], "karsl test: checkpoint 'nowhere.pth' does not exist"),
        (["train", "{config}", "--launcher", "pytorch"], "finds no RANK, WORLD_SIZE, LOCAL_RANK in the environment"),
        (["train", "{config}", "--cfg-options", "train_dataloder.batch_size=2"], "did you mean 'train_dataloader'?"),
        (["train", "{config}", "--data-root", "nowhere"], "nowhere"),
        (["train", "{config}", "--cfg-options", "train_cfg.max_epoch=1"], "EpochBasedTrainLoop has no argument 'max_epoch'"),
        (["train", "{config}", "--cfg-options", NOWHERE], "--data-root DIR selects another folder"),
        (["browse", "{config}", "--cfg-options", NOWHERE], "--data-root DIR selects another folder"),
        (["train", "{config}", "--cfg-options", "train_dataloader.collate_fn.type=keypoint_colate"], "'keypoint_collate'?"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(words, sentence, config, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([word.format(config=config) for word in words]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"karsl {words[0]}: ")
    assert sentence in last


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--split-file", "nosuch.json"], "no split file 'nosuch.json'; 'karsl splits make' writes one"),
        (["--split-file", "{config}"], "is no split file of 'karsl splits make'"),
        (["--data-root", "nosuch"], "data_root='nosuch' does not exist; give the folder of a corpus"),
        (["--ann-file", "nosuch.json"], "/nosuch.json'; 'karsl prepare DATA_ROOT' writes one"),
        (["--cfg-options", "train_dataloader.dataset.filter_cfg.exclude=no.txt"], "no file exclude='no.txt'"),
    ],
)
def test_data_that_is_missing_fails_before_a_folder_is_made(words, sentence, config, tmp_path, capsys):
    out = tmp_path / "out"
    words = [word.format(config=config) for word in words]
    assert main(["train", str(config), "--work-dir", str(out), *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists()


def test_a_test_set_that_is_missing_fails_before_a_folder_is_made(config, tmp_path, capsys):
    out, checkpoint = tmp_path / "out", tmp_path / "epoch_1.pth"
    torch.save({"state_dict": {}, "meta": {}}, checkpoint)
    words = ["--work-dir", str(out), "--split-file", "nosuch.json"]
    assert main(["test", str(config), str(checkpoint), *words]) == 2
    assert "no split file 'nosuch.json'" in capsys.readouterr().err
    assert not out.exists()
