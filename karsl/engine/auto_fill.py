"""Fill what a model must know of its dataset: the number of classes and the skeleton."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope

from karsl.engine.walk import LOADERS, mappings
from karsl.errors import ConfigError
from karsl.registry import DATASETS

# Key in a model config, and how to read it from a dataset's metainfo.
_SOURCES: dict[str, tuple[str, Callable[[Any], Any]]] = {"num_classes": ("classes", len), "skeleton": ("skeleton", str)}


def fill_model(cfg: Config, metainfo: Mapping[str, Any] | None = None) -> None:
    """Replace `num_classes` and `skeleton` that are `'auto'` or None anywhere in `cfg.model`.

    Args:
        cfg: Changed in place, so that the config dumped into the work dir holds the values.
        metainfo: A dataset's; None builds the first dataset that the config has, in the order train, val, test. With an
            index cache this costs next to nothing.

    Raises:
        ConfigError: There is no dataset, or its metainfo lacks what is asked for.
    """
    places = [(node, key) for node in mappings(cfg.model) for key in _SOURCES if node.get(key, 0) in (None, "auto")]
    if not places:
        return
    metainfo = metainfo or _first_metainfo(cfg)
    for node, key in places:
        source, convert = _SOURCES[key]
        if metainfo.get(source) is None:
            raise ConfigError(f"model: {key}='auto' needs {source!r} in the dataset's metainfo, it has {sorted(metainfo)}")
        node[key] = convert(metainfo[source])
        print_log(f"model: {key}={node[key]!r} from the dataset", logger="current")


def _first_metainfo(cfg: Config) -> Mapping[str, Any]:
    for name in LOADERS:
        if cfg.get(name):
            return dataset_metainfo(cfg[name]["dataset"], cfg.get("default_scope") or "mmengine")
    raise ConfigError(f"model: 'auto' needs a dataset to look at, the config has none of {', '.join(LOADERS)}")


def dataset_metainfo(dataset: Any, scope: str) -> Mapping[str, Any]:
    """Build a dataset from its config and return its metainfo, that of its annotations included."""
    with DefaultScope.overwrite_default_scope(scope):
        built = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
    if hasattr(built, "full_init"):
        built.full_init()
    return getattr(built, "metainfo", None) or {}
