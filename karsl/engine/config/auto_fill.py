"""Fill what a model must know of its dataset: classes, and what the pipeline's last step leaves of a clip."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope

from karsl.datasets.walk import walk_datasets
from karsl.engine.config.walk import LOADERS, mappings
from karsl.errors import ConfigError
from karsl.registry import DATASETS
from karsl.skeletons import describe_skeleton, get_skeleton

_KEYS = ("num_classes", "skeleton", "in_channels")


def fill_model(cfg: Config, metainfo: Mapping[str, Any] | None = None) -> None:
    """Replace `num_classes`, `skeleton` and `in_channels` that are `'auto'` or None anywhere in `cfg.model`.

    `num_classes` is the number of the dataset's classes. `skeleton` is that at the end of the pipeline, after
    SelectKeypoints, say; `in_channels`, beside a `skeleton`, is C there.

    Args:
        cfg: Changed in place, so that the config dumped into the work dir holds the values.
        metainfo: What a checkpoint says of its dataset; it gives the classes, and the test dataset, not the train dataset,
            gives the rest. None builds the first dataset that the config has, in the order train, val, test. With an index
            cache this costs next to nothing.

    Raises:
        ConfigError: There is no dataset, or it does not say what is asked for.
    """
    places = [(node, key) for node in mappings(cfg.model) for key in _KEYS if _is_open(node, key)]
    facts = _Facts(cfg, metainfo)
    for node, key in places:
        node[key] = getattr(facts, key)
        print_log(f"model: {key}={_brief(node[key])} from the dataset", logger="current")


def _is_open(node: Mapping, key: str) -> bool:
    return node.get(key, 0) in (None, "auto") and (key != "in_channels" or "skeleton" in node)


class _Facts:
    """What a model may ask; the dataset is built at the first question that needs it."""

    def __init__(self, cfg: Config, metainfo: Mapping[str, Any] | None) -> None:
        self._cfg, self._given = cfg, metainfo or {}
        self._loaders = LOADERS if metainfo is None else LOADERS[::-1]

    @property
    def num_classes(self) -> int:
        return len(self._said("classes", "num_classes"))

    @cached_property
    def skeleton(self) -> str | dict[str, Any]:
        for part in walk_datasets(self._dataset):
            found = getattr(part, "output_skeleton", None)
            if found is not None:
                return describe_skeleton(found, part.skeleton)
        return str(self._said("skeleton", "skeleton"))

    @cached_property
    def in_channels(self) -> int:
        for part in walk_datasets(self._dataset):
            found = getattr(part, "output_channels", None)
            if found is not None:
                return int(found)
        name = type(self._dataset).__name__
        raise ConfigError(f"model: in_channels='auto', but {name} has no output_channels; give a number")

    @cached_property
    def _dataset(self) -> Any:
        for name in self._loaders:
            if self._cfg.get(name):
                return build_dataset(self._cfg[name]["dataset"], self._cfg.get("default_scope") or "mmengine")
        raise ConfigError(f"model: 'auto' needs a dataset to look at, the config has none of {', '.join(LOADERS)}")

    def _said(self, source: str, key: str) -> Any:
        metainfo = self._given or getattr(self._dataset, "metainfo", None) or {}
        if metainfo.get(source) is None:
            raise ConfigError(f"model: {key}='auto' needs {source!r} in the dataset's metainfo, it has {sorted(metainfo)}")
        return metainfo[source]


def build_dataset(dataset: Any, scope: str) -> Any:
    """Build a dataset from its config, its annotations included; what it lacks is said when the run builds its own."""
    if not isinstance(dataset, Mapping):
        return _initialised(dataset)
    with DefaultScope.overwrite_default_scope(scope):
        return _initialised(DATASETS.build(dataset))


def _initialised(dataset: Any) -> Any:
    if hasattr(dataset, "full_init"):
        dataset.full_init()
    return dataset


def _brief(value: Any) -> str:
    if not isinstance(value, Mapping) or "select" in value:
        return repr(value)
    return f"{value['name']!r} with {get_skeleton(value).num_keypoints} keypoints, described in full,"
