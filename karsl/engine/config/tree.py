"""Traversal of a config."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

from mmengine.config import Config

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def user_keys(cfg: Config | MutableMapping) -> list[str]:
    """Return the top-level keys without the imports of a pure-Python config, which MMEngine stores as keys, too."""
    imported = getattr(cfg, "_imported_names", ())
    return [key for key in cfg if key not in imported]


def mappings(node: Any) -> Iterator[MutableMapping]:
    """Yield every mapping at or below `node`, outer ones first.

    Example:
        >>> [sorted(m) for m in mappings({"a": [{"b": 1}, ({"c": 2},)]})]
        [['a'], ['b'], ['c']]
    """
    if isinstance(node, MutableMapping):
        yield node
        for key in list(node):
            yield from mappings(node[key])
    elif isinstance(node, (list, tuple)):
        for item in node:
            yield from mappings(item)


def dataset_configs(dataset: Any) -> Iterator[MutableMapping]:
    """Yield the configs of the datasets that read files, below wrappers with `dataset`, `datasets` or `source`.

    Example:
        >>> list(dataset_configs({"type": "RepeatDataset", "dataset": {"type": "KArSLDataset"}}))
        [{'type': 'KArSLDataset'}]
    """
    if isinstance(dataset, Sequence) and not isinstance(dataset, str):
        for item in dataset:
            yield from dataset_configs(item)
    elif isinstance(dataset, MutableMapping):
        children = dataset.get("datasets", dataset.get("dataset"))
        if children is None and isinstance(dataset.get("source"), MutableMapping):
            children = dataset["source"]
        if children is None:
            yield dataset
        else:
            yield from dataset_configs(children)
