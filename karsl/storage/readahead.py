"""Ask the system to read parts of a mapped file before they are needed."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from functools import partial

import numpy as np


class Readahead:
    """Advice for a mapped array, each row asked for once.

    Touching a page that is not in memory waits for the disk, then the next page does. Asked for beforehand, the pages of
    a whole batch are on their way together. In the second pass most pages are in memory and the question would only cost,
    so what was asked for is remembered, one byte a row, until a call brings nothing new.

    Args:
        mapped: Rows on the disk.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.npy"
        >>> np.save(path, np.zeros((100, 1000)))
        >>> ahead = Readahead(np.load(path, mmap_mode="r"))
        >>> ahead.ask(np.array([0, 40]), np.array([10, 20]))
        >>> ahead.ask(np.array([40]), np.array([20]))  # nothing new: the first pass is over, nothing is asked any more
    """

    def __init__(self, mapped: np.memmap) -> None:
        memory: mmap.mmap | None = getattr(mapped, "_mmap", None)
        self._advise: Callable[[int, int], None] | None = None
        self._asked: np.ndarray | None = None
        if memory is not None and hasattr(memory, "madvise") and hasattr(mmap, "MADV_WILLNEED"):
            self._advise = partial(memory.madvise, mmap.MADV_WILLNEED)
            self._asked = np.zeros(len(mapped), bool)
            self._row_bytes = mapped.strides[0]
            self._first_byte = mapped.ctypes.data - np.frombuffer(memory, np.uint8).ctypes.data

    def ask(self, starts: np.ndarray, lengths: np.ndarray) -> None:
        """Have runs of rows read, int64 (N,) each, unless a run that starts there was asked for before."""
        if self._asked is None or self._advise is None:
            return
        new = ~self._asked[starts]
        if not new.any():
            self._asked = None
            return
        self._asked[starts] = True
        first = self._first_byte + starts[new] * self._row_bytes
        page = first // mmap.PAGESIZE * mmap.PAGESIZE
        sizes = first + lengths[new] * self._row_bytes - page
        try:
            for begin, size in zip(page.tolist(), sizes.tolist(), strict=True):
                self._advise(begin, size)
        except (OSError, ValueError):  # advice is not worth an error
            self._asked = None
