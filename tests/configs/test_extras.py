"""Switches of training that docs/reference-config.md describes, together in one short run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from karsl.cli.main import main
from karsl.engine import build_runner, load_config, read_checkpoint
from karsl.testing import make_corpus
from tests.configs.test_models import CONFIGS, SHORT

EXTRAS = {
    "model.mixup": 0.2,
    "model.cls_head.label_smoothing": 0.2,
    "optim_wrapper.accumulative_counts": 2,
    "custom_hooks": [{"type": "EMAHook", "momentum": 0.5}],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"), signs=2, signers=["01", "03"], train_clips=2, test_clips=0)


def test_a_run_with_every_switch_trains_resumes_and_tests_the_averaged_weights(corpus, tmp_path):
    options = SHORT | EXTRAS | {"work_dir": str(tmp_path), "train_cfg.max_epochs": 2}
    build_runner(load_config(CONFIGS / "demo_bilstm.py", options, data_root=corpus)).train()
    saved = read_checkpoint(tmp_path / "epoch_2.pth")
    name = "backbone.embed.linear.weight"
    online = saved["ema_state_dict"][f"module.{name}"]  # MMEngine saves the average as the model, and swaps the names
    assert not torch.equal(saved["state_dict"][name], online)
    again = load_config(CONFIGS / "demo_bilstm.py", options | {"train_cfg.max_epochs": 3}, data_root=corpus)
    again.resume = True
    runner = build_runner(again)
    runner.train()
    assert (runner.epoch, runner.iter) == (3, 6)
    words = ["test", str(CONFIGS / "demo_bilstm.py"), str(tmp_path / "epoch_3.pth"), "--data-root", str(corpus)]
    assert main([*words, "--work-dir", str(tmp_path / "test"), "--cfg-options", "clip_len=4"]) == 0
