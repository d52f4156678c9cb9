"""Changes from the command line that reach every place they are meant for."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from karsl.engine.config.keys import check_keys, runner_keys
from karsl.engine.config.walk import LOADERS, dataset_leaves, mappings, own_keys
from karsl.errors import ConfigError, did_you_mean

# Of StreamDataset and TarDataset: what names files there, instead of a data root.
_PLACES = frozenset(("source", "tars"))


def override(cfg: Config, options: Mapping[str, Any]) -> None:
    """Apply dotted keys to a config.

    A config's own variable (`clip_len = 32`) has been copied into the pipelines when the file ran, and MMEngine changes
    the variable alone. Here each nested key of the same name that still holds the same value changes with it.

    Args:
        cfg: Changed in place.
        options: `{'train_cfg.max_epochs': 3, 'clip_len': 16}`; numbers address list items.

    Raises:
        ConfigError: A key leads nowhere, or nothing reads the changed variable.
    """
    variables = {key: cfg[key] for key in options if key in cfg and key not in runner_keys()}
    check_keys(key.partition(".")[0] for key in options)
    for key in options:
        first = key.partition(".")[0]
        if first not in cfg and first not in runner_keys():
            hint = did_you_mean(first, [*own_keys(cfg), *runner_keys()])
            raise ConfigError(f"--cfg-options {key}: the config has no '{first}'{hint}")
    try:
        cfg.merge_from_dict(dict(options))
    except (KeyError, TypeError, IndexError, ValueError) as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise ConfigError(f"--cfg-options {' '.join(options)}: {reason}") from error
    for name, old in variables.items():
        count = _replace_copies(cfg, name, old, options[name])
        if not count:
            raise ConfigError(
                f"--cfg-options {name}: the config has computed with this variable when it was read, so a change here "
                "has no effect; edit the config, or override the keys that Runner reads, e.g. train_dataloader.batch_size"
            )
        print_log(f"--cfg-options {name}={options[name]!r} changed {count} places of that name", logger="current")


def _replace_copies(cfg: Config, name: str, old: Any, new: Any) -> int:
    holders = [node for key in own_keys(cfg) for node in mappings(cfg[key]) if name in node and _same(node[name], old)]
    for node in holders:
        node[name] = new
    return len(holders)


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b


def set_data_root(cfg: Config, data_root: str | Path) -> None:
    """Point every dataset of a config, wrapped ones included, to another data root.

    Args:
        cfg: Changed in place; its variable `data_root`, if any, changes too.
        data_root: The new root.

    Raises:
        ConfigError: The config has no dataset, or one that reads no data root.
    """
    for leaf in _leaves(cfg, f"--data-root {data_root}"):
        leaf["data_root"] = str(data_root)
    if "data_root" in cfg:
        cfg.data_root = str(data_root)


def set_ann_file(cfg: Config, ann_file: str | Path) -> None:
    """Let every dataset of a config, wrapped ones included, read an annotation file.

    Args:
        cfg: Changed in place.
        ann_file: Relative to each dataset's data root, or, where there is no such file, to the current folder.

    Raises:
        ConfigError: The config has no dataset, or one that reads no data root.
    """
    for leaf in _leaves(cfg, f"--ann-file {ann_file}"):
        leaf["ann_file"] = find_ann_file(ann_file, leaf.get("data_root"))


def find_ann_file(ann_file: str | Path, data_root: str | Path | None) -> str:
    """What a dataset of this data root must get as `ann_file`; see `set_ann_file`."""
    inside = Path(data_root or "") / ann_file
    if not inside.is_file() and Path(ann_file).is_file():
        return str(Path(ann_file).absolute())
    return str(ann_file)


def _leaves(cfg: Config, option: str) -> list[MutableMapping]:
    found = [(name, leaf) for name in LOADERS if cfg.get(name) for leaf in dataset_leaves(cfg[name].get("dataset"))]
    if not found:
        raise ConfigError(f"{option}: the config has no dataset in {', '.join(LOADERS)}")
    for name, leaf in found:
        for key in _PLACES.intersection(leaf):
            path = f"{name}.dataset.{key}" if leaf is cfg[name]["dataset"] else f"{name}.dataset...{key}"
            raise ConfigError(
                f"{option}: a dataset of the {name} reads what its '{key}' names, {leaf[key]!r}; "
                f"give --cfg-options {path}=... instead"
            )
    return [leaf for _, leaf in found]
