"""What makes each item of a dataset, as one short text that is the same in another process."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import torch

from karsl.datasets.combine.cache import CacheDataset
from karsl.datasets.combine.combinator import Combinator
from karsl.datasets.combine.leaves import leaf_clips
from karsl.datasets.index.code_facts import code_facts, counts_by_name
from karsl.datasets.index.fingerprint import fingerprint
from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.datasets.state import EpochState
from karsl.errors import type_name
from karsl.storage.stamp import stamp_of


class CannotTell(Exception):
    """A part whose content cannot be read off: in another process it may be another one."""


def items_identity(dataset: Combinator) -> str:
    """Equal for two datasets, here or in two processes, only if they make the same items.

    Told is, for every place, the clip it comes from and the steps on its way: records, files by size and time, steps by
    class, arguments and, where they are the user's own, code.

    Args:
        dataset: Initialised.

    Raises:
        CannotTell: A part is of unknown content, a step that is closed over an open file, say.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> from karsl.datasets.combine import SliceDataset
        >>> a, b, c = (SliceDataset(TensorDataset(torch.arange(3)), places) for places in ([0, 2], [0, 2], [2, 0]))
        >>> items_identity(a) == items_identity(b), items_identity(a) == items_identity(c)
        (True, False)
    """
    try:
        return _told(fingerprint(_facts(dataset)), dataset)
    except CannotTell:
        raise
    except Exception as error:  # whatever code of others does that is asked what it is made of
        raise CannotTell(f"{type(error).__name__}: {error}") from error


def _told(found: str | None, value: Any) -> str:
    if found is None:
        raise CannotTell(f"what {getattr(value, '__qualname__', type_name(value))} does cannot be told")
    return found


def _facts(value: Any) -> Any:
    """A value as plain data that a fingerprint can be taken of."""
    for classes, tell in _TELLING:
        if isinstance(value, classes):
            return tell(value)
    own_class = dataclasses.is_dataclass(value) and not counts_by_name(type(value))  # its methods may matter
    plain = None if own_class or callable(value) else fingerprint(value)
    return _of_object(value) if plain is None else plain


def _of_tree(dataset: Combinator) -> list:
    """Of every dataset that reads: itself, its clips, the places they come at, and what is done to them on their way."""
    draws = _facts(dataset._epoch_state)
    if isinstance(dataset, CacheDataset):
        return [type_name(dataset), draws, _facts(dataset.dataset)]
    found = leaf_clips(dataset, np.arange(len(dataset)))
    leaves = {id(leaf): leaf for leaf in (clips.dataset for clips in found)}
    told = {name: _facts(leaf) for name, leaf in leaves.items()}
    return [draws] + [
        [told[id(c.dataset)], _facts(c.places), _facts(c.at), _facts(c.steps), [_of_class(type(a)) for a, _ in c.trail]]
        for c in found
    ]


def _of_reader(dataset: KeypointDataset) -> list:
    dataset.full_init()
    records = [dataset.get_data_info(place) for place in range(len(dataset))]
    files = stamp_of(Path(), (record["keypoint_path"] for record in records if "keypoint_path" in record))
    steps = getattr(dataset.pipeline, "transforms", dataset.pipeline)
    how = [dataset.skeleton, dataset.test_mode, dataset.on_error, dataset.max_refetch, steps, _own_attributes(dataset)]
    return [_of_class(type(dataset)), _told(fingerprint(records), dataset), files, _facts(how)]


def _own_attributes(dataset: KeypointDataset) -> dict:
    """Those that a class of the user's adds, which its samples may depend on."""
    if counts_by_name(type(dataset)):
        return {}
    ours = {*vars(KeypointDataset(lazy_init=True)), "_index", "_columns", "_shards"}
    return {name: value for name, value in vars(dataset).items() if name not in ours}


def _of_object(value: Any) -> list:
    """What a pickle of it would hold, and the code of its class."""
    made = value.__reduce_ex__(2)
    if isinstance(made, str):
        return [type_name(value), made]
    maker, arguments, *rest = made
    state = [part if number == 0 else list(part) for number, part in enumerate(rest) if part is not None]
    return [_of_class(type(value)), _facts(maker), _facts(arguments), _facts(state)]


def _of_class(cls: type) -> list:
    bases = [base for base in cls.__mro__ if not counts_by_name(base)]
    kinds = (FunctionType, property, staticmethod, classmethod)
    written = {name for base in bases for name, member in vars(base).items() if isinstance(member, kinds)}
    written -= vars(object).keys()  # what __init__ does shows in the attributes
    return [cls.__module__, cls.__qualname__, _told(code_facts(cls, sorted(written)), cls) if written else None]


def _of_function(function: FunctionType) -> str:
    return _told(code_facts(type("Step", (), {"step": function}), ["step"]), function)


def _of_text(value: str | Path) -> list:
    """Of a text that names a file, that file's size and time too."""
    return [type(value).__name__, str(value), stamp_of(Path(), [str(value)]) if os.path.isfile(value) else None]


def _of_tensor(value: torch.Tensor) -> list:
    return ["tensor", _facts(value.numpy(force=True))]


_TELLING: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Mapping, lambda value: {str(key): _facts(item) for key, item in value.items()}),
    ((list, tuple), lambda value: [type(value).__name__, *map(_facts, value)]),
    ((set, frozenset), lambda value: [type(value).__name__, *sorted(repr(_facts(item)) for item in value)]),
    ((str, Path), _of_text),
    (Combinator, _of_tree),
    (KeypointDataset, _of_reader),
    (EpochState, lambda value: [value.seed, value.epoch]),
    (torch.Tensor, _of_tensor),
    (type, _of_class),
    (FunctionType, _of_function),
    (BuiltinFunctionType, lambda value: [value.__module__, value.__qualname__]),
)
