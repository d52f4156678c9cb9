"""Mistakes in a config are found before anything is built, and named by their path."""

from __future__ import annotations

import pytest
from mmengine.config import Config
from torch import nn

from karsl.engine import build_runner
from karsl.engine.config.errors import check_arguments
from karsl.errors import ConfigError
from karsl.registry import DATASETS, MODELS


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("train_cfg.max_epoch", "EpochBasedTrainLoop has no argument 'max_epoch'; did you mean 'max_epochs'?"),
        ("model.backbone.embed_dim", "STTransformer has no argument 'embed_dim'; did you mean 'embed_dims'?"),
        ("optim_wrapper.optimizer.weight_decai", "AdamW has no argument 'weight_decai'; did you mean 'weight_decay'?"),
        ("optim_wrapper.clip_gra", "OptimWrapper has no argument 'clip_gra'; did you mean 'clip_grad'?"),
        ("default_hooks.logger.intervall", "LoggerHook has no argument 'intervall'; did you mean 'interval'?"),
        ("param_scheduler.0.T_maxx", "did you mean 'T_max'?"),
        ("train_dataloader.num_worker", "DataLoader has no argument 'num_worker'; did you mean 'num_workers'?"),
        ("train_dataloader.dataset.sizes", "ToyClips has no argument 'sizes'; did you mean 'size'?"),
        ("train_dataloader.dataset.zqx", "ToyClips has no argument 'zqx'; it takes size, num_classes"),
        ("test_evaluator.top", "AccuracyMetric has no argument 'top'; did you mean 'topk'?"),
        ("test_cfg.fp61", "TestLoop has no argument 'fp61'; did you mean 'fp16'?"),
    ],
)
def test_an_argument_that_does_not_exist_is_named_with_its_path(key, sentence, toy):
    cfg = toy()
    cfg.merge_from_dict({key: 1})
    with pytest.raises(ConfigError) as caught:
        build_runner(cfg)
    assert str(caught.value).startswith(f"{key}: ")
    assert sentence in str(caught.value)


def test_all_mistakes_are_reported_at_once(toy):
    cfg = toy()
    cfg.merge_from_dict({"train_cfg.max_epoch": 1, "test_evaluator.type": "AccuracyMetri", "model.type": "Recogniser"})
    with pytest.raises(ConfigError) as caught:
        build_runner(cfg)
    first, *others = str(caught.value).splitlines()
    assert first == "3 mistakes in the config:"
    assert [line.split(":")[0] for line in others] == ["  model.type", "  train_cfg.max_epoch", "  test_evaluator.type"]


def test_an_argument_that_is_passed_to_the_base_class_is_checked(corpus):
    dataset = {"type": "KArSLDataset", "data_root": str(corpus), "filter_cfgs": {}}
    cfg = Config({"default_scope": "karsl", "test_dataloader": {"dataset": dataset}})
    with pytest.raises(ConfigError, match=r"^test_dataloader\.dataset\.filter_cfgs: .* did you mean 'filter_cfg'"):
        check_arguments(cfg)


def test_an_argument_that_a_class_uses_itself_is_accepted(toy):
    @DATASETS.register_module(force=True)
    class Keywords(nn.Identity):
        def __init__(self, size=1, **kwargs):
            super().__init__()

    cfg = toy()
    cfg.train_dataloader.dataset = {"type": "Keywords", "anything": 1}
    assert check_arguments(cfg) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optim_wrapper.clip_grad", {"type": "value", "clip_value": 0.2}),
        ("custom_hooks", [{"type": "ProfilerHook", "on_trace_ready": {"type": "log_trace", "sort_by": "cpu_time"}}]),
    ],
)
def test_an_argument_in_which_type_is_not_a_class_is_accepted(key, value, toy):
    cfg = toy()
    cfg.merge_from_dict({key: value})
    assert check_arguments(cfg) == []
    build_runner(cfg).build_optim_wrapper(cfg.optim_wrapper)


def test_a_wrapper_without_dataset_is_named(toy):
    cfg = toy()
    cfg.train_dataloader.dataset = {"type": "RepeatDataset", "times": 2}
    cfg.model.cls_head.num_classes = 2
    with pytest.raises(ConfigError, match=r"^train_dataloader\.dataset: RepeatDataset needs the argument 'dataset'"):
        build_runner(cfg)


def test_an_argument_that_is_missing_is_named(toy):
    cfg = toy()
    cfg.model.cls_head.pop("num_classes")
    with pytest.raises(ConfigError, match="^model.cls_head: ClassifierHead needs the argument 'num_classes'"):
        build_runner(cfg)
    cfg = toy()
    cfg.train_cfg.pop("max_epochs")
    with pytest.raises(ConfigError, match=r"^train_cfg: EpochBasedTrainLoop needs the argument 'max_epochs'"):
        build_runner(cfg)


@MODELS.register_module(force=True)
class CompletesItsHead(nn.Module):
    """A model that adds an argument to the config of its head and takes one out."""

    def __init__(self, cls_head, **kwargs):
        super().__init__()
        cls_head = dict(cls_head)
        assert cls_head.pop("requires_grad")
        self.cls_head = MODELS.build(cls_head | {"in_channels": 8})


def test_a_model_may_complete_the_configs_of_its_parts(toy):
    cfg = toy()
    cfg.model = {
        "type": "CompletesItsHead",
        "cls_head": {"type": "ClassifierHead", "num_classes": "auto", "requires_grad": True},
    }
    assert build_runner(cfg).model.cls_head.fc.in_features == 8
    assert check_arguments(cfg)[0].startswith("model.cls_head.requires_grad: ClassifierHead has no argument")


def test_an_error_that_the_config_does_not_explain_passes_through(toy):
    @MODELS.register_module(force=True)
    class Broken(nn.Module):
        def __init__(self, **kwargs):
            raise TypeError("of the model")

    cfg = toy()
    cfg.model = {"type": "Broken"}
    with pytest.raises(TypeError, match="of the model"):
        build_runner(cfg)
