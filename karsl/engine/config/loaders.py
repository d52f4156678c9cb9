"""Data loaders of a config: checks, collate functions, building one without a Runner."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import FUNCTIONS as ROOT_FUNCTIONS
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.datasets.records import check_filter_files
from karsl.engine.config.tree import LOADERS, dataset_configs
from karsl.engine.hooks import find_resumable
from karsl.errors import ConfigError, DatasetNotFoundError, did_you_mean
from karsl.registry import DATASETS, FUNCTIONS

_MINIMUM = {"batch_size": 1, "num_workers": 0}
_WORKER_OPTIONS = ("multiprocessing_context", "persistent_workers", "prefetch_factor", "timeout")


def check_loaders(cfg: Config) -> None:
    """Check the sizes of all loaders, and remove options that torch accepts only with workers from those without.

    Args:
        cfg: Modified in place.

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
                _drop_worker_options(loader)


def check_inputs(cfg: Config, loaders: Sequence[str]) -> None:
    """Check that the files which datasets name exist, before a run makes its folder.

    Args:
        cfg: Config.
        loaders: Keys of the loaders of the run, such as `train_dataloader`.

    Raises:
        DatasetNotFoundError: If there is no such data root, annotation file or split file.
        KarslError: If a file of `filter_cfg` is not in its format.
    """
    for name in loaders:
        for dataset in dataset_configs((cfg.get(name) or {}).get("dataset")):
            kind = dataset.get("type")
            kind = DATASETS.get(kind) if isinstance(kind, str) else kind
            if isinstance(kind, type) and issubclass(kind, KeypointDataset):
                _check_files(dataset)


def _check_files(dataset: Mapping) -> None:
    root, ann_file = (os.fspath(dataset.get(key) or "") for key in ("data_root", "ann_file"))
    if "://" in root + ann_file:
        return
    if root and not os.path.exists(root):
        raise DatasetNotFoundError(
            f"data_root={root!r} does not exist; give the folder of a corpus, see 'karsl prepare --help'"
        )
    if ann_file and not os.path.exists(path := os.path.join(root, ann_file)):
        raise DatasetNotFoundError(f"no annotation file {path!r}; 'karsl prepare DATA_ROOT' writes one")
    filters = dataset.get("filter_cfg")
    if isinstance(filters, Mapping):
        check_filter_files(filters, root)


def _check_sizes(loader: MutableMapping, where: str) -> None:
    for key, minimum in _MINIMUM.items():
        value = loader.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < minimum):
            raise ConfigError(f"{where}.{key}={value!r}; expected an integer of at least {minimum}")


def _drop_worker_options(loader: MutableMapping) -> None:
    for key in _WORKER_OPTIONS:
        loader.pop(key, None)


def qualify_collate(loader: MutableMapping, where: str = "dataloader") -> None:
    """Add the scope to the name of a collate function that is registered in `karsl.registry.FUNCTIONS` only.

    MMEngine looks in its root registry, whatever the default scope is; karsl's own functions are in both. A function, a name
    of MMEngine and a dotted path are left unchanged.

    Args:
        loader: Modified in place.
        where: Name of the loader in the error message.

    Raises:
        ConfigError: If no collate function has that name.

    Example:
        >>> @FUNCTIONS.register_module()
        ... def own_collate(samples): return samples
        >>> loader = {"collate_fn": {"type": "own_collate"}}
        >>> qualify_collate(loader)
        >>> loader["collate_fn"]
        {'type': 'karsl.own_collate'}
    """
    collate = loader.get("collate_fn")
    cfg = {"type": collate} if isinstance(collate, str) else collate
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


def build_loader(loader: Any, *, scope: str, seed: int, num_workers: int, start_method: str, serialize: bool) -> DataLoader:
    """Build a loader without a Runner; its workers persist over epochs.

    Args:
        loader: Config of the loader, modified in place.
        scope: Registry scope for type names.
        seed: Seed of the sampler.
        num_workers: Number of workers, in place of the config's.
        start_method: Start method of the workers.
        serialize: `serialize_data` of the datasets.
    """
    qualify_collate(loader)
    for dataset in dataset_configs(loader.dataset):
        dataset["serialize_data"] = serialize
    loader.num_workers = num_workers
    if num_workers:
        loader.persistent_workers, loader.multiprocessing_context = True, start_method
    else:
        _drop_worker_options(loader)
    with DefaultScope.overwrite_default_scope(scope):
        built = Runner.build_dataloader(loader, seed=seed)
    order = find_resumable(built)
    if order is not None and isinstance(built.batch_size, int):  # as ResumeHook does when a run starts
        order.batch_size = built.batch_size
    return built
