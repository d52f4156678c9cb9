"""The loaders of a config: found by their phase, checked, without options that need workers where there are none."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from karsl.engine.config.collate import name_collate
from karsl.engine.config.walk import LOADERS, dataset_leaves
from karsl.engine.hooks.resume import find_order
from karsl.errors import ConfigError

_LEAST = {"batch_size": 1, "num_workers": 0}
_OF_WORKERS = ("multiprocessing_context", "persistent_workers", "prefetch_factor", "timeout")


def find_loader(cfg: Config, phase: str, config: str) -> Any:
    """The loader of a phase.

    Args:
        cfg: A whole config.
        phase: `train`, `val` or `test`.
        config: How the error calls it.

    Raises:
        ConfigError: There is none.
    """
    loader = cfg.get(f"{phase}_dataloader")
    if not loader or not loader.get("dataset"):
        has = [name.removesuffix("_dataloader") for name in LOADERS if cfg.get(name)]
        raise ConfigError(f"config '{config}' has no {phase}_dataloader; it has {', '.join(has) or 'none'}")
    return loader


def check_loaders(cfg: Config) -> None:
    """Refuse sizes that no loader takes; without workers, take out what torch takes with workers only.

    Args:
        cfg: Changed in place.

    Raises:
        ConfigError: Names the key and its value.

    Example:
        >>> cfg = Config({"train_dataloader": {"num_workers": 0, "persistent_workers": True, "prefetch_factor": 4}})
        >>> check_loaders(cfg)
        >>> cfg.train_dataloader
        {'num_workers': 0}
    """
    for name in LOADERS:
        loader = cfg.get(name)
        if isinstance(loader, MutableMapping):
            _check_sizes(loader, name)
            if not loader.get("num_workers"):
                drop_worker_options(loader)


def _check_sizes(loader: MutableMapping, where: str) -> None:
    for key, least in _LEAST.items():
        value = loader.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise ConfigError(f"{where}.{key}={value!r}; expected an integer of at least {least}")


def drop_worker_options(loader: MutableMapping) -> None:
    """Take out what torch's DataLoader refuses without workers."""
    for key in _OF_WORKERS:
        loader.pop(key, None)


def build_loader(loader: Any, *, scope: str, seed: int, num_workers: int, start_method: str, serialize: bool) -> DataLoader:
    """Build a loader outside of a run, its workers kept over epochs.

    Args:
        loader: As its config has it; changed in place.
        scope: In which names are looked up.
        seed: Of its order.
        num_workers: Instead of the config's.
        start_method: Of the workers.
        serialize: `serialize_data` of its datasets.
    """
    name_collate(loader)
    for leaf in dataset_leaves(loader.dataset):
        leaf["serialize_data"] = serialize
    loader.num_workers = num_workers
    if num_workers:
        loader.persistent_workers, loader.multiprocessing_context = True, start_method
    else:
        drop_worker_options(loader)
    with DefaultScope.overwrite_default_scope(scope):
        built = Runner.build_dataloader(loader, seed=seed)
    order = find_order(built)
    if order is not None and isinstance(built.batch_size, int):  # as ResumeHook does when a run begins
        order.batch_size = built.batch_size
    return built
