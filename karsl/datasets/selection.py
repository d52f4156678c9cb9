"""Which records of an index a view shows: a range where possible, else an index array in shared pages."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from karsl.datasets.shared_file import SharedFile

_PICKLED_BY_VALUE = 4096  # indices; 32 KB, well under the 100 KB that a pickled dataset may weigh


def resolve_indices(indices: Any, count: int) -> range | np.ndarray:
    """Positions that `indices` means in a list of `count` records, as MMEngine's `get_subset` and a bit more.

    Args:
        indices: An int n (the first n, or the last -n when negative; more than there are gives all), a slice, or a
            sequence or integer array of positions, negative ones counted from the end.
        count: How many records there are.

    Returns:
        A range when the positions are evenly spaced, else int64 (n,), all in [0, count).

    Raises:
        TypeError: Anything else, for instance floats or booleans.
        IndexError: A position is not in the list.

    Example:
        >>> resolve_indices(-3, 10), resolve_indices([5, 7, -1], 10), resolve_indices([1, 5, 2], 10)
        (range(7, 10), range(5, 10, 2), array([1, 5, 2]))
    """
    if isinstance(indices, slice):
        return range(count)[indices]
    if isinstance(indices, range) and indices and 0 <= min(indices) and max(indices) < count:
        return indices
    if not isinstance(indices, (Sequence, np.ndarray)) or isinstance(indices, (str, bytes)):
        return _first_or_last(indices, count)
    array = np.asarray(indices)
    if array.size == 0 and array.ndim == 1:
        return range(0)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"indices must be an int, a slice or a sequence of ints, got {indices!r:.80}")
    array = array.astype(np.int64)
    wrong = (array < -count) | (array >= count)
    if wrong.any():
        raise IndexError(f"index {array[wrong][0]} is out of range for {count} records")
    return as_range(np.where(array < 0, array + count, array))


def _first_or_last(indices: Any, count: int) -> range:
    try:
        number = operator.index(indices)
    except TypeError:
        raise TypeError(f"indices must be an int, a slice or a sequence of ints, got {indices!r:.80}") from None
    return range(count)[:number] if number >= 0 else range(count)[number:]


def as_range(positions: np.ndarray) -> range | np.ndarray:
    """The same positions as a range when they are evenly spaced, else untouched."""
    if len(positions) < 2:
        return range(int(positions[0]), int(positions[0]) + 1) if len(positions) else range(0)
    step = int(positions[1]) - int(positions[0])
    if step == 0 or (np.diff(positions) != step).any():
        return positions
    return range(int(positions[0]), int(positions[-1]) + (1 if step > 0 else -1), step)


class SharedIndices:
    """int64 positions in pages that every process of the run shares; small ones travel by value.

    Args:
        positions: int64 (n,).
    """

    def __init__(self, positions: np.ndarray) -> None:
        self._file: SharedFile | None = None
        if len(positions) > _PICKLED_BY_VALUE:
            self._file = SharedFile.in_memory("karsl-indices")
            self._file.write_at(0, np.ascontiguousarray(positions))
            positions = np.frombuffer(self._file.map(), np.int64)
        else:
            positions = positions.copy()
            positions.flags.writeable = False
        self.array = positions
        self._ints = memoryview(self.array)  # 40 ns for a plain int, a third of what numpy takes

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, at: int) -> int:
        return self._ints[at]

    def __reduce__(self) -> tuple:
        return (SharedIndices, (self.array,)) if self._file is None else (_restore, (self._file,))


def _restore(file: SharedFile) -> SharedIndices:
    indices = SharedIndices.__new__(SharedIndices)
    indices._file = file
    indices.array = np.frombuffer(file.map(), np.int64)
    indices._ints = memoryview(indices.array)
    return indices
