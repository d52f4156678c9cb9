"""Some places of a dataset."""

from __future__ import annotations

from typing import Any

import numpy as np

from karsl.datasets.combine.one import OneMember
from karsl.datasets.index.indices import Indices, SharedIndices, as_range, resolve_indices
from karsl.registry import DATASETS


@DATASETS.register_module()
class SliceDataset(OneMember):
    """Some places of a dataset, in any order, as often as they are named; the list is shared by all processes.

    Args:
        dataset: Dataset or config.
        indices: First n, last -n, a slice, places, or a mask; see `resolve_indices`. A config may say `[start, stop]` as
            `dict(start=0, stop=10, step=2)`.
        of_each_epoch: Over a dataset whose places are other clips in each epoch: take these places all the same, so other
            clips each time.
        lazy_init, seed: See Combinator.

    Raises:
        ConfigError: Places below are other clips in each epoch, so that two parts of them would exchange clips.
    """

    def __init__(
        self,
        dataset: Any,
        indices: Indices | dict,
        *,
        of_each_epoch: bool = False,
        lazy_init: bool = False,
        seed: int | None = None,
    ) -> None:
        self._given = slice(*(indices.get(k) for k in ("start", "stop", "step"))) if isinstance(indices, dict) else indices
        self._of_each_epoch = of_each_epoch
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    def _prepare(self) -> None:
        if not (self._of_each_epoch or self.meant_empty):
            self._need_fixed_places(", or give of_each_epoch=True to take these places of whatever an epoch draws")
        self._chosen = keep(resolve_indices(self._given, int(self._lengths[0])))

    @property
    def meant_empty(self) -> bool:
        """Whether no place was asked for."""
        return isinstance(self._given, int) and self._given == 0

    def inner(self, places: np.ndarray) -> np.ndarray:
        return pick(self._chosen, places)

    def _count(self, lengths: np.ndarray) -> int:
        return len(self._chosen)

    def _describe(self) -> str:
        if isinstance(self._given, (int, slice, range)):
            return repr(self._given)
        return f"{len(self._given) if self._given is not None else len(self._chosen)} indices"

    def __getstate__(self) -> dict:
        """Once the places are in shared pages, the list that was given need not travel."""
        state = super().__getstate__()
        listed = self._fully_initialized and not isinstance(self._given, (int, slice, range))
        return state | {"_given": None} if listed else state


def keep(places: range | np.ndarray) -> range | SharedIndices:
    """Places as a range, or in pages that all processes share."""
    chosen = as_range(places)
    return chosen if isinstance(chosen, range) else SharedIndices(np.asarray(chosen, dtype=np.int64))


def pick(chosen: range | SharedIndices, places: np.ndarray) -> np.ndarray:
    """The entries of `keep(...)` at some places."""
    if isinstance(chosen, range):
        return chosen.start + chosen.step * places
    return chosen.array[places]
