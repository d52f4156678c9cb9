"""The configs of every model take two steps on two synthetic signs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from karsl.engine import build_runner, load_config
from karsl.testing import make_corpus

CONFIGS = Path(__file__).parents[2] / "configs"
MODELS = ("bilstm", "conv1d_transformer", "stgcn")
PROTOCOLS = ("demo", "karsl100_loso", "karsl502_signer_dependent", "synthetic_loso")
SHORT = {
    "clip_len": 4,
    "train_cfg.max_epochs": 1,
    "train_dataloader.batch_size": 2,
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "train_dataloader.dataset.indices": 4,
    "train_dataloader.dataset.filter_cfg": {
        "_delete_": True,
        "split": "train",
    },  # the synthetic corpus has signs 1 and 2 only
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"), signs=2, signers=["01", "03"], train_clips=2, test_clips=0)


@pytest.mark.parametrize("name", [f"{protocol}_{model}" for protocol in PROTOCOLS for model in MODELS])
def test_a_config_trains_two_steps(name, corpus, tmp_path):
    cfg = load_config(CONFIGS / f"{name}.py", SHORT | {"work_dir": str(tmp_path)}, data_root=corpus)
    runner = build_runner(cfg)
    before = runner.model.cls_head.fc.weight.clone()
    runner.train()
    assert runner.iter == 2
    assert runner.model.cls_head.num_classes == 2
    assert not torch.equal(runner.model.cls_head.fc.weight, before)


@pytest.mark.parametrize("name", MODELS)
def test_configs_of_one_protocol_differ_in_the_model_only(name):
    for protocol in PROTOCOLS:
        base, cfg = load_config(CONFIGS / f"{protocol}.py"), load_config(CONFIGS / f"{protocol}_{name}.py")
        assert {key for key in base if str(base[key]) != str(cfg.get(key))} == {"model", "work_dir"}
        assert base.model.cls_head.num_classes == cfg.model.cls_head.num_classes
