"""Configs of someone else get what karsl needs, and mistakes get one sentence."""

from __future__ import annotations

import pytest

from karsl.engine import EpochHook, SafeCheckpointHook, build_runner, naming_arguments
from karsl.engine.build import add_hooks
from karsl.engine.config.keys import check_keys
from karsl.errors import ConfigError


def test_missing_hooks_are_added_once(toy):
    cfg = toy()
    cfg.custom_hooks = [{"type": "EpochHook"}]
    kinds = [type(hook) for hook in build_runner(cfg).hooks]
    assert kinds.count(EpochHook) == 1
    assert kinds.count(SafeCheckpointHook) == 1


@pytest.mark.parametrize("spelling", [EpochHook, "EpochHook", "karsl.EpochHook", "karsl.engine.EpochHook"])
def test_a_hook_that_is_there_under_any_spelling_is_not_added_again(spelling, toy):
    cfg = toy()
    cfg.custom_hooks = [{"type": spelling}]
    add_hooks(cfg)
    assert [hook["type"] for hook in cfg.custom_hooks[1:]] == [
        "karsl.ContentsHook",
        "karsl.ResumeHook",
        "karsl.SafeCheckpointHook",
        "karsl.StopWorkersHook",
    ]


def test_the_number_of_classes_and_the_skeleton_come_from_the_dataset(toy):
    cfg = toy()
    cfg.train_dataloader.dataset.num_classes = 5
    runner = build_runner(cfg)
    assert runner.model.cls_head.num_classes == 5
    assert runner.model.backbone.skeleton.name == "toy_hands"
    assert runner.cfg.model.cls_head.num_classes == 5


def test_metainfo_of_a_checkpoint_goes_before_the_dataset(toy):
    runner = build_runner(toy(), metainfo={"classes": ("a", "b", "c"), "skeleton": "toy_hands"})
    assert runner.model.cls_head.num_classes == 3


def test_auto_without_metainfo_names_what_is_missing(toy):
    with pytest.raises(ConfigError, match="num_classes='auto' needs 'classes'"):
        build_runner(toy(), metainfo={"skeleton": "toy_hands"})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"model.type": "KeypointRecogniser"},
            "model.type: no model 'KeypointRecogniser'; did you mean 'KeypointRecognizer'?",
        ),
        ({"model.backbone.type": "mm.STTransformer"}, "model.backbone.type: .*; did you mean 'karsl.STTransformer'?"),
        ({"default_hooks.logger.type": "LogerHook"}, "default_hooks.logger.type: no hook .*; did you mean 'LoggerHook'?"),
        (
            {"train_dataloader.sampler.type": "DefaultSample"},
            "train_dataloader.sampler.type: no data sampler .*'DefaultSampler'?",
        ),
        ({"model.type": "Zqx"}, "model.type: no model 'Zqx'; is it spelt right, and its module imported"),
        (
            {"default_scope": "mmaction"},
            "model.type: 'KeypointRecognizer' is karsl's, and default_scope='mmaction' .*; set default_scope='karsl'",
        ),
    ],
)
def test_a_type_that_is_not_registered_is_named_with_its_place_and_a_remedy(change, sentence, toy):
    cfg = toy()
    cfg.merge_from_dict(change)
    with pytest.raises(ConfigError, match=sentence.replace("?", r"\?")), naming_arguments(cfg):
        build_runner(cfg).train()


def test_a_type_inside_a_combinator_is_named_with_its_place(toy):
    cfg = toy()
    cfg.train_dataloader.dataset = dict(type="ConcatDataset", datasets=[dict(type="KArSLDatset")])
    with pytest.raises(ConfigError, match=r"train_dataloader.dataset.datasets.0.type: no dataset .*'KArSLDataset'\?"):
        build_runner(cfg)


def test_a_config_without_model_is_one_sentence(toy):
    cfg = toy()
    cfg.pop("model")
    with pytest.raises(ConfigError, match="no 'model'"):
        build_runner(cfg)


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("train_dataloder", "train_dataloader"),
        ("trian_cfg", "train_cfg"),
        ("modle", "model"),
        ("optim_wraper", "optim_wrapper"),
        ("defualt_hooks", "default_hooks"),
        ("test_evalutor", "test_evaluator"),
    ],
)
def test_a_mistyped_top_level_key_names_the_right_one(slip, meant):
    with pytest.raises(ConfigError, match=f"'{slip}', did you mean '{meant}'"):
        check_keys([slip])


def test_variables_of_ones_own_are_left_alone():
    check_keys(["clip_len", "data_root", "train_pipeline", "test_pipeline", "mode", "held_out", "signs", "_env_cgf"])
    check_keys(["model_cfg", "optim_wrapper_cfg", "dataset_type", "num_epochs", "lr", "vis_backends"])
