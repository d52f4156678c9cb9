"""From a config to a Runner that has what karsl needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from karsl.engine.config.arguments import naming_arguments
from karsl.engine.config.auto_fill import fill_model
from karsl.engine.config.collate import name_collates
from karsl.engine.config.keys import check_keys
from karsl.engine.config.walk import own_keys
from karsl.engine.hooks.checkpoint import SafeCheckpointHook, read_checkpoint
from karsl.engine.hooks.contents import ContentsHook
from karsl.engine.hooks.epoch import EpochHook
from karsl.engine.hooks.resume import ResumeHook
from karsl.engine.hooks.workers import StopWorkersHook
from karsl.errors import ConfigError

_NEEDED_HOOKS = (ContentsHook, EpochHook, ResumeHook, SafeCheckpointHook, StopWorkersHook)


def build_runner(cfg: Config, *, metainfo: Mapping[str, Any] | None = None) -> Runner:
    """Build MMEngine's Runner.

    Adds `ContentsHook`, `EpochHook`, `ResumeHook`, `SafeCheckpointHook` and `StopWorkersHook` where the config lacks them,
    replaces MMEngine's plain Visualizer, which needs matplotlib, by `LogVisualizer`, fills `num_classes='auto'`, and opens
    the checkpoint of `load_from` first, so that a bad file is refused before anything is built.

    Args:
        cfg: A whole config, from `load_config` or by hand; changed in place where something is filled.
        metainfo: Of the dataset that the model was trained on, for `'auto'`; None asks the dataset.

    Returns:
        The Runner, not started.

    Raises:
        ConfigError: A top-level key is missing or mistyped, a `type` is not registered, or takes other arguments.
        DatasetNotFoundError: `load_from` or a data root is not there.
    """
    check_keys(own_keys(cfg))
    for key in ("model", "work_dir"):
        if not cfg.get(key):
            raise ConfigError(f"the config has no '{key}'; give one, or load it with karsl.engine.load_config")
    if cfg.get("load_from") and "://" not in str(cfg.load_from):
        read_checkpoint(cfg.load_from)
    add_hooks(cfg)
    name_collates(cfg)
    if _type_name(cfg.get("visualizer") or {"type": "Visualizer"}) == "Visualizer":
        backends = [{"type": "LocalVisBackend"}]
        cfg.visualizer = {"vis_backends": backends, **(cfg.get("visualizer") or {}), "type": "karsl.LogVisualizer"}
    with naming_arguments(cfg):
        fill_model(cfg, metainfo)
        return Runner.from_cfg(cfg)


def add_hooks(cfg: Config) -> None:
    """Append the hooks that karsl needs to `cfg.custom_hooks`, unless they are there under any spelling."""
    hooks = list(cfg.get("custom_hooks") or [])
    present = {_type_name(hook) for hook in [*hooks, *(cfg.get("default_hooks") or {}).values()]}
    missing = [hook for hook in _NEEDED_HOOKS if hook.__name__ not in present]
    cfg.custom_hooks = hooks + [{"type": f"karsl.{hook.__name__}"} for hook in missing]


def _type_name(hook: Any) -> str:
    kind = hook.get("type", "") if isinstance(hook, Mapping) else type(hook)
    return (kind if isinstance(kind, str) else getattr(kind, "__name__", "")).rpartition(".")[2]
