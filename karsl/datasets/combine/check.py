"""Make a few samples of each dataset as a check."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from karsl.datasets.combine.base import DatasetWrapper
from karsl.datasets.tree import resolve_leaves
from karsl.errors import ConfigError, DataErrors, type_name

_MAX_RESOLVED = 1_000_000  # indices whose datasets are looked up


def check_samples(trees: Sequence[Any], num_samples: int) -> int:
    """Make samples of every dataset in some trees.

    Args:
        trees: Roots of the trees.
        num_samples: Number of samples of each dataset that reads, spread over its indices.

    Returns:
        Number of samples made.

    Raises:
        ConfigError: If `num_samples` is less than 1.
        DataErrors: With all samples that failed, and all whose keys or shapes do not fit into one batch.
    """
    if num_samples < 1:
        raise ConfigError(f"check(num_samples={num_samples!r}); expected at least 1")
    problems: list[str] = []
    structures: dict[tuple, str] = {}
    made = 0
    for tree in trees:
        for path, indices in probe_indices(tree, num_samples):
            for index in indices:
                try:
                    sample = tree[index]
                except Exception as error:
                    problems.append(f"sample {index}: {str(error) or type(error).__name__}")
                    continue
                made += 1
                structures.setdefault(structure_of(sample), f"sample {index} ({path})")
    failed = len(problems)
    if structures:
        (expected, first), *others = structures.items()
        problems += [f"{name} has {_format(found)}, {first} has {_format(expected)}" for found, name in others]
    if problems:
        raise DataErrors(f"{made + failed} checked samples", problems)
    return made


def probe_indices(tree: Any, num_samples: int) -> list[tuple[str, list[int]]]:
    """Return path and evenly spread indices for each dataset that reads in a tree."""
    if not isinstance(tree, DatasetWrapper):
        return [(type_name(tree), _spread(np.arange(len(tree)), num_samples))]
    rows = defaultdict(list)
    for clips in resolve_leaves(tree, np.arange(min(len(tree), _MAX_RESOLVED))):
        rows[clips.path].append(clips.rows)
    return [(path, _spread(np.concatenate(found), num_samples)) for path, found in rows.items()]


def _spread(indices: np.ndarray, count: int) -> list[int]:
    positions = np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)
    return indices[positions].tolist()


def structure_of(sample: Any) -> tuple[tuple[str, str], ...]:
    """Return what must be equal for samples to be stacked: the keys, and after packing the shape of each tensor.

    Example:
        >>> structure_of({"inputs": np.zeros((2, 3)), "label": 1})
        (('inputs', '(2, 3)'), ('label', ''))
    """
    if not isinstance(sample, dict):
        return ((type(sample).__name__, ""),)
    is_packed = "inputs" in sample  # before packing, lengths may differ
    return tuple(sorted((key, _shape(value) if is_packed and key != "gloss_ids" else "") for key, value in sample.items()))


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if hasattr(value, "shape") else ""


def _format(structure: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{key} {shape}".strip() for key, shape in structure)
