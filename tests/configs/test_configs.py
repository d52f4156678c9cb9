"""Every shipped config loads, and those for small data run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.engine import load_config, read_checkpoint
from karsl.engine.config.folds import find_signers, set_fold
from karsl.registry import DATASETS, MODELS
from karsl.testing import make_corpus

CONFIGS = Path(__file__).parents[2] / "configs"
ALL = sorted(path.name for path in CONFIGS.glob("*.py"))


@pytest.mark.parametrize("name", ALL)
def test_every_config_builds_its_model_and_has_no_validation_on_test_clips(name):
    cfg = load_config(CONFIGS / name)
    cfg.model.cls_head.num_classes = 3
    assert MODELS.build(cfg.model).cls_head.num_classes == 3
    assert cfg.val_dataloader is None or cfg.val_dataloader.dataset.filter_cfg.part == "val"
    dataset = cfg.test_dataloader.dataset
    steps = [step.type.__name__ for step in dataset.get("pipeline") or dataset.transform]
    assert [step for step in steps if step not in ("LoadKeypoints", "SelectKeypoints")] == [
        "TSNSampleFrames",
        "CenterScale",
        "PackKeypointInputs",
    ]


@pytest.mark.parametrize("name", [name for name in ALL if "karsl100_loso" in name])
def test_leave_one_signer_out_shares_no_signer_between_train_and_test(name):
    cfg = load_config(CONFIGS / name)
    train, test = cfg.train_dataloader.dataset.filter_cfg, cfg.test_dataloader.dataset.filter_cfg
    assert train.split == "train"
    assert set(test.split) == {"train", "test"}
    assert set(train.signers).isdisjoint(test.signers)
    assert sorted([*train.signers, *test.signers]) == ["01", "02", "03"]


@pytest.mark.parametrize("name", [name for name in ALL if "nsl23" in name])
def test_nsl23_holds_one_of_its_seven_signers_out(name):
    cfg = load_config(CONFIGS / name)
    train, test = cfg.train_dataloader.dataset.filter_cfg.signers, cfg.test_dataloader.dataset.filter_cfg.signers
    assert sorted([*train, *test]) == ["01", "02", "03", "04", "05", "06", "14"]
    assert test == ("06",)


def test_any_corpus_whose_clips_have_a_signer_gives_folds(tmp_path):
    for name in ("hello-1", "hello-2", "hello-3", "no-1", "no-2"):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(0).random((12, 75, 3), dtype=np.float32))
    layout = ["--layout", "mp_75", "--pattern", r"(?P<label>[a-z]+)-(?P<signer>\d)"]
    assert main(["prepare", str(tmp_path), *layout]) == 0
    cfg = load_config(CONFIGS / "any_corpus_loso.py", data_root=tmp_path, ann_file="annotations.json")
    signers = find_signers(cfg)
    set_fold(cfg, "02", signers)
    train, test = (DATASETS.build(cfg[f"{phase}_dataloader"].dataset) for phase in ("train", "test"))
    assert (signers, len(train), len(test)) == (["01", "02", "03"], 3, 2)
    assert [*train.metainfo["classes"]] == [*test.metainfo["classes"]] == ["hello", "no"]


@pytest.mark.parametrize(("name", "held_out"), [("_s01", "01"), ("_s02", "02"), ("_s03", "03"), ("", "02")])
def test_each_signer_of_karsl100_has_a_config_that_tests_on_it(name, held_out):
    cfg = load_config(CONFIGS / f"karsl100_loso{name}.py")
    assert cfg.test_dataloader.dataset.filter_cfg.signers == (held_out,)
    assert cfg.train_dataloader.dataset.filter_cfg.subset == cfg.test_dataloader.dataset.filter_cfg.subset == "karsl100"


def test_karsl_train_follows_a_corpus_with_fewer_classes_and_says_so(tmp_path, capfd):
    root = make_corpus(tmp_path / "corpus", signs=2, signers=["01"], train_clips=2, test_clips=1)
    words = [str(CONFIGS / "karsl_layout_3signs.py"), "--data-root", str(root), "--work-dir", str(tmp_path / "run")]
    assert main(["train", *words, "--cfg-options", "train_cfg.max_epochs=1", "experiment_name=follows"]) == 0
    assert "model.cls_head.num_classes: 3 in the config, 2 from the dataset" in capfd.readouterr().out
    assert read_checkpoint(tmp_path / "run" / "epoch_1.pth")["state_dict"]["cls_head.fc.bias"].shape == (2,)


def test_the_demo_config_holds_signer_03_out():
    cfg = load_config(CONFIGS / "demo.py")
    assert cfg.train_dataloader.dataset.filter_cfg == {"split": "train", "signers": ("01", "02")}
    assert cfg.test_dataloader.dataset.filter_cfg == {"split": ("train", "test"), "signers": ("03",)}


def test_three_real_corpora_with_three_sets_of_keypoints_train_as_one(shared_data, tmp_path):
    for name, folder in (("karsl", "karsl_layout"), ("msl150", "msl150"), ("asl_app", "asl_signs_app")):
        assert main(["pack", str(shared_data(folder)), str(tmp_path / "mix" / name), "--workers", "0"]) == 0
    cfg = load_config(CONFIGS / "mix_three_corpora.py", data_root=tmp_path / "mix")
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset.metainfo["classes"]) == 3 + 5 + 100 - 1  # 'today' is in two of them
    assert dataset.output_skeleton.num_keypoints == 48
    assert dataset.__getitems__(range(0, len(dataset), 9)).collate()["inputs"].shape[1:] == (32, 48, 3)
    options = [
        "--cfg-options",
        "train_cfg.max_epochs=1",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=False",
        "model.backbone.depth=1",
    ]
    words = [
        str(CONFIGS / "mix_three_corpora.py"),
        "--data-root",
        str(tmp_path / "mix"),
        "--work-dir",
        str(tmp_path / "run"),
    ]
    assert main(["train", *words, *options]) == 0
    held_out = DATASETS.build(cfg.test_dataloader.dataset)
    assert held_out.metainfo["classes"] == dataset.metainfo["classes"]
    assert set(held_out.column("label").tolist()) <= set(range(8))
