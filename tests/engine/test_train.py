"""Any config gets the hooks that karsl needs, and mistakes are reported in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from karsl.engine import EpochHook, SafeCheckpointHook, build_runner
from karsl.engine.config.errors import check_keys
from karsl.engine.train import add_hooks
from karsl.errors import ConfigError
from karsl.registry import DATASETS


def test_missing_hooks_are_added_once(toy):
    cfg = toy()
    cfg.custom_hooks = [{"type": "EpochHook"}]
    kinds = [type(hook) for hook in build_runner(cfg).hooks]
    assert kinds.count(EpochHook) == 1
    assert kinds.count(SafeCheckpointHook) == 1


@pytest.mark.parametrize("spelling", [EpochHook, "EpochHook", "karsl.EpochHook", "karsl.engine.EpochHook"])
def test_a_hook_that_is_present_under_any_spelling_is_not_added_again(spelling, toy):
    cfg = toy()
    cfg.custom_hooks = [{"type": spelling}]
    add_hooks(cfg)
    assert [hook["type"] for hook in cfg.custom_hooks[1:]] == [
        "karsl.DatasetSummaryHook",
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


def test_metainfo_of_a_checkpoint_takes_precedence_over_the_dataset(toy):
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
        (
            {"default_hooks.param_scheduler": {"type": "ParamSchedulrHook"}},
            "default_hooks.param_scheduler.type: no hook .*; did you mean 'ParamSchedulerHook'?",
        ),
        ({"default_hooks.logger.type": "LogerHook"}, "default_hooks.logger.type: no hook .*; did you mean 'LoggerHook'?"),
        (
            {"train_dataloader.sampler.type": "DefaultSample"},
            "train_dataloader.sampler.type: no data sampler .*'DefaultSampler'?",
        ),
        ({"model.type": "Zqx"}, "model.type: no model 'Zqx'; check the spelling, and that its module is imported"),
        (
            {"default_scope": "mmaction"},
            "default_scope='mmaction': there is no package 'mmaction'; set default_scope='karsl', install the project",
        ),
    ],
)
def test_a_type_that_is_not_registered_is_named_with_its_path_and_a_remedy(change, sentence, toy):
    cfg = toy()
    cfg.merge_from_dict(change)
    with pytest.raises(ConfigError, match=sentence.replace("?", r"\?")):
        build_runner(cfg).train()


def test_a_type_inside_a_wrapper_is_named_with_its_path(toy):
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
        ("tset_cfg", "test_cfg"),
        ("vla_cfg", "val_cfg"),
        ("val_cfh", "val_cfg"),
        ("emv_cfg", "env_cfg"),
        ("ssync_bn", "sync_bn"),
    ],
)
def test_a_mistyped_top_level_key_names_the_right_one(slip, meant):
    with pytest.raises(ConfigError, match=f"'{slip}', did you mean '{meant}'"):
        check_keys([slip])


def test_variables_of_the_user_are_accepted():
    check_keys(["clip_len", "data_root", "train_pipeline", "test_pipeline", "mode", "held_out", "signs", "_env_cgf"])
    check_keys(
        [
            "model_cfg",
            "optim_wrapper_cfg",
            "dataset_type",
            "num_epochs",
            "lr",
            "vis_backends",
            "train_dataloader_cfg",
            "train_conf",
        ]
    )


def test_the_dataset_that_gave_the_model_arguments_is_the_one_that_is_trained_on(toy):
    built = []

    @DATASETS.register_module(force=True)
    class CountedClips(DATASETS.get("ToyClips")):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            built.append(self)

    cfg = toy(max_epochs=1)
    cfg.train_dataloader.dataset.type = "CountedClips"
    runner = build_runner(cfg)
    assert cfg.train_dataloader.dataset == {"type": "CountedClips"} == runner.cfg.train_dataloader.dataset
    runner.train()
    assert built == [runner.train_dataloader.dataset]
    assert "'CountedClips'" in Path(runner.work_dir, Path(runner.cfg.filename or f"{runner.timestamp}.py").name).read_text()
