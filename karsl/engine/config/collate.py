"""Collate functions by their plain names."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from mmengine.config import Config
from mmengine.registry import FUNCTIONS as ROOT_FUNCTIONS

from karsl.engine.config.walk import LOADERS
from karsl.errors import ConfigError, did_you_mean
from karsl.registry import FUNCTIONS


def name_collate(loader: MutableMapping, where: str = "dataloader") -> None:
    """Write a loader's collate function in the form that MMEngine finds.

    MMEngine looks in its root registry whatever the default scope is, so `'keypoint_collate'` becomes
    `'karsl.keypoint_collate'`. A function, a name of MMEngine's and a dotted path stay as they are.

    Args:
        loader: Changed in place.
        where: How the error calls it.

    Raises:
        ConfigError: No collate function has that name.

    Example:
        >>> loader = {"collate_fn": {"type": "keypoint_collate"}}
        >>> name_collate(loader)
        >>> loader["collate_fn"]
        {'type': 'karsl.keypoint_collate'}
    """
    given = loader.get("collate_fn")
    cfg = {"type": given} if isinstance(given, str) else given
    name = cfg.get("type") if isinstance(cfg, Mapping) else None
    if not isinstance(cfg, Mapping) or not isinstance(name, str):
        return
    if ROOT_FUNCTIONS.get(name) is None:
        if FUNCTIONS.get(name) is None:
            known = [*FUNCTIONS.module_dict, *ROOT_FUNCTIONS.module_dict]
            hint = did_you_mean(name.rpartition(".")[2], known, f"known: {', '.join(sorted(known))}")
            raise ConfigError(f"{where}.collate_fn: no collate function '{name}'{hint}")
        name = f"karsl.{name}"
    loader["collate_fn"] = {**cfg, "type": name}


def name_collates(cfg: Config) -> None:
    """The same for every loader of a config."""
    for where in LOADERS:
        if isinstance(cfg.get(where), MutableMapping):
            name_collate(cfg[where], where)
