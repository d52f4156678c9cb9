"""Which datasets lie within a dataset: ours, MMEngine's, torch's, and wrappers of one's own of the same form."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from typing import Any


def datasets_within(dataset: Any) -> list[Any]:
    """What a dataset wraps: its `members` (combinators of ours), its `dataset` (RepeatDataset, ClassBalancedDataset, torch's
    Subset and wrappers of one's own of this form), or its `datasets` (ConcatDataset).

    Example:
        >>> from torch.utils.data import ConcatDataset, Subset
        >>> datasets_within(ConcatDataset(["ab", "cd"])), datasets_within(Subset("ab", [0])), datasets_within("ab")
        (['ab', 'cd'], ['ab'], [])
    """
    if hasattr(dataset, "members"):
        return list(dataset.members)
    return [dataset.dataset] if hasattr(dataset, "dataset") else list(getattr(dataset, "datasets", ()))


def walk_datasets(dataset: Any) -> Iterator[Any]:
    """The dataset and everything that it wraps, from outside in."""
    yield dataset
    for part in datasets_within(dataset):
        yield from walk_datasets(part)


def tell_epoch(dataset: Any, epoch: int, seed: int | None) -> None:
    """Call `set_epoch` of a dataset that has one; someone else's may take the epoch alone, as PyTorch's samplers do."""
    if hasattr(dataset, "set_epoch"):
        takes_seed = {"seed", "kwargs"} & signature(dataset.set_epoch).parameters.keys()
        dataset.set_epoch(epoch, **({"seed": seed} if takes_seed else {}))
