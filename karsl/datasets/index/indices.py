"""Dataset indices: resolve `indices` arguments with the semantics of Python lists, and share index arrays of subsets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from karsl.errors import pluralize
from karsl.io.shared_file import SharedFile

Indices = int | slice | Sequence[int] | np.ndarray

_PICKLED_BY_VALUE = 4096  # indices; 32 KB, well under the 100 KB that a pickled dataset may have


def resolve_indices(indices: Indices, length: int) -> range | np.ndarray:
    """Resolve `indices` to positions in a list of `length`.

    Args:
        indices: n >= 0 selects the first n, n < 0 the last -n (both at most all). A slice, sequence or integer array
            selects those positions, negative ones from the end. A bool array is a mask.
        length: Length of the list.

    Returns:
        A range if the positions are evenly spaced by construction, else int64 (K,).

    Raises:
        TypeError: If `indices` is none of these.
        IndexError: If a position is out of range, or a mask has another length.

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
    array = np.asarray(indices)
    if array.dtype == bool:
        if array.shape != (length,):
            raise IndexError(f"a mask of shape {array.shape} over {pluralize(length, 'record')}; expected ({length},)")
        return np.flatnonzero(array)
    if not len(array):
        return range(0)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"indices should be integers, but got {array.dtype} of shape {array.shape}")
    array = array.astype(np.int64)
    outside = array[(array < -length) | (array >= length)]
    if len(outside):
        raise IndexError(
            f"index {int(outside[0])} of indices is out of range for a dataset of {pluralize(length, 'record')}"
        )
    return np.where(array < 0, array + length, array)


def as_range(positions: range | np.ndarray) -> range | np.ndarray:
    """Return evenly spaced positions as a range, others unchanged.

    Example:
        >>> as_range(np.array([5, 7, 9])), as_range(np.array([1, 5, 2]))
        (range(5, 11, 2), array([1, 5, 2]))
    """
    if isinstance(positions, range):
        return positions
    if len(positions) < 2:
        return range(int(positions[0]), int(positions[0]) + 1) if len(positions) else range(0)
    step = int(positions[1]) - int(positions[0])
    if step == 0 or (np.diff(positions) != step).any():
        return positions
    return range(int(positions[0]), int(positions[-1]) + step, step)


def as_slice(positions: range) -> slice:
    """Return the slice that selects valid positions; a range that ends below 0 has no stop."""
    stop = positions.stop if positions.stop >= 0 else None
    return slice(positions.start, stop, positions.step) if positions else slice(0, 0)


class SharedIndices:
    """Read-only int64 positions in memory that all processes of the run share. Short arrays are pickled by value.

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
        self._set(positions)

    def _set(self, positions: np.ndarray) -> None:
        self.array = positions
        self._ints = memoryview(positions.data)  # a plain int in 40 ns, a third of numpy's time

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int) -> int:
        return self._ints[index]

    def __reduce__(self) -> tuple:
        return (SharedIndices, (self.array,)) if self._file is None else (_map_indices, (self._file,))


def _map_indices(file: SharedFile) -> SharedIndices:
    indices = SharedIndices.__new__(SharedIndices)
    indices._file = file
    indices._set(np.frombuffer(file.map(), np.int64))
    return indices
