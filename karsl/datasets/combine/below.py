"""Questions and orders to whatever lies below a combinator, wrappers of others included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from karsl.datasets.state import EpochState
from karsl.datasets.walk import datasets_within, tell_epoch, walk_datasets
from karsl.errors import type_name


def all_below(members: Iterable[Any]) -> Iterator[Any]:
    """Some datasets and everything that they wrap."""
    return chain.from_iterable(map(walk_datasets, members))


def first_seed(members: Iterable[Any]) -> int | None:
    """The seed of the first dataset that has one."""
    draws = (getattr(part, "_epoch_state", None) for part in all_below(members))
    return next((d.seed for d in draws if isinstance(d, EpochState) and d.seed is not None), None)


def redrawn(members: Iterable[Any]) -> str | None:
    """The kind of the first dataset whose places are other clips in other epochs, or None."""
    return next((type_name(part) for part in all_below(members) if getattr(part, "redraws", False)), None)


def set_epoch_below(members: Iterable[Any], epoch: int, seed: int | None) -> None:
    """Pass an epoch on to whatever takes one; a combinator passes it on itself."""
    for dataset in members:
        tell_epoch(dataset, epoch, seed)
        if not hasattr(dataset, "redraws"):
            set_epoch_below(datasets_within(dataset), epoch, seed)
