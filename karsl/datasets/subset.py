"""What `indices` may be: the list semantics of Python, whatever the dataset keeps its records in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Indices = int | slice | Sequence[int] | np.ndarray


def resolve_indices(indices: Indices, length: int) -> range | np.ndarray:
    """Turn any form of `indices` into places of a list of `length`.

    Args:
        indices: n >= 0 takes the first n, n < 0 the last -n (both at most all); a slice, sequence or integer array
            takes those places, negative ones from the end; a bool array is a mask.
        length: Of the list.

    Returns:
        A range where the places are consecutive by construction, else int64 (K,).

    Raises:
        TypeError: None of these.
        IndexError: A place outside the list, or a mask of another length.

    Example:
        >>> resolve_indices(2, 5), resolve_indices(-2, 5), resolve_indices(99, 5), resolve_indices([-1, 0], 5)
        (range(0, 2), range(3, 5), range(0, 5), array([4, 0]))
    """
    if isinstance(indices, (int, np.integer)) and not isinstance(indices, bool):
        return range(length)[: int(indices)] if indices >= 0 else range(length)[int(indices) :]
    if isinstance(indices, slice):
        return range(length)[indices]
    if isinstance(indices, range) and (not indices or 0 <= min(indices) <= max(indices) < length):
        return indices
    if isinstance(indices, (str, bytes)) or not isinstance(indices, (Sequence, np.ndarray)):
        raise TypeError(f"indices should be an int, a slice or a sequence of int, but got {type(indices)}")
    places = np.asarray(indices)
    if places.dtype == bool:
        if places.shape != (length,):
            raise IndexError(f"a mask of shape {places.shape} over {length} records; expected ({length},)")
        return np.flatnonzero(places)
    if not len(places):
        return range(0)
    if places.ndim != 1 or places.dtype.kind not in "iu":
        raise TypeError(f"indices should hold integers, but got {places.dtype} of shape {places.shape}")
    places = places.astype(np.int64)
    outside = places[(places < -length) | (places >= length)]
    if len(outside):
        raise IndexError(f"index {int(outside[0])} of indices is outside a dataset of {length} records")
    return np.where(places < 0, places + length, places)
