"""`LazyDataset`: build a tree of dataset wrappers with method calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.logging import print_log

from karsl.datasets.combine.base import DatasetWrapper, SingleWrapper
from karsl.datasets.combine.check import check_samples
from karsl.datasets.combine.export import save
from karsl.datasets.combine.filter import FilterDataset
from karsl.datasets.combine.map import MapDataset, RelabelDataset, import_callable
from karsl.datasets.combine.mix import ConcatDataset, InterleaveDataset, MixDataset
from karsl.datasets.combine.read import TreeReader
from karsl.datasets.state import EpochState
from karsl.datasets.tree import first_seed, format_tree
from karsl.errors import ConfigError, KarslError, type_name, with_context
from karsl.registry import DATASETS


class _Node(NamedTuple):
    """A dataset of the tree.

    Attributes:
        dataset: The dataset.
        config: Its config; arguments may still be objects, see `LazyDataset.to_config`.
    """

    dataset: Any
    config: Any


@DATASETS.register_module()
class LazyDataset(SingleWrapper):
    """Datasets to which operations are applied when a sample is accessed.

    Each call adds a dataset wrapper and returns this object, so calls can be chained; only `filter` makes samples at once,
    since an index needs its result. Before `mix`, a call applies to one dataset, or to all; after it, to the mix. Until
    `mix`, length and samples are those of the first dataset.

    Args:
        dataset: First dataset or config; None starts empty.
        name: Name of the first dataset.
        lazy_init: Initialize the datasets in `full_init()`; `filter` initializes those it reads in any case.
        seed: See KeypointDataset; None uses the seed of the first dataset that has one.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> import torch
        >>> lazy = LazyDataset(TensorDataset(torch.arange(2)), name="a")
        >>> _ = lazy.add_dataset(TensorDataset(torch.arange(10, 13)), name="b")
        >>> _ = lazy.map(lambda item: int(item[0])).mix(interleave=True).map(lambda number: -number)
        >>> [lazy[i] for i in range(len(lazy))], lazy[-1]
        ([0, -10, -1, -11, 0, -12], -12)
    """

    _min_children = 0

    def __init__(
        self, dataset: Any = None, name: str | None = None, *, lazy_init: bool = False, seed: int | None = None
    ) -> None:
        self._nodes: dict[str, _Node] = {}
        self._mix: _Node | None = None
        self._warned = False
        DatasetWrapper.__init__(self, [], lazy_init=True, seed=seed)
        if dataset is not None:
            self.add_dataset(dataset, name=name)
            if not lazy_init:
                self.full_init()

    # ---- operations ----

    def add_dataset(self, dataset: Any, name: str | None = None) -> LazyDataset:
        """Add a dataset or config.

        Args:
            dataset: The dataset, which is not copied.
            name: Name for later calls; `dataset0`, `dataset1` and so on by default.

        Raises:
            ConfigError: If the name exists, `mix` was called, or this is no dataset.
        """
        if self._mix is not None:
            raise ConfigError(f"{type_name(self)}: add_dataset after mix(); add all datasets before mix(), or mix two mixes")
        name = name or f"dataset{len(self._nodes)}"
        if name in self._nodes:
            raise ConfigError(f"{type_name(self)}: there is a dataset {name!r} already; choose another name")
        try:
            self._nodes[name] = _Node(self._build(len(self._nodes), dataset), dataset)
        except Exception as error:
            raise with_context(error, f"{type_name(self)}: add_dataset, {name!r}") from error
        return self._update()

    def map(
        self, transform: str | dict | Callable | Sequence[str | dict | Callable], dataset: str | None = None
    ) -> LazyDataset:
        """Add a transform.

        Args:
            transform: See MapDataset.
            dataset: Name of a dataset; None means all of them, and after `mix` the mix.

        Raises:
            ConfigError: If there is no such dataset or transform.
        """
        for name, node in self._select(dataset, "map"):
            self._replace(name, _map(node, transform))
        return self._update()

    def filter(
        self, predicate: Callable | str | Mapping, dataset: str | None = None, *, num_workers: int = 0
    ) -> LazyDataset:
        """Keep samples for which a predicate is true; it sees the transforms added so far and is evaluated at once.

        After a weighted mix, whose indices are other clips in each epoch, it filters the datasets in the mix.

        Args:
            predicate: See FilterDataset.
            dataset: As for `map`.
            num_workers: Number of processes that evaluate the predicate.

        Raises:
            ConfigError: If no sample is left, or there is no such dataset or predicate.
            TransformError: If the predicate or a transform fails.
        """
        for name, node in self._select(dataset, "filter"):
            self._replace(name, _filter(node, predicate, num_workers))
        return self._update()

    def mix(
        self,
        interleave: bool = True,
        *,
        weights: Sequence[float] | Mapping[str, float] | None = None,
        stopping_strategy: str | None = None,
        labels: str | Sequence[str] = "strict",
        aliases: Mapping[str, str] | None = None,
    ) -> LazyDataset:
        """Combine all datasets into one.

        Args:
            interleave: Use InterleaveDataset; False uses ConcatDataset.
            weights: Proportions, in order or by name: use MixDataset.
            stopping_strategy: `'first_exhausted'` or `'all_exhausted'`; the default is that of the wrapper.
            labels, aliases: See MultiWrapper.

        Raises:
            ConfigError: If there is no dataset, `mix` was called before, or the datasets do not fit together.
        """
        if self._mix is not None or not self._nodes:
            raise ConfigError(f"{type_name(self)}: mix() {'was called before' if self._nodes else 'before add_dataset'}")
        nodes = list(self._nodes.values())
        options: dict[str, Any] = {} if stopping_strategy is None else {"stopping_strategy": stopping_strategy}
        options |= {} if labels == "strict" else {"labels": labels}
        options |= {} if aliases is None else {"aliases": dict(aliases)}
        if len(nodes) == 1:
            self._mix = nodes[0]
        elif weights is not None:
            shares = [weights.get(n, 0) for n in self._nodes] if isinstance(weights, Mapping) else list(weights)
            self._mix = _combine(MixDataset, nodes, weights=shares, **options)
        else:
            if not interleave:
                options.pop("stopping_strategy", None)
            self._mix = _combine(InterleaveDataset if interleave else ConcatDataset, nodes, **options)
        return self._update()

    def _select(self, dataset: str | None, method: str) -> list[tuple[str | None, _Node]]:
        """Return names and nodes that a call applies to; the name of the mix is None."""
        if not self._nodes:
            raise ConfigError(f"{type_name(self)}: {method}() before add_dataset")
        if self._mix is not None:
            if dataset is not None:
                raise ConfigError(
                    f"{type_name(self)}: {method}(dataset={dataset!r}) after mix(), where it applies to all; call it before"
                )
            return [(None, self._mix)]
        if dataset is None:
            return list(self._nodes.items())
        if dataset not in self._nodes:
            raise ConfigError(f"{type_name(self)}: {method}: no dataset {dataset!r}; there are {', '.join(self._nodes)}")
        return [(dataset, self._nodes[dataset])]

    def _replace(self, name: str | None, node: _Node) -> None:
        if name is None:
            self._mix = node
        else:
            self._nodes[name] = node

    def _update(self) -> LazyDataset:
        root = self._root()
        self.children, self._fully_initialized, self._reader = (root.dataset,), False, TreeReader(self)
        if self._epoch_state.seed is None:
            self._epoch_state = EpochState(first_seed(self.children))
        self._share_seed()
        return self

    def _root(self) -> _Node:
        if not self._nodes:
            raise ConfigError(f"{type_name(self)}: no dataset yet; call add_dataset")
        return self._mix if self._mix is not None else next(iter(self._nodes.values()))

    # ---- inspection and export ----

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the datasets."""
        return tuple(self._nodes)

    def check(self, num_samples: int = 4) -> int:
        """Make a few samples of each dataset, before hours are spent on all of them.

        Args:
            num_samples: Number of samples of each dataset, spread over it.

        Returns:
            Number of samples made.

        Raises:
            DataErrors: With all samples that failed, and all whose keys or shapes differ from those of the others.
        """
        if self._mix is None and len(self._nodes) > 1:
            return check_samples([node.dataset for node in self._nodes.values()], num_samples)
        self.full_init()
        return check_samples([self], num_samples)

    def describe(self) -> str:
        """Return the tree as text; before `mix`, one tree per dataset."""
        if self._mix is None and len(self._nodes) > 1:
            trees = [f"{name}: {format_tree(node.dataset)}" for name, node in self._nodes.items()]
            return "\n".join([f"{type_name(self)}({self._describe()}): not mixed", *trees])
        return repr(self)

    def to_config(self) -> dict:
        """Return a config that builds an equal dataset, of nested configs of dataset wrappers.

        Raises:
            ConfigError: If datasets are not mixed yet, or an argument is an object that no config can name.
        """
        root = self._root()
        if self._mix is None and len(self._nodes) > 1:
            raise ConfigError(
                f"{type_name(self)}: {len(self._nodes)} datasets are not mixed yet; call mix() before to_config()"
            )
        config = {"type": "LazyDataset", "dataset": _to_data(root.config, "dataset")}
        seed = self._epoch_state.seed
        return config if seed is None else config | {"seed": seed}

    def save_as(self, path: str | Path, format: str = "pack", **options: Any) -> Path:
        """Write all samples to disk; see `karsl.datasets.combine.export.save`."""
        self.full_init()
        return save(self, path, format, **options)

    # ---- dataset ----

    def full_init(self) -> None:
        """Initialize the tree.

        Raises:
            ConfigError: If no dataset was added.
        """
        self._root()
        if self._mix is None and len(self._nodes) > 1 and not self._warned:
            self._warned = True
            first, *others = self._nodes
            text = f"{type_name(self)}: {', '.join(others)} are not mixed, samples are those of {first}; call mix()"
            print_log(text, logger="current", level=logging.WARNING)
        super().full_init()

    def _ensure_initialized(self) -> None:
        self.full_init()  # expected after each call, so without a warning

    def _describe(self) -> str:
        return ", ".join(self._nodes)


