"""A combinator of one dataset."""

from __future__ import annotations

from typing import Any

import numpy as np

from karsl.datasets.combine.combinator import Combinator


class OneMember(Combinator):
    """A combinator of a single dataset, under the argument name that MMEngine's wrappers have."""

    _members_key = "dataset"
    single = True

    def __init__(self, dataset: Any, *, lazy_init: bool = False, seed: int | None = None) -> None:
        super().__init__([dataset], lazy_init=lazy_init, seed=seed)

    @property
    def dataset(self) -> Any:
        """The member."""
        return self.members[0]

    def member_name(self, number: int) -> str:
        return "dataset"

    def locate(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(len(places), np.int64), self.inner(places)

    def inner(self, places: np.ndarray) -> np.ndarray:
        """Places in the member; the same ones unless a subclass says otherwise."""
        return places

    def _count(self, lengths: np.ndarray) -> int:
        return int(lengths[0])


def as_combinator(dataset: Any) -> Combinator:
    """The dataset as a combinator, through which its items, records and columns are read."""
    return dataset if isinstance(dataset, Combinator) else OneMember(dataset)
