"""Model arguments that follow from the dataset: number of classes, skeleton and channels of the model input."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from functools import cached_property
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope

from karsl.datasets.tree import walk_datasets
from karsl.engine.config.tree import LOADERS, mappings
from karsl.errors import ConfigError
from karsl.registry import DATASETS
from karsl.skeletons import describe_skeleton, get_skeleton

_KEYS = ("num_classes", "skeleton", "in_channels")
_FOLLOWED = re.compile(rf"model(\.\w+)*\.({'|'.join(_KEYS)})")


def infer_model_args(cfg: Config, metainfo: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Set `num_classes`, `skeleton` and `in_channels` of a model to those of the dataset, and log each change.

    Applies to values that are `'auto'` or None anywhere in `cfg.model`, and to the paths in `cfg.follow_dataset`, where a
    value that the dataset does not provide is kept. `num_classes` is the number of classes of the dataset. `skeleton` is the
    one at the end of the pipeline, after SelectKeypoints for example; `in_channels`, next to a `skeleton`, is C there.

    Args:
        cfg: Modified in place.
        metainfo: Metainfo of the dataset that a checkpoint was trained on; it gives the classes, and the test dataset, not
            the training dataset, gives the rest. None builds the first dataset of the config in the order train, val, test.

    Returns:
        The dataset that was built, by the key of its loader; empty if none was needed.

    Raises:
        ConfigError: If the config has no dataset, it does not provide a value that is `'auto'`, or `follow_dataset` has
            another path.
    """
    unresolved = [(node, key) for node in mappings(cfg.model) for key in _KEYS if _is_unresolved(node, key)]
    following = _following(cfg)
    dataset = _DatasetProperties(cfg, metainfo)
    for node, key in unresolved:
        node[key] = getattr(dataset, key)
        print_log(f"model: {key}={_describe(node[key])} from the dataset", logger="current")
    for path, node, key in following:
        value = _optional(dataset, key)
        if value is not None and not _is_same(key, node[key], value):
            print_log(f"{path}: {_describe(node[key])} in the config, {_describe(value)} from the dataset", logger="current")
            node[key] = value
    return dataset.built


def _following(cfg: Config) -> list[tuple[str, MutableMapping, str]]:
    """Return path, mapping and key of each value that `follow_dataset` names and the model has."""
    paths = cfg.get("follow_dataset") or ()
    if isinstance(paths, str) or not all(isinstance(p, str) and _FOLLOWED.fullmatch(p) for p in paths):
        raise ConfigError(f"follow_dataset={paths!r}; expected a list of paths to {', '.join(_KEYS)} of the model")
    found = []
    for path in paths:
        first, *parents, key = path.split(".")
        node: Any = cfg.get(first)
        for name in parents:
            node = node.get(name) if isinstance(node, Mapping) else None
        if isinstance(node, MutableMapping) and key in node:
            found.append((path, node, key))
    return found


def _optional(dataset: _DatasetProperties, key: str) -> Any:
    try:
        return getattr(dataset, key)
    except _UnknownValueError:
        return None


def _is_same(key: str, old: Any, new: Any) -> bool:
    if key != "skeleton" or old == new:
        return old == new
    first, second = get_skeleton(old), get_skeleton(new)
    return (first.parts, first.bones) == (second.parts, second.bones)


def _is_unresolved(node: Mapping, key: str) -> bool:
    return node.get(key, 0) in (None, "auto") and (key != "in_channels" or "skeleton" in node)


class _UnknownValueError(ConfigError):
    """The dataset does not provide a value for the model."""


class _DatasetProperties:
    """Values for a model; the dataset is built when the first value needs it."""

    def __init__(self, cfg: Config, metainfo: Mapping[str, Any] | None) -> None:
        self._cfg, self._checkpoint_metainfo = cfg, metainfo or {}
        self._loaders = LOADERS if metainfo is None else LOADERS[::-1]
        self.built: dict[str, Any] = {}

    @property
    def num_classes(self) -> int:
        return len(self._metainfo("classes", "num_classes"))

    @cached_property
    def skeleton(self) -> str | dict[str, Any]:
        for dataset in walk_datasets(self._dataset):
            output = getattr(dataset, "output_skeleton", None)
            if output is not None:
                return describe_skeleton(output, dataset.skeleton)
        return str(self._metainfo("skeleton", "skeleton"))

    @cached_property
    def in_channels(self) -> int:
        for dataset in walk_datasets(self._dataset):
            channels = getattr(dataset, "output_channels", None)
            if channels is not None:
                return int(channels)
        name = type(self._dataset).__name__
        raise _UnknownValueError(f"model: in_channels='auto', but {name} has no output_channels; give a number")

    @cached_property
    def _dataset(self) -> Any:
        name = next((name for name in self._loaders if self._cfg.get(name)), None)
        if name is None:
            raise ConfigError(f"model: 'auto' needs a dataset, but the config has none of {', '.join(LOADERS)}")
        dataset = self._cfg[name]["dataset"]
        if isinstance(dataset, Mapping):
            with DefaultScope.overwrite_default_scope(self._cfg.get("default_scope") or "mmengine"):
                dataset = self.built[name] = DATASETS.build(dataset)
        if hasattr(dataset, "full_init"):
            dataset.full_init()
        return dataset

    def _metainfo(self, key: str, argument: str) -> Any:
        metainfo = self._checkpoint_metainfo or getattr(self._dataset, "metainfo", None) or {}
        if metainfo.get(key) is None:
            raise _UnknownValueError(
                f"model: {argument}='auto' needs {key!r} in the metainfo of the dataset, which has {sorted(metainfo)}"
            )
        return metainfo[key]


def _describe(value: Any) -> str:
    if not isinstance(value, Mapping) or "select" in value:
        return repr(value)
    return f"{value['name']!r} with {get_skeleton(value).num_keypoints} keypoints, described in full,"