def _map(node: _Node, transform: Any) -> _Node:
    config = dict(type="MapDataset", dataset=node.config, transform=transform)
    return _Node(MapDataset(node.dataset, transform, lazy_init=True), config)


def _filter(node: _Node, predicate: Any, num_workers: int) -> _Node:
    """Filter a dataset; a weighted mix with transforms above it is filtered child by child and mixed again."""
    mix, maps = node, list[_Node]()
    while isinstance(mix.dataset, MapDataset):
        maps.insert(0, mix)
        mix = _Node(mix.dataset.dataset, _argument(mix, "dataset", mix.dataset.dataset))
    if not isinstance(mix.dataset, MixDataset):
        config = dict(type="FilterDataset", dataset=node.config, predicate=predicate)
        return _Node(FilterDataset(node.dataset, predicate, num_workers=num_workers), config)
    node.dataset.full_init()
    filtered = []
    configs = _argument(mix, "datasets", mix.dataset.children)
    for number, (dataset, config) in enumerate(zip(mix.dataset.children, configs, strict=True)):
        child = _Node(dataset, _relabel_config(dataset, config))
        for above in maps:
            steps = list(above.dataset.steps)
            config = dict(type="MapDataset", dataset=child.config, transform=_argument(above, "transform", steps))
            child = _Node(MapDataset(child.dataset, steps, lazy_init=True), config)
        try:
            filtered.append(_filter(child, predicate, num_workers))
        except KarslError as error:
            raise with_context(
                error, f"{type_name(mix.dataset)}: {mix.dataset.child_name(number)} ({type_name(dataset)})"
            ) from error
    strategy = mix.dataset.stopping_strategy
    return _combine(MixDataset, filtered, weights=list(mix.dataset.weights), stopping_strategy=strategy)


