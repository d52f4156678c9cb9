"""Collate functions by the names that a text config has."""

from __future__ import annotations

import pytest

from karsl.datasets import keypoint_collate
from karsl.engine import build_runner
from karsl.engine.config.loaders import qualify_collate
from karsl.errors import ConfigError


@pytest.mark.parametrize("given", ["keypoint_collate", {"type": "keypoint_collate"}, {"type": "karsl.keypoint_collate"}])
def test_a_runner_finds_keypoint_collate_by_its_name(given, toy):
    cfg = toy()
    cfg.train_dataloader.collate_fn = given
    assert build_runner(cfg).build_dataloader(cfg.train_dataloader).collate_fn.func is keypoint_collate


@pytest.mark.parametrize("given", [{"type": "pseudo_collate"}, {"type": keypoint_collate}, keypoint_collate, None])
def test_what_mmengine_finds_by_itself_stays(given):
    loader = {"collate_fn": given}
    qualify_collate(loader)
    assert loader == {"collate_fn": given}


def test_a_mistyped_name_is_one_sentence():
    with pytest.raises(ConfigError, match=r"no collate function 'keypoint_colate'; did you mean 'keypoint_collate'\?"):
        qualify_collate({"collate_fn": {"type": "keypoint_colate"}})
