"""A dataset several times over."""

from __future__ import annotations

from typing import Any

import numpy as np

from karsl.checks import check_int
from karsl.datasets.combine.one import OneMember
from karsl.errors import type_name
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
        check_int(type_name(self), low=1, times=times)
        self.times = int(times)
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    def inner(self, places: np.ndarray) -> np.ndarray:
        return places % self._lengths[0]

    def _count(self, lengths: np.ndarray) -> int:
        return self.times * int(lengths[0])

    def _describe(self) -> str:
        return f"times={self.times}"