def _argument(node: _Node, name: str, default: Any) -> Any:
    """Return an argument from the config of a dataset, or the default for one that was given as an object."""
    return node.config.get(name, default) if isinstance(node.config, Mapping) else default


def _relabel_config(dataset: Any, config: Any) -> Any:
    """Return the config of a child of a mix, which may have put a RelabelDataset around it."""
    if not isinstance(dataset, RelabelDataset) or dataset is config:
        return config
    if isinstance(config, Mapping) and config.get("type") == "RelabelDataset":
        return config
    options = dict(classes=dataset.classes, aliases=dataset.aliases, prefix=dataset.prefix)
    return dict(type="RelabelDataset", dataset=config, **options)


def _combine(wrapper: type, nodes: Sequence[_Node], **options: Any) -> _Node:
    config = dict(type=wrapper.__name__, datasets=[node.config for node in nodes], **options)
    return _Node(wrapper([node.dataset for node in nodes], lazy_init=True, **options), config)


def _to_data(value: Any, path: str) -> Any:
    """Return a value as data; a function or class of a module becomes `'module:name'`.

    Raises:
        ConfigError: If it is neither data nor can be imported again.
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _to_data(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (Sequence, range)):
        return [_to_data(item, f"{path}[{number}]") for number, item in enumerate(value)]
    name = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}"
    with suppress(ConfigError):  # not importable, like a lambda: named with its path below
        if callable(value) and import_callable(name) is value:
            return name
    raise ConfigError(f"{path} is a {type_name(value)}, which no config can name; give a config, or a function of a module")
