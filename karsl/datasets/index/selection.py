"""Which records of an index a view shows: a range where possible, else an index array in shared pages."""

from __future__ import annotations

import numpy as np

from karsl.io.shared_file import SharedFile

_PICKLED_BY_VALUE = 4096  # indices; 32 KB, well under the 100 KB that a pickled dataset may weigh


def as_range(positions: range | np.ndarray) -> range | np.ndarray:
    """The same positions as a range when they are evenly spaced, else untouched.

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
        self._ints = memoryview(self.array.data)  # 40 ns for a plain int, a third of what numpy takes

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
    indices._ints = memoryview(indices.array.data)
    return indices
