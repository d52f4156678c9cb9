"""From places in a tree of datasets to places in those that read clips, for many places at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import mmengine.dataset as mm
import numpy as np
import torch.utils.data as torch_data

from karsl.errors import type_name

if TYPE_CHECKING:
    from karsl.datasets.combine.combinator import Combinator


@dataclass(frozen=True)
class LeafClips:
    """Some clips of one dataset that reads, and what combinators above it do to them.

    Attributes:
        dataset: Reads them: a KeypointDataset, or any other with `dataset[i]`.
        places: int64 (M,), in it.
        at: int64 (M,), which of the places that were asked for.
        steps: Callables of combinators above, the innermost first.
        trail: Combinators and wrappers above, each with the number of the member that was taken.
    """

    dataset: Any
    places: np.ndarray
    at: np.ndarray
    steps: tuple[Callable, ...]
    trail: tuple[tuple[Any, int], ...]

    @property
    def path(self) -> str:
        """How messages call the dataset."""
        datasets = [*(above for above, _ in self.trail), self.dataset]
        text = type_name(datasets[0])
        for (above, number), below in zip(self.trail, datasets[1:], strict=True):
            text += (
                f": {above.member_name(number)} ({type_name(below)})" if is_combinator(above) else f": {type_name(below)}"
            )
        return text


def is_combinator(dataset: Any) -> TypeGuard[Combinator]:
    """Whether places in a dataset are places of its members; a CacheDataset, say, answers for itself."""
    return getattr(dataset, "looks_through", False)


def leaf_clips(dataset: Any, places: np.ndarray) -> list[LeafClips]:
    """Find places in [0, n) of a dataset in the datasets that read; MMEngine's and torch's wrappers are looked through."""
    return list(_leaf_clips(dataset, places, np.arange(len(places)), (), ()))


def _leaf_clips(
    dataset: Any, places: np.ndarray, at: np.ndarray, steps: tuple[Callable, ...], trail: tuple[tuple[Any, int], ...]
) -> Iterator[LeafClips]:
    if is_combinator(dataset):
        members: Sequence[Any] = dataset.members
        which, inner = (places, dataset.inner(places)) if dataset.single else dataset.locate(places)
        steps = (*dataset.steps, *steps)
    elif (wrapped := _through_wrapper(dataset, places)) is not None:
        which, inner, members = wrapped
    else:
        yield LeafClips(dataset, places, at, steps, trail)
        return
    if len(members) == 1:
        yield from _leaf_clips(members[0], inner, at, steps, (*trail, (dataset, 0)))
        return
    for number, member in enumerate(members):
        mine = np.flatnonzero(which == number)
        if len(mine):
            yield from _leaf_clips(member, inner[mine], at[mine], steps, (*trail, (dataset, number)))


def _through_wrapper(dataset: Any, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[Any]] | None:
    """Members and places in them for wrappers of others; a subclass may do as it likes, so it is not looked through."""
    one = np.zeros(len(places), np.int64)
    if type(dataset) in (mm.ConcatDataset, torch_data.ConcatDataset):
        members, inner = in_row(np.diff(dataset.cumulative_sizes, prepend=0), places)
        return members, inner, list(dataset.datasets)
    if type(dataset) is mm.RepeatDataset:
        return one, places % len(dataset.dataset), [dataset.dataset]
    if type(dataset) is mm.ClassBalancedDataset:
        return one, _picked(dataset.repeat_indices, places), [dataset.dataset]
    if type(dataset) is torch_data.Subset:
        return one, _picked(dataset.indices, places), [dataset.dataset]
    return None


def _picked(indices: Any, places: np.ndarray) -> np.ndarray:
    """Some of a wrapper's indices; a list of a million is not made an array for each batch."""
    if isinstance(indices, (list, tuple)):
        return np.array([indices[place] for place in places.tolist()], np.int64)
    return np.asarray(indices)[places]


def in_row(lengths: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of several runs, one after the other, holds each place, and where in it.

    Example:
        >>> in_row(np.array([2, 0, 3]), np.array([0, 1, 2, 4]))
        (array([0, 0, 2, 2]), array([0, 1, 0, 2]))
    """
    ends = np.cumsum(lengths)
    members = np.searchsorted(ends, places, side="right")
    return members, places - (ends - lengths)[members]


def leaves_of(dataset: Any, path: str = "") -> Iterator[tuple[str, Any, tuple[Callable, ...]]]:
    """Path, dataset and steps above it of every dataset that reads."""
    path = path or type_name(dataset)
    if is_combinator(dataset):
        for number, member in enumerate(dataset.members):
            for name, leaf, steps in leaves_of(member, f"{path}: {dataset.member_name(number)} ({type_name(member)})"):
                yield name, leaf, (*steps, *dataset.steps)
    elif (members := wrapped_members(dataset)) is not None:
        for member in members:
            yield from leaves_of(member, f"{path}: {type_name(member)}")
    else:
        yield path, dataset, ()


def wrapped_members(dataset: Any) -> list[Any] | None:
    """What a wrapper of MMEngine's or torch's holds; None for anything else."""
    if type(dataset) in (mm.ConcatDataset, torch_data.ConcatDataset):
        return list(dataset.datasets)
    if type(dataset) in (mm.RepeatDataset, mm.ClassBalancedDataset, torch_data.Subset):
        return [dataset.dataset]
    return None
