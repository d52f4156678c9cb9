"""Ways through a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from mmengine.config import Config

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def own_keys(cfg: Config | MutableMapping) -> list[str]:
    """Top-level keys without what a pure-Python config imports: MMEngine keeps classes and modules as keys, too."""
    imported = getattr(cfg, "_imported_names", ())
    return [key for key in cfg if key not in imported]


def mappings(node: Any) -> Iterator[MutableMapping]:
    """Every mapping at or below `node`, outer ones first.

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


def placed_mappings(node: Any, path: str) -> Iterator[tuple[str, Mapping]]:
    """Every mapping at or below `node` with its path, outer ones first.

    Example:
        >>> [place for place, _ in placed_mappings({"a": [{"b": 1}, ({"c": 2},)]}, "cfg")]
        ['cfg', 'cfg.a.0', 'cfg.a.1.0']
    """
    if isinstance(node, Mapping):
        yield path, node
        for key in list(node):
            yield from placed_mappings(node[key], f"{path}.{key}")
    elif isinstance(node, (list, tuple)):
        for place, item in enumerate(node):
            yield from placed_mappings(item, f"{path}.{place}")


def dataset_leaves(dataset: Any) -> Iterator[MutableMapping]:
    """Configs of the datasets that read files, below wrappers with `dataset` or `datasets` and as `source` of a StreamDataset.

    Example:
        >>> list(dataset_leaves({"type": "RepeatDataset", "dataset": {"type": "KArSLDataset"}}))
        [{'type': 'KArSLDataset'}]
    """
    if isinstance(dataset, Sequence) and not isinstance(dataset, str):
        for part in dataset:
            yield from dataset_leaves(part)
    elif isinstance(dataset, MutableMapping):
        inner = dataset.get("datasets", dataset.get("dataset"))
        if inner is None and isinstance(dataset.get("source"), MutableMapping):
            inner = dataset["source"]
        if inner is None:
            yield dataset
        else:
            yield from dataset_leaves(inner)
