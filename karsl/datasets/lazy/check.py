"""A few items of each dataset, made on trial."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from karsl.datasets.combine.combinator import Combinator
from karsl.datasets.combine.leaves import leaf_clips
from karsl.errors import ConfigError, DataErrors, type_name

_LOOKED_AT = 1_000_000  # places that are traced to their datasets


def check_items(trees: Sequence[Any], items: int) -> int:
    """Make items of every dataset below some trees.

    Args:
        trees: Datasets as they are read.
        items: Of each dataset that reads, spread over its places.

    Returns:
        How many were made.

    Raises:
        ConfigError: `items` below 1.
        DataErrors: Items that failed, and items that do not fit into one batch with the others.
    """
    if items < 1:
        raise ConfigError(f"check(items={items!r}); expected at least 1")
    problems: list[str] = []
    forms: dict[tuple, str] = {}
    made = 0
    for tree in trees:
        for path, places in places_to_try(tree, items):
            for place in places:
                try:
                    item = tree[place]
                except Exception as error:
                    problems.append(f"item {place}: {_reason(error)}")
                    continue
                made += 1
                forms.setdefault(form_of(item), f"item {place} ({path})")
    first, *others = forms.items() or [((), "")]
    problems += [f"{where} is {_told(form)}, {first[1]} is {_told(first[0])}" for form, where in others]
    if problems:
        raise DataErrors(f"{made + len(problems) - len(others)} items on trial", problems)
    return made


def places_to_try(tree: Any, items: int) -> list[tuple[str, list[int]]]:
    """Path and places of each dataset below a tree, the places spread evenly over those it gives."""
    if not isinstance(tree, Combinator):
        return [(type_name(tree), _spread(np.arange(len(tree)), items))]
    tree.full_init()
    given = defaultdict(list)
    for part in leaf_clips(tree, np.arange(min(len(tree), _LOOKED_AT))):
        given[part.path].append(part.at)
    return [(path, _spread(np.concatenate(at), items)) for path, at in given.items()]


def _spread(places: np.ndarray, items: int) -> list[int]:
    chosen = np.linspace(0, len(places) - 1, min(items, len(places))).round().astype(int)
    return places[chosen].tolist()


def form_of(item: Any) -> tuple[tuple[str, str], ...]:
    """What must be alike for items to be stacked: keys, and, once they are packed, the shape of each tensor.

    Example:
        >>> form_of({"inputs": np.zeros((2, 3)), "label": 1})
        (('inputs', '(2, 3)'), ('label', ''))
    """
    if not isinstance(item, dict):
        return ((type(item).__name__, ""),)
    packed = "inputs" in item  # before that clips may differ in length
    return tuple(sorted((key, _shape(value) if packed and key != "gloss_ids" else "") for key, value in item.items()))


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if hasattr(value, "shape") else ""


def _told(form: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{key} {shape}".strip() for key, shape in form)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
