"""Folds of a config: one signer held out for testing, the others for training."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope

from karsl.datasets.records import normalize_signer
from karsl.engine.config.tree import dataset_configs
from karsl.errors import ConfigError, type_name
from karsl.registry import DATASETS

_TRAINING = ("train_dataloader", "val_dataloader")


def find_signers(cfg: Config) -> list[str]:
    """Return the signers of the training data, whatever signers the config selects.

    Raises:
        ConfigError: If the config has no training or test data, or there are fewer than two signers.
    """
    missing = [name for name in ("train_dataloader", "test_dataloader") if not cfg.get(name)]
    if missing:
        raise ConfigError(f"folds need training and test data, but the config has no {missing[0]}")
    dataset_cfg = copy.deepcopy(cfg.train_dataloader.dataset)
    for leaf in dataset_configs(dataset_cfg):
        leaf["filter_cfg"] = {k: v for k, v in _filters(leaf).items() if k != "signers"}
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "karsl")):
        dataset = DATASETS.build(dataset_cfg)
    if not hasattr(dataset, "get_data_info"):
        raise ConfigError(f"the clips of {type(dataset).__name__} have no records, so their signers are unknown")
    records = (dataset.get_data_info(index) for index in range(len(dataset)))
    signers = sorted({normalize_signer(record["signer"]) for record in records if record.get("signer")})
    if len(signers) < 2:
        found = f"only signer {signers[0]}" if signers else "no signer"
        raise ConfigError(f"leaving one signer out needs clips of at least two signers; the training data has {found}")
    return signers


def set_fold(cfg: Config, held_out: str, signers: Sequence[str]) -> None:
    """Test on one signer and train on the others; validation clips, if any, are of the signers of the training clips.

    Args:
        cfg: Modified in place: `filter_cfg` of every dataset that reads files.
        held_out: Signer to test on.
        signers: All signers.
    """
    others = tuple(signer for signer in signers if signer != held_out)
    for name in (*_TRAINING, "test_dataloader"):
        selected = others if name in _TRAINING else (held_out,)
        for leaf in dataset_configs(cfg[name].dataset) if cfg.get(name) else ():
            leaf["filter_cfg"] = {**_filters(leaf), "signers": selected}


def _filters(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    filters = dataset.get("filter_cfg") or {}
    if not isinstance(filters, Mapping):
        raise ConfigError(f"filter_cfg={filters!r} of {type_name(dataset)}; expected a dict such as dict(split='train')")
    return filters
