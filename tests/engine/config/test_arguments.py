"""A mistyped argument is named by its place in the config."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from karsl.engine import build_runner, naming_arguments
from karsl.errors import ConfigError


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("train_cfg.max_epoch", "EpochBasedTrainLoop has no argument 'max_epoch'; did you mean 'max_epochs'?"),
        ("model.backbone.embed_dim", "STTransformer has no argument 'embed_dim'; did you mean 'embed_dims'?"),
        ("optim_wrapper.optimizer.weight_decai", "AdamW has no argument 'weight_decai'; did you mean 'weight_decay'?"),
        ("default_hooks.logger.intervall", "LoggerHook has no argument 'intervall'; did you mean 'interval'?"),
        ("param_scheduler.0.T_maxx", "did you mean 'T_max'?"),
        ("train_dataloader.num_worker", "DataLoader has no argument 'num_worker'; did you mean 'num_workers'?"),
        ("train_dataloader.dataset.sizes", "ToyClips has no argument 'sizes'; did you mean 'size'?"),
    ],
)
def test_an_argument_that_does_not_exist_is_named_with_its_path(key, sentence, toy):
    cfg = toy()
    cfg.merge_from_dict({key: 1})
    with pytest.raises(ConfigError) as caught, naming_arguments(cfg):
        build_runner(cfg).train()
    assert str(caught.value).startswith(f"{key}: ")
    assert sentence in str(caught.value)


def test_an_argument_that_is_handed_to_the_base_class_is_found(corpus):
    from karsl.registry import DATASETS

    cfg = Config({"test_dataloader": {"dataset": {"type": "KArSLDataset", "data_root": str(corpus), "filter_cfgs": {}}}})
    sentence = r"^test_dataloader\.dataset\.filter_cfgs: .* did you mean 'filter_cfg'"
    with pytest.raises(ConfigError, match=sentence), naming_arguments(cfg):
        DATASETS.build(cfg.test_dataloader.dataset)


def test_an_argument_that_is_missing_is_named(toy):
    cfg = toy()
    cfg.model.cls_head.pop("num_classes")
    with pytest.raises(ConfigError, match="^model.cls_head: ClassifierHead needs the argument 'num_classes'"):
        build_runner(cfg)


def test_an_error_that_the_config_does_not_explain_passes_through(toy):
    class Elsewhere:
        def __init__(self, max_epochs):
            pass

    with pytest.raises(TypeError, match="Elsewhere"), naming_arguments(toy()):
        Elsewhere(lr=1)
