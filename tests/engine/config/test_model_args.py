"""The model is built for what the pipeline's last step gives."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from karsl.engine.config.model_args import infer_model_args
from karsl.errors import ConfigError
from karsl.skeletons import Skeleton, get_skeleton

HANDS = {"type": "SelectKeypoints", "names": ["rh", "lh"]}


@pytest.fixture
def fill(corpus):
    """`fill(steps, wrap=...)`: the backbone of a config that asks for everything, filled."""

    def fill(steps: list[dict], wrap=lambda dataset: dataset, metainfo=None, **kwargs) -> dict:
        steps = [{"type": "LoadKeypoints"}, *steps]
        dataset = {"type": "KArSLDataset", "data_root": str(corpus), "pipeline": steps, **kwargs}
        model = {"backbone": {"skeleton": "auto", "in_channels": "auto"}, "cls_head": {"in_channels": 8}}
        cfg = Config({"default_scope": "karsl", "model": model, "test_dataloader": {"dataset": wrap(dataset)}})
        infer_model_args(cfg, metainfo)
        assert cfg.model.cls_head.in_channels == 8
        return cfg.model.backbone.to_dict()

    return fill


def test_a_pipeline_that_selects_nothing_gives_the_dataset_s_skeleton(fill):
    assert fill([]) == {"skeleton": "karsl_184", "in_channels": 3}


def test_hands_that_a_step_selects_are_what_the_model_gets(fill):
    backbone = fill([HANDS, {"type": "PackKeypointInputs", "with_score": True}])
    assert backbone == {"skeleton": {"name": "karsl_184", "select": ["rh", "lh"]}, "in_channels": 4}
    assert get_skeleton(backbone["skeleton"]).num_keypoints == 42


def test_steps_are_followed_in_order_and_wrappers_looked_through(fill):
    arms = {"type": "SelectKeypoints", "names": ["pose", "rh"]}
    wrap = lambda dataset: {"type": "RepeatDataset", "times": 2, "dataset": {"type": "ConcatDataset", "datasets": [dataset]}}  # noqa: E731
    assert fill([arms, HANDS | {"names": ["rh"]}], wrap)["skeleton"] == {"name": "karsl_184", "select": ["rh"]}


def test_the_pipeline_takes_precedence_over_the_metainfo_of_a_checkpoint(fill):
    metainfo = {"skeleton": "karsl_184", "classes": ["a"]}
    assert fill([HANDS], metainfo=metainfo)["skeleton"] == {"name": "karsl_184", "select": ["rh", "lh"]}


def test_a_skeleton_that_is_registered_nowhere_is_described_in_full(fill):
    own = Skeleton("own_184", get_skeleton("karsl_184").parts)
    assert get_skeleton(fill([], skeleton=own)["skeleton"]) == own


def test_channels_that_nothing_knows_are_asked_for(toy):
    cfg = toy()
    cfg.model.backbone.in_channels = "auto"
    with pytest.raises(ConfigError, match="ToyClips has no output_channels; give a number"):
        infer_model_args(cfg)


def test_listed_values_follow_the_dataset_and_others_stay(fill, corpus):
    dataset = {"type": "KArSLDataset", "data_root": str(corpus), "pipeline": [{"type": "LoadKeypoints"}, HANDS]}
    model = {
        "backbone": {"skeleton": "karsl_184", "in_channels": 3},
        "cls_head": {"num_classes": 9},
        "aux": {"num_classes": 9},
    }
    follow = ["model.backbone.skeleton", "model.backbone.in_channels", "model.cls_head.num_classes", "model.absent.skeleton"]
    cfg = Config(
        {"model": model, "default_scope": "karsl", "train_dataloader": {"dataset": dataset}, "follow_dataset": follow}
    )
    infer_model_args(cfg)
    assert cfg.model.backbone == {"skeleton": {"name": "karsl_184", "select": ["rh", "lh"]}, "in_channels": 3}
    assert (cfg.model.cls_head.num_classes, cfg.model.aux.num_classes) == (4, 9)


def test_a_listed_value_that_the_dataset_does_not_know_is_kept(toy):
    cfg = toy()
    cfg.model.backbone.in_channels = 5
    cfg.follow_dataset = ["model.backbone.in_channels"]
    infer_model_args(cfg)
    assert cfg.model.backbone.in_channels == 5


@pytest.mark.parametrize("paths", ["model.cls_head.num_classes", ["model.cls_head.depth"], ["train_cfg.num_classes"]])
def test_other_paths_cannot_follow_the_dataset(toy, paths):
    cfg = toy()
    cfg.follow_dataset = paths
    with pytest.raises(
        ConfigError, match="follow_dataset=.*; expected a list of paths to num_classes, skeleton, in_channels"
    ):
        infer_model_args(cfg)
