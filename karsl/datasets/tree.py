"""Trees of datasets: wrappers of karsl, MMEngine and torch, and the datasets below them that read clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from inspect import signature
from itertools import chain
from typing import Any, Protocol, TypeGuard

import mmengine.dataset as mm
import numpy as np
import torch.utils.data as torch_data

from karsl.datasets.state import EpochState
from karsl.errors import pluralize, type_name
from karsl.io.readahead import FileRanges


class Node(Protocol):
    """A dataset wrapper as the functions of this module see it.

    Attributes:
        children: Wrapped datasets.
        single: True if there is always exactly one child.
        transparent: True if samples are those of the children, followed by `steps`. False stops the search for the
            datasets that read clips, as for a cache.
        steps: Transforms applied to each sample of a child.
    """

    children: tuple[Any, ...]
    single: bool
    transparent: bool
    steps: tuple[Callable, ...]

    def __len__(self) -> int: ...

    def child_name(self, number: int) -> str:
        """Return the name of a child in messages, e.g. `datasets[1]`."""

    def locate(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return child numbers and indices in these children, int64 (N,) each."""

    def child_indices(self, indices: np.ndarray) -> np.ndarray:
        """Return indices in the child of a single-child wrapper, int64 (N,)."""


@dataclass(frozen=True)
class ResolvedClips:
    """Clips of one dataset that reads, found through the wrappers above it.

    Attributes:
        dataset: A KeypointDataset, or any other dataset that is no wrapper.
        indices: int64 (M,), indices in `dataset`.
        rows: int64 (M,), positions in the array of indices that was resolved.
        steps: Transforms of the wrappers above, innermost first.
        ancestors: Wrappers above, outermost first, each with the number of the child that was followed.
    """

    dataset: Any
    indices: np.ndarray
    rows: np.ndarray
    steps: tuple[Callable, ...]
    ancestors: tuple[tuple[Any, int], ...]

    @property
    def path(self) -> str:
        """Path to the dataset in messages, e.g. `ConcatDataset: datasets[1] (KArSLDataset)`."""
        datasets = [*(above for above, _ in self.ancestors), self.dataset]
        text = type_name(datasets[0])
        for (above, number), below in zip(self.ancestors, datasets[1:], strict=True):
            text += f": {_child_label(above, number, below)}"
        return text


def is_wrapper(dataset: Any) -> TypeGuard[Node]:
    """Return True if indices of a dataset are mapped to indices of its children."""
    return getattr(dataset, "transparent", False)


# ---- from indices of the tree to clips ----


def resolve_leaves(dataset: Any, indices: np.ndarray, *, open_root: bool = False) -> list[ResolvedClips]:
    """Find clips in the datasets that read them; wrappers of MMEngine and torch are followed too.

    Args:
        dataset: Root of the tree.
        indices: int64 (N,), each in [0, len(dataset)).
        open_root: Follow the root even if it is not transparent.
    """
    return list(_resolve(dataset, indices, np.arange(len(indices)), (), (), open_root))


def _resolve(
    dataset: Any,
    indices: np.ndarray,
    rows: np.ndarray,
    steps: tuple[Callable, ...],
    ancestors: tuple[tuple[Any, int], ...],
    open_root: bool = False,
) -> Iterator[ResolvedClips]:
    if open_root or is_wrapper(dataset):
        children = dataset.children
        numbers, inner = (indices, dataset.child_indices(indices)) if dataset.single else dataset.locate(indices)
        steps = (*dataset.steps, *steps)
    elif (children := wrapped(dataset)) is not None:
        numbers, inner = _locate_wrapped(dataset, indices)
    else:
        yield ResolvedClips(dataset, indices, rows, steps, ancestors)
        return
    if len(children) == 1:
        yield from _resolve(children[0], inner, rows, steps, (*ancestors, (dataset, 0)))
        return
    for number, child in enumerate(children):
        selected = np.flatnonzero(numbers == number)
        if len(selected):
            yield from _resolve(child, inner[selected], rows[selected], steps, (*ancestors, (dataset, number)))


