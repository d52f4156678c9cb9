"""Questions and orders to whatever lies below a combinator, wrappers of others included."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from karsl.datasets.combine.leaves import is_combinator, wrapped_members
from karsl.datasets.epoch import EpochState


def first_seed(members: Iterable[Any]) -> int | None:
    """The seed of the first dataset, wrapped or not, that has one."""
    for member in members:
        draws = getattr(member, "_draws", None)
        seed = draws.seed if isinstance(draws, EpochState) else first_seed(wrapped_members(member) or ())
        if seed is not None:
            return seed
    return None


def redrawn(dataset: Any) -> str | None:
    """The kind of a dataset at or below this one whose places are other clips in other epochs, or None."""
    if hasattr(dataset, "redrawn"):
        return dataset.redrawn()
    return next((found for member in wrapped_members(dataset) or () if (found := redrawn(member))), None)


def set_epoch_below(dataset: Any, epoch: int, seed: int | None) -> None:
    """Pass an epoch on to whatever takes one."""
    if hasattr(dataset, "set_epoch"):
        dataset.set_epoch(epoch, seed=seed)
    elif not is_combinator(dataset):
        for member in wrapped_members(dataset) or ():
            set_epoch_below(member, epoch, seed)
