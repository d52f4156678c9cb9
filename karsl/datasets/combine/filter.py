"""The clips of a dataset that a condition keeps, found out at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from karsl.datasets.combine.combinator import Combinator
from karsl.datasets.combine.one import OneMember, as_combinator
from karsl.datasets.combine.slice import keep as shared
from karsl.datasets.combine.slice import pick
from karsl.datasets.combine.view import ClipView
from karsl.datasets.filters import FILTERS
from karsl.errors import ConfigError, TransformError, did_you_mean, type_name
from karsl.progress import track
from karsl.registry import DATASETS, FUNCTIONS

Keep = Callable[[Mapping], Any]
_GLANCE = 16  # items between two looks at the clock: some are read whole
_CHUNK = 256  # items a worker looks at before it answers


@DATASETS.register_module()
class FilterDataset(OneMember):
    """The clips for which a condition holds, in the order of the dataset.

    The condition is asked once, when this is initialised, of items as they come out of the dataset: after its pipeline
    and every MapDataset below. It gets a mapping that reads the clip only when asked for what is not in the record, so a
    condition on signer, split or label costs no reading. Draws are those of epoch 0. The places kept are shared by all
    processes.

    Args:
        dataset: Dataset or config.
        keep: A function of one item; the name, or config, of a function registered in FUNCTIONS,
            `dict(type='long_enough', frames=10)`, whose arguments follow the item; or keys of `filter_cfg`, as
            `dict(split='train', min_frames=10)`.
        num_workers: Processes that look at items; 0 does it here.
        lazy_init, seed: See Combinator.

    Raises:
        ConfigError: No such function, nothing is left, or places below are other clips in each epoch.
        TransformError: The condition failed; names the clip.
    """

    def __init__(
        self,
        dataset: Any,
        keep: Keep | str | Mapping,
        *,
        num_workers: int = 0,
        lazy_init: bool = False,
        seed: int | None = None,
    ) -> None:
        self._given, self._keep, self._num_workers = keep, find_condition(keep), num_workers
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    def _prepare(self) -> None:
        self._need_fixed_places()
        verdicts = _Verdicts(as_combinator(self.dataset), self._keep, type_name(self))
        places = np.flatnonzero(np.fromiter(verdicts.all(self._num_workers), dtype=bool, count=len(verdicts)))
        if not len(places):
            raise ConfigError(f"{type_name(self)}: {condition_name(self._given)} keeps none of {len(verdicts)} clips")
        self._chosen = shared(places)

    @property
    def places(self) -> np.ndarray:
        """int64, the places that are kept."""
        return pick(self._chosen, np.arange(len(self._chosen)))

    def inner(self, places: np.ndarray) -> np.ndarray:
        return pick(self._chosen, places)

    def _count(self, lengths: np.ndarray) -> int:
        return len(self._chosen)

    def _describe(self) -> str:
        return condition_name(self._given)

    def __getstate__(self) -> dict:
        """Once it has been asked, the condition, which may be no more than a line of code, need not travel."""
        state = super().__getstate__()
        return state | {"_keep": None, "_given": condition_name(self._given)} if self._fully_initialized else state


class _Verdicts(Dataset):
    """Yes or no for each item."""

    def __init__(self, dataset: Combinator, keep: Keep, owner: str) -> None:
        self._dataset, self._keep, self._owner = dataset, keep, owner

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, place: int) -> bool:
        try:
            return bool(self._keep(ClipView(self._dataset, place)))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            text = f"{self._owner}: {condition_name(self._keep)} failed on item {place}: {reason}"
            raise TransformError(text) from error

    def all(self, num_workers: int) -> Iterator[bool]:
        if not num_workers:
            return track(_Sized(self), "filtering", interval=_GLANCE)
        loader = DataLoader(self, _CHUNK, num_workers=num_workers, collate_fn=list)
        return track(_Sized(self, (one for chunk in loader for one in chunk)), "filtering", interval=_GLANCE)


class _Sized:
    """An iterable with the length that a bar needs."""

    def __init__(self, verdicts: _Verdicts, given: Iterator[bool] | None = None) -> None:
        self._verdicts, self._given = verdicts, given

    def __len__(self) -> int:
        return len(self._verdicts)

    def __iter__(self) -> Iterator[bool]:
        return self._given or (self._verdicts[i] for i in range(len(self)))


def find_condition(keep: Keep | str | Mapping) -> Keep:
    """What a filter's `keep` means.

    Raises:
        ConfigError: No function or key of that name.

    Example:
        >>> find_condition({"split": "train"})({"split": "test"})
        False
    """
    if callable(keep):
        return keep
    if isinstance(keep, Mapping) and "type" not in keep:
        unknown = [key for key in keep if key not in FILTERS]
        if unknown or not keep:
            raise ConfigError(f"FilterDataset: keep={dict(keep)!r}; expected 'type' or keys of {', '.join(FILTERS)}")
        return _All([FILTERS[key](value) for key, value in keep.items()])
    if not isinstance(keep, (str, Mapping)):
        raise ConfigError(f"FilterDataset: keep={keep!r}; expected a function, its registered name, or a dict")
    name, arguments = (keep, {}) if isinstance(keep, str) else (keep["type"], {k: v for k, v in keep.items() if k != "type"})
    found: Any = name if callable(name) else FUNCTIONS.get(str(name))
    if found is None:
        hint = did_you_mean(str(name), FUNCTIONS.module_dict, "register it with karsl.registry.FUNCTIONS")
        raise ConfigError(f"FilterDataset: no function {name!r}{hint}")
    if inspect.isclass(found):
        return found(**arguments)  # type: ignore[return-value]
    return partial(found, **arguments) if arguments else found


class _All:
    """Several conditions of which all must hold; pickles."""

    def __init__(self, conditions: list[Callable[[dict], bool]]) -> None:
        self.conditions = conditions

    def __call__(self, item: Mapping) -> bool:
        return all(condition(item) for condition in self.conditions)  # type: ignore[arg-type]  # a view, read as a dict


def condition_name(keep: Any) -> str:
    """How a condition is called in messages and trees."""
    if isinstance(keep, (str, Mapping)):
        return keep if isinstance(keep, str) else repr(dict(keep))
    return getattr(keep, "__name__", None) or (
        condition_name(keep.func) if isinstance(keep, partial) else type(keep).__name__
    )