def resolve_one(dataset: Any, index: int, fallback: Callable[[Any], Any]) -> tuple[Any, int]:
    """Find a clip below a dataset that can be resolved for one index at a time only.

    These are subclasses of MMEngine's and torch's wrappers, caches, and third-party wrappers with their interface.

    Args:
        dataset: As `resolve_leaves` returned it.
        index: Index in `dataset`.
        fallback: Replaces a dataset that is no wrapper and has no `stages`.

    Returns:
        A dataset with `stages` and the index in it.
    """
    while not hasattr(dataset, "stages"):
        if hasattr(dataset, "_get_ori_dataset_idx"):
            origin = dataset._get_ori_dataset_idx(index)
            number, index = origin if isinstance(origin, tuple) else (None, origin)
            dataset = dataset.dataset if number is None else dataset.datasets[number]
        elif hasattr(dataset, "indices") and hasattr(dataset, "dataset"):
            dataset, index = dataset.dataset, int(dataset.indices[index])
        else:
            return fallback(dataset), int(index)
    return dataset, int(index)


def file_ranges(dataset: Any, indices: np.ndarray) -> list[FileRanges]:
    """Return the byte ranges of clips in mapped files; nothing for datasets that have none.

    Args:
        dataset: Root of the tree.
        indices: int64 (N,), each in [0, len(dataset)).

    Raises:
        OSError: If a file is missing.
        ValueError: If a file does not match the index.
    """
    resolved = resolve_leaves(dataset, indices)
    return [
        r for clips in resolved if hasattr(clips.dataset, "file_ranges") for r in clips.dataset.file_ranges(clips.indices)
    ]


