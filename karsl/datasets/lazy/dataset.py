"""`LazyDataset`: datasets, steps and mixes that are recorded and done item by item."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from karsl.datasets.combine import ConcatDataset, InterleaveDataset, MapDataset, MixDataset
from karsl.datasets.combine.combinator import Combinator, OneMember, first_seed
from karsl.datasets.combine.naming import at_member, kind
from karsl.datasets.combine.reading import Reader
from karsl.datasets.epoch import EpochState
from karsl.datasets.lazy.check import check_items
from karsl.datasets.lazy.encoder import Encoder, build_encoders
from karsl.datasets.lazy.filtering import filtered
from karsl.datasets.lazy.plan import ACTIONS, Recorded, revived
from karsl.datasets.lazy.save import Saving, save_now
from karsl.datasets.skipping import SkipReport
from karsl.errors import ConfigError
from karsl.registry import DATASETS


@DATASETS.register_module()
class LazyDataset(OneMember):
    """Datasets to which things are done later: recorded now, done when an item is asked for.

    Calls change this object and give it back, so they can be chained. Only `filter` runs at once, since a place needs an
    index. Before `mix`, a call is for one dataset, or for all; after it, for the mix. While several datasets are not mixed,
    places are those of the first.

    Args:
        dataset: The first dataset or config; None starts empty.
        name: Of it.
        steps: Calls to make, as `describe(form='config')` gives them: `dict(do='map', transform=..., dataset=...)`.
        lazy_init: Let `full_init()` initialise members; a filter initialises what it looks at in any case.
        seed: See KeypointDataset; None takes that of the first dataset which has one.

    Raises:
        ConfigError: A step is none, or fails.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> import torch
        >>> lazy = LazyDataset(TensorDataset(torch.arange(2)), name="a")
        >>> _ = lazy.add_dataset(TensorDataset(torch.arange(10, 13)), name="b")
        >>> _ = lazy.map(lambda item: int(item[0])).mix(interleave=True).map(lambda number: -number)
        >>> [lazy[i] for i in range(len(lazy))], lazy[-1]
        ([0, -10, -1, -11, 0, -12], -12)
    """

    def __init__(
        self,
        dataset: Any = None,
        name: str | None = None,
        *,
        steps: Iterable[Mapping] = (),
        lazy_init: bool = False,
        seed: int | None = None,
    ) -> None:
        self._parts: dict[str, Any] = {}
        self._whole: Any = None
        self._encoders: list[Encoder] = []
        self._encodes = self._told = False
        self._plan: list[Recorded] = []
        self._saving: Saving | None = None
        self.members, self._fully_initialized = (), False
        self._draws, self.skips, self._reader = EpochState(seed), SkipReport(), Reader(self)
        if dataset is not None:
            self.add_dataset(dataset, name=name)
        for number, step in enumerate(steps):
            self._do(number, dict(step))
        if self._parts and not lazy_init:
            self.full_init()

    def _do(self, number: int, step: dict) -> None:
        action = step.pop("do", None)
        if action not in ACTIONS:
            raise ConfigError(f"{kind(self)}: steps[{number}]: do={action!r}; expected one of {', '.join(ACTIONS)}")
        try:
            getattr(self, action)(**{key: revived(value) for key, value in step.items()})
        except TypeError as error:
            raise ConfigError(f"{kind(self)}: steps[{number}], {action}: {error}") from error

    # ---- recording ----

    def add_dataset(self, dataset: Any, name: str | None = None) -> LazyDataset:
        """Add a dataset or config.

        Args:
            dataset: Nothing of it is copied.
            name: For later calls; default is `dataset0`, `dataset1` and so on.

        Raises:
            ConfigError: The name is taken, `mix` was called, or this is no dataset.
        """
        if self._whole is not None:
            raise ConfigError(f"{kind(self)}: add_dataset after mix(); the mix is made, so add before it or mix two mixes")
        name = name or f"dataset{len(self._parts)}"
        if name in self._parts:
            raise ConfigError(f"{kind(self)}: there is a dataset {name!r} already; give another name")
        try:
            self._parts[name] = self._build(len(self._parts), dataset)
        except Exception as error:
            raise at_member(error, f"{kind(self)}: add_dataset, {name!r}") from error
        return self._record("add_dataset", {"dataset": dataset, "name": name})

    def map(self, transform: dict | Callable | Sequence[dict | Callable], dataset: str | None = None) -> LazyDataset:
        """Record a step.

        Args:
            transform: A transform's config, a callable, or a list of these.
            dataset: Name; None is all of them, and after `mix` the mix.

        Raises:
            ConfigError: No such dataset or transform.
        """
        for name, part in self._chosen(dataset, "map"):
            self._put(name, MapDataset(part, transform, lazy_init=True))
        return self._record("map", _given(transform=transform, dataset=dataset))

    def filter(self, keep: Callable | str | Mapping, dataset: str | None = None, *, num_workers: int = 0) -> LazyDataset:
        """Keep items for which a condition holds, found out at once, after the steps recorded so far.

        After a weighted mix, whose places are other clips in each epoch, it works on the datasets in the mix.

        Args:
            keep: See FilterDataset.
            dataset: As for `map`.
            num_workers: Processes that look at items.

        Raises:
            ConfigError: Nothing is left, no such dataset or condition.
            TransformError: The condition or a step failed.
        """
        notes = []
        for name, part in self._chosen(dataset, "filter"):
            kept = filtered(part, keep, num_workers=num_workers)
            self._put(name, kept)
            notes.append(f"keeps {len(kept):,} of {len(part):,}")
        note = "; ".join(notes)
        return self._record("filter", _given(keep=keep, dataset=dataset, num_workers=num_workers or None), note)

    def mix(
        self,
        interleave: bool = True,
        *,
        weights: Sequence[float] | Mapping[str, float] | None = None,
        stop: str | None = None,
        labels: str | Sequence[str] = "same",
        aliases: Mapping[str, str] | None = None,
    ) -> LazyDataset:
        """Make one of all datasets; nothing is copied.

        Args:
            interleave: Item i is item i // k of dataset i % k, shorter ones begin again, the length is k times the longest;
                False: one after the other.
            weights: Shares, in order or by name: then the order is random, see MixDataset.
            stop: `'first_exhausted'` or `'all_exhausted'`; default is that of InterleaveDataset or MixDataset.
            labels, aliases: How classes become one list, see ConcatDataset.

        Raises:
            ConfigError: Mixed already, nothing to mix, or the datasets do not fit.
        """
        if self._whole is not None or not self._parts:
            raise ConfigError(f"{kind(self)}: mix() {'was called before' if self._parts else 'before add_dataset'}")
        parts = list(self._parts.values())
        options: dict[str, Any] = {"labels": labels, "aliases": aliases, "lazy_init": True}
        stopping: dict[str, Any] = {} if stop is None else {"stop": stop}
        if len(parts) == 1:
            self._whole = OneMember(parts[0], lazy_init=True)
        elif weights is not None:
            shares = [weights.get(n, 0) for n in self._parts] if isinstance(weights, Mapping) else weights
            self._whole = MixDataset(parts, shares, **stopping, **options)
        elif interleave:
            self._whole = InterleaveDataset(parts, **stopping, **options)
        else:
            self._whole = ConcatDataset(parts, **options)
        given = _given(weights=weights, stop=stop, labels=None if labels == "same" else labels, aliases=aliases)
        return self._record("mix", {"interleave": interleave, **given})

    def set_encoder(self, encoder: Any) -> LazyDataset:
        """Name the encoder, or several; `encode` switches them on.

        Args:
            encoder: Config, name or object, or a list of these.

        Raises:
            ConfigError: No such encoder, or one that may give several items for one.
        """
        self._encoders = build_encoders(encoder)
        return self._record("set_encoder", {"encoder": encoder})

    def encode(self) -> LazyDataset:
        """Encode every item, last of all; other keys of an item stay.

        Raises:
            ConfigError: There is no encoder.
        """
        if not self._encoders:
            raise ConfigError(
                f"{kind(self)}: encode() without an encoder; call set_encoder(dict(type='FeatureEncoder')) first"
            )
        self._encodes = True
        return self._record("encode", {})

    # ---- looking ----

    def check(self, items: int = 4) -> int:
        """Make a few items of each dataset, as they would come out, before hours are spent.

        Args:
            items: Of each dataset, spread over it.

        Returns:
            How many were made.

        Raises:
            DataProblems: Everything that failed, and keys or shapes in which items differ.
        """
        if self._whole is None and len(self._parts) > 1:
            trees = [self._encoded(part) for part in self._parts.values()]
        else:
            self.full_init()
            trees = [self]
        return check_items(trees, items)

    def describe(self, form: str = "text") -> Any:
        """What is recorded.

        Args:
            form: `'text'`, or `'config'`: a dict that builds this again, `DATASETS.build(...)`.

        Raises:
            ConfigError: As a config: something was given as an object that no config can name.
        """
        if form == "config":
            return {"type": "LazyDataset", "steps": [call.config(number) for number, call in enumerate(self._plan)]}
        lines = [f"{number}. {call.text()}" for number, call in enumerate(self._plan)]
        return "\n".join([*lines, repr(self)])

    # ---- saving ----

    def save_as(self, path: str | Path, format: str = "pack", *, mode: str = "now", **options: Any) -> Path:
        """Write the items, clips and records, to disk.

        Args:
            path: To be made. Beside it a folder of finished items grows, so that a second call goes on where one stopped.
            format: `'pack'`, `'tars'`, `'parquet'` or `'jsonl'`.
            mode: `'now'`: all items. `'training'`: each when it is first used, here or in workers, until `flush()`.
            options: Of the writer.

        Returns:
            What to open; with `mode='training'`, what there will be.

        Raises:
            ConfigError: Another format or mode, `path` is there, or the items hold no keypoints.
        """
        self.full_init()
        saving = Saving(self, path, format, mode, options)
        if mode == "training":
            self._saving = saving
            return saving.path
        return save_now(saving)

    def flush(self) -> Path:
        """Close what `save_as(mode='training')` began: the items used so far are written; go on with it as any other.

        Raises:
            ConfigError: Nothing was begun, or no item was used.
        """
        if self._saving is None:
            raise ConfigError(f"{kind(self)}: flush() without save_as(path, mode='training')")
        saving, self._saving = self._saving, None
        return saving.finish()

    # ---- being a dataset ----

    def full_init(self) -> None:
        """Initialise what is recorded.

        Raises:
            ConfigError: No dataset was added.
        """
        if not self._parts:
            raise ConfigError(f"{kind(self)}: no dataset yet; call add_dataset")
        if self._fully_initialized:
            return
        if self._whole is None and len(self._parts) > 1 and not self._told:
            self._told = True
            first, *others = self._parts
            text = f"{kind(self)}: {', '.join(others)} are recorded but not mixed, items are those of {first}; call mix()"
            print_log(text, logger="current", level=logging.WARNING)
        for member in self.members:
            member.full_init() if hasattr(member, "full_init") else None
        self.members = (self._encoded(self.members[0]),)
        super().full_init()

    def sample(self, idx: int, *, key: np.uint64 | None = None) -> Any:
        item = super().sample(idx, key=key)
        if self._saving is not None:
            self._saving.keep(self.place(idx), item)
        return item

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        return super().__getitems__(indices) if self._saving is None else [self.sample(i) for i in indices]

    def draws_of(self) -> tuple[int | None, int]:
        """Seed and epoch that items are drawn with now."""
        return self._draws.seed, self._draws.epoch

    @property
    def names(self) -> tuple[str, ...]:
        """Of the datasets."""
        return tuple(self._parts)

    def _encoded(self, dataset: Any) -> Any:
        if not self._encodes:
            return dataset
        tree = dataset if isinstance(dataset, Combinator) else OneMember(dataset)
        tree.full_init()
        for encoder in self._encoders:
            if isinstance(encoder, Encoder):
                encoder.bind(tree.metainfo, tree.output_skeleton)
        return MapDataset(tree, list(self._encoders))

    def _chosen(self, dataset: str | None, action: str) -> list[tuple[str | None, Any]]:
        """Names and present forms of what a call is for; None is the mix."""
        if not self._parts:
            raise ConfigError(f"{kind(self)}: {action}() before add_dataset")
        if self._whole is not None:
            if dataset is not None:
                raise ConfigError(
                    f"{kind(self)}: {action}(dataset={dataset!r}) after mix(), where it is for all; call it before"
                )
            return [(None, self._whole)]
        if dataset is None:
            return list(self._parts.items())
        if dataset not in self._parts:
            raise ConfigError(f"{kind(self)}: {action}: no dataset {dataset!r}; there are {', '.join(self._parts)}")
        return [(dataset, self._parts[dataset])]

    def _put(self, name: str | None, part: Any) -> None:
        if name is None:
            self._whole = part
        else:
            self._parts[name] = part

    def _record(self, action: str, arguments: dict, note: str = "") -> LazyDataset:
        self._plan.append(Recorded(action, arguments, note))
        root = self._whole if self._whole is not None else next(iter(self._parts.values()))
        self.members, self._fully_initialized, self._reader = (root,), False, Reader(self)
        if self._draws.seed is None:
            self._draws = EpochState(first_seed([root]))
        self._share_seed()
        return self

    def _describe(self) -> str:
        return ", ".join(self._parts)


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
