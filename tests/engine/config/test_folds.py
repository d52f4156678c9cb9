"""Folds and streams of a config."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from karsl.engine.config.folds import find_signers, set_fold
from karsl.engine.config.streams import set_stream
from karsl.errors import ConfigError


@pytest.fixture
def cfg(corpus) -> Config:
    steps = [{"type": "LoadKeypoints"}, {"type": "PackKeypointInputs"}]
    dataset = {"type": "KArSLDataset", "data_root": str(corpus), "pipeline": steps}
    return Config({
        "train_dataloader": {"dataset": {"type": "RepeatDataset", "times": 2,
                                         "dataset": {**dataset, "filter_cfg": {"split": "train", "signers": ["01"]}}}},
        "val_dataloader": {"dataset": dataset},
        "test_dataloader": {"dataset": {**dataset, "filter_cfg": {"signers": ["03"]}}},
    })  # fmt: skip


def test_signers_are_found_whatever_the_config_selects(cfg):
    assert find_signers(cfg) == ["01", "02", "03"]
    assert cfg.train_dataloader.dataset.dataset.filter_cfg.signers == ["01"]


def test_a_fold_keeps_the_held_out_signer_from_training_and_validation(cfg):
    set_fold(cfg, "02", ["01", "02", "03"])
    assert cfg.train_dataloader.dataset.dataset.filter_cfg == {"split": "train", "signers": ("01", "03")}
    assert cfg.val_dataloader.dataset.filter_cfg == {"signers": ("01", "03")}
    assert cfg.test_dataloader.dataset.filter_cfg == {"signers": ("02",)}


def test_one_signer_gives_no_folds(cfg, write_clips):
    root = write_clips({"01-train/0001.npz": {"a": 9}, "01-train/0002.npz": {"b": 9}})
    cfg.train_dataloader.dataset.dataset.data_root = str(root)
    with pytest.raises(ConfigError, match="at least two signers; the training data has only signer 01"):
        find_signers(cfg)
    with pytest.raises(ConfigError, match="the config has no test_dataloader"):
        find_signers(Config({"train_dataloader": cfg.train_dataloader}))


def test_filters_that_are_no_dict_are_named(cfg):
    cfg.test_dataloader.dataset.filter_cfg = "split"
    with pytest.raises(ConfigError, match="filter_cfg='split' of KArSLDataset; expected a dict"):
        set_fold(cfg, "01", ["01", "02"])


def test_a_stream_is_computed_before_packing_or_replaces_that_of_the_config(cfg):
    set_stream(cfg, "bone")
    for loader in (cfg.train_dataloader.dataset, cfg.val_dataloader, cfg.test_dataloader):
        steps = loader.dataset.pipeline
        assert [step["type"] for step in steps] == ["LoadKeypoints", "karsl.SkeletonFeatures", "PackKeypointInputs"]
        assert steps[1]["feats"] == ["bone"]
    set_stream(cfg, "joint_motion")
    assert [step.get("feats") for step in cfg.test_dataloader.dataset.pipeline] == [None, ["joint_motion"], None]


def test_unknown_streams_and_pipelines_without_packing_are_refused(cfg):
    with pytest.raises(ConfigError, match="stream 'bones' is unknown; did you mean 'bone'"):
        set_stream(cfg, "bones")
    cfg.val_dataloader.dataset.pipeline = [{"type": "LoadKeypoints"}]
    with pytest.raises(ConfigError, match="no pipeline of the val_dataloader has a PackKeypointInputs step"):
        set_stream(cfg, "bone")