def offsets_to_child(lengths: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the child number of each index of a concatenation, and the index in that child.

    Example:
        >>> offsets_to_child(np.array([2, 0, 3]), np.array([0, 1, 2, 4]))
        (array([0, 0, 2, 2]), array([0, 1, 0, 2]))
    """
    ends = np.cumsum(lengths)
    numbers = np.searchsorted(ends, indices, side="right")
    return numbers, indices - (ends - lengths)[numbers]


def wrapped(dataset: Any) -> list[Any] | None:
    """Return the children of a wrapper of MMEngine or torch, None for any other dataset.

    A subclass may map indices in its own way, so only the exact classes count.
    """
    if type(dataset) in (mm.ConcatDataset, torch_data.ConcatDataset):
        return list(dataset.datasets)
    if type(dataset) in (mm.RepeatDataset, mm.ClassBalancedDataset, torch_data.Subset):
        return [dataset.dataset]
    return None


def _locate_wrapped(dataset: Any, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if hasattr(dataset, "cumulative_sizes"):
        return offsets_to_child(np.diff(dataset.cumulative_sizes, prepend=0), indices)
    if type(dataset) is mm.RepeatDataset:
        return indices, indices % len(dataset.dataset)
    table = dataset.repeat_indices if type(dataset) is mm.ClassBalancedDataset else dataset.indices
    if isinstance(table, (list, tuple)):  # a list of a million is not converted for each batch
        return indices, np.array([table[index] for index in indices.tolist()], np.int64)
    return indices, np.asarray(table)[indices]


# ---- walks over the tree ----


def leaf_datasets(dataset: Any, *, open_root: bool = False) -> Iterator[tuple[str, Any, tuple[Callable, ...]]]:
    """Yield path, dataset and transforms above it of every dataset that reads.

    Args:
        dataset: Root of the tree.
        open_root: Follow the root even if it is not transparent.
    """
    yield from _leaves(dataset, type_name(dataset), open_root)


def _leaves(dataset: Any, path: str, open_root: bool = False) -> Iterator[tuple[str, Any, tuple[Callable, ...]]]:
    own = open_root or is_wrapper(dataset)
    children = dataset.children if own else wrapped(dataset)
    if children is None:
        yield path, dataset, ()
        return
    for number, child in enumerate(children):
        for name, leaf, steps in _leaves(child, f"{path}: {_child_label(dataset, number, child)}"):
            yield name, leaf, (*steps, *dataset.steps) if own else steps


def _child_label(dataset: Any, number: int, child: Any) -> str:
    return f"{dataset.child_name(number)} ({type_name(child)})" if hasattr(dataset, "child_name") else type_name(child)


def child_datasets(dataset: Any) -> list[Any]:
    """Return the datasets that a dataset wraps.

    These are its `children` (wrappers of karsl), its `dataset` (RepeatDataset, ClassBalancedDataset, torch's Subset and
    third-party wrappers of this form) or its `datasets` (ConcatDataset).

    Example:
        >>> from torch.utils.data import ConcatDataset, Subset
        >>> child_datasets(ConcatDataset(["ab", "cd"])), child_datasets(Subset("ab", [0])), child_datasets("ab")
        (['ab', 'cd'], ['ab'], [])
    """
    if isinstance(getattr(dataset, "children", None), tuple):
        return list(dataset.children)
    return [dataset.dataset] if hasattr(dataset, "dataset") else list(getattr(dataset, "datasets", ()))


def walk_datasets(dataset: Any) -> Iterator[Any]:
    """Yield the dataset and everything that it wraps, outermost first."""
    yield dataset
    for child in child_datasets(dataset):
        yield from walk_datasets(child)


def descendants(datasets: Iterable[Any]) -> Iterator[Any]:
    """Yield datasets and everything that they wrap."""
    return chain.from_iterable(map(walk_datasets, datasets))


def first_seed(datasets: Iterable[Any]) -> int | None:
    """Return the seed of the first dataset in some trees that has one."""
    states = (getattr(dataset, "_epoch_state", None) for dataset in descendants(datasets))
    return next((s.seed for s in states if isinstance(s, EpochState) and s.seed is not None), None)


def first_changing(datasets: Iterable[Any]) -> str | None:
    """Return the type of the first dataset in some trees whose indices are other clips in each epoch, or None."""
    return next((type_name(d) for d in descendants(datasets) if getattr(d, "changes_each_epoch", False)), None)


def set_epoch(dataset: Any, epoch: int, seed: int | None) -> None:
    """Call `set_epoch` of a dataset that has one; it may accept the epoch alone, as PyTorch's samplers do."""
    if hasattr(dataset, "set_epoch"):
        parameters = signature(dataset.set_epoch).parameters
        accepts_seed = "seed" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        dataset.set_epoch(epoch, **({"seed": seed} if accepts_seed else {}))


def set_epoch_recursive(datasets: Iterable[Any], epoch: int, seed: int | None) -> None:
    """Set the epoch of datasets and of everything that they wrap; a wrapper of karsl sets that of its children itself."""
    for dataset in datasets:
        set_epoch(dataset, epoch, seed)
        if not hasattr(dataset, "changes_each_epoch"):
            set_epoch_recursive(child_datasets(dataset), epoch, seed)


def format_tree(dataset: Any) -> str:
    """Return a tree of datasets as text, one line per dataset."""
    return "\n".join(_format_lines(dataset))


def _format_lines(dataset: Any) -> Iterator[str]:
    describe = getattr(dataset, "_describe", None)
    arguments = describe() if callable(describe) else source_name(dataset)
    ready = getattr(dataset, "_fully_initialized", True)
    yield f"{type_name(dataset)}({arguments}): {pluralize(len(dataset), 'clip', ',') if ready else 'not initialized'}"
    children = child_datasets(dataset)
    for number, child in enumerate(children):
        is_last = number == len(children) - 1
        first, *rest = _format_lines(child)
        yield ("└─ " if is_last else "├─ ") + first
        yield from (("   " if is_last else "│  ") + line for line in rest)


def source_name(dataset: Any) -> str:
    """Return the annotation file or data root of a dataset as an argument, or an empty text."""
    for name in ("ann_file", "data_root"):
        if getattr(dataset, name, None):
            return f"{name}={getattr(dataset, name)!r}"
    return ""
