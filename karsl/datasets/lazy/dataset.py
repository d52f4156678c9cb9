"""`LazyDataset`: datasets, steps and mixes that are recorded and done item by item."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from karsl.datasets.combine import MapDataset
from karsl.datasets.combine.one import as_combinator
from karsl.datasets.combine.reading import Reader
from karsl.datasets.encoders.base import Encoder
from karsl.datasets.lazy.check import check_items
from karsl.datasets.lazy.plan import ACTIONS, Recorded, revived
from karsl.datasets.lazy.recorder import Recorder
from karsl.datasets.lazy.save import Saving, save_now
from karsl.datasets.state import EpochState, SkipCounter
from karsl.errors import ConfigError, type_name
from karsl.registry import DATASETS


@DATASETS.register_module()
class LazyDataset(Recorder):
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
        self._epoch_state, self.skips, self._reader = EpochState(seed), SkipCounter(), Reader(self)
        if dataset is not None:
            self.add_dataset(dataset, name=name)
        for number, step in enumerate(steps):
            self._do(number, dict(step))
        if self._parts and not lazy_init:
            self.full_init()

    def _do(self, number: int, step: dict) -> None:
        action = step.pop("do", None)
        if action not in ACTIONS:
            raise ConfigError(f"{type_name(self)}: steps[{number}]: do={action!r}; expected one of {', '.join(ACTIONS)}")
        try:
            getattr(self, action)(**{key: revived(value) for key, value in step.items()})
        except TypeError as error:
            raise ConfigError(f"{type_name(self)}: steps[{number}], {action}: {error}") from error

    # ---- looking ----

    def check(self, items: int = 4) -> int:
        """Make a few items of each dataset, as they would come out, before hours are spent.

        Args:
            items: Of each dataset, spread over it.

        Returns:
            How many were made.

        Raises:
            DataErrors: Everything that failed, and keys or shapes in which items differ.
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
            raise ConfigError(f"{type_name(self)}: flush() without save_as(path, mode='training')")
        saving, self._saving = self._saving, None
        return saving.finish()

    # ---- being a dataset ----

    def full_init(self) -> None:
        """Initialise what is recorded.

        Raises:
            ConfigError: No dataset was added.
        """
        if not self._parts:
            raise ConfigError(f"{type_name(self)}: no dataset yet; call add_dataset")
        if self._fully_initialized:
            return
        if self._whole is None and len(self._parts) > 1 and not self._told:
            self._told = True
            first, *others = self._parts
            text = (
                f"{type_name(self)}: {', '.join(others)} are recorded but not mixed, items are those of {first}; call mix()"
            )
            print_log(text, logger="current", level=logging.WARNING)
        for member in self.members:
            member.full_init() if hasattr(member, "full_init") else None
        self.members = (self._encoded(self.members[0]),)
        super().full_init()

    def __len__(self) -> int:
        self.full_init()
        return super().__len__()

    def get_data_info(self, idx: int) -> dict:
        self.full_init()
        return super().get_data_info(idx)

    def get_cat_ids(self, idx: int) -> list[int]:
        self.full_init()
        return super().get_cat_ids(idx)

    def column(self, name: str) -> np.ndarray:
        self.full_init()
        return super().column(name)

    def _ready(self) -> None:
        self.full_init()  # each call that is recorded asks for it anew: nothing to warn of

    def get_sample(self, idx: int, *, rng_key: np.uint64 | None = None) -> Any:
        item = super().get_sample(idx, rng_key=rng_key)
        if self._saving is not None:
            self._saving.keep(self.place(idx), item)
        return item

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        return super().__getitems__(indices) if self._saving is None else [self.get_sample(i) for i in indices]

    def draws_of(self) -> tuple[int | None, int]:
        """Seed and epoch that items are drawn with now."""
        return self._epoch_state.seed, self._epoch_state.epoch

    @property
    def names(self) -> tuple[str, ...]:
        """Of the datasets."""
        return tuple(self._parts)

    def _encoded(self, dataset: Any) -> Any:
        if not self._encodes:
            return dataset
        tree = as_combinator(dataset)
        tree.full_init()
        for encoder in self._encoders:
            if isinstance(encoder, Encoder):
                encoder.bind(tree.metainfo, tree.output_skeleton)
        return MapDataset(tree, list(self._encoders))

    def _describe(self) -> str:
        return ", ".join(self._parts)
