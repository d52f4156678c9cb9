"""A dataset several times over."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from karsl.datasets.combine.naming import kind
from karsl.datasets.combine.one import OneMember
from karsl.errors import ConfigError
from karsl.registry import DATASETS


@DATASETS.register_module()
class RepeatDataset(OneMember):
    """A dataset several times over; each time a clip's draws are others. Arguments are those of MMEngine's.

    Args:
        dataset: Dataset or config.
        times: How often, at least once.
        lazy_init, seed: See Combinator.
    """

    def __init__(self, dataset: Any, times: int, lazy_init: bool = False, *, seed: int | None = None) -> None:
        self.times = operator.index(times)
        if self.times < 1:
            raise ConfigError(f"{kind(self)}: times={times!r}; expected a whole number of at least 1")
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    def inner(self, places: np.ndarray) -> np.ndarray:
        return places % self._lengths[0]

    def _count(self, lengths: np.ndarray) -> int:
        return self.times * int(lengths[0])

    def _describe(self) -> str:
        return f"times={self.times}"
