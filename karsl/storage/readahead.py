"""Ask the system to read parts of a mapped file before they are needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

import numpy as np

_QUIET_ROWS = 2048  # asked for again in a row, with nothing new between: the first pass is over


class Readahead:
    """Advice for a mapped array, each run of rows asked for once.

    Touching a page that is not in memory waits for the disk, then the next page does. Asked for beforehand, the pages of
    a whole batch are on their way together. In the second pass most pages are in memory and the question would only cost,
    so what was asked for is remembered, one byte a row, until long nothing new comes.

    Args:
        mapped: Rows on the disk.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.npy"
        >>> np.save(path, np.zeros((100, 1000)))
        >>> ahead = Readahead(np.load(path, mmap_mode="r"))
        >>> ahead.ask(np.array([0, 40]), np.array([10, 20])), ahead.ask(np.array([40]), np.array([20]))
        (True, False)
    """

    def __init__(self, mapped: np.memmap) -> None:
        path = getattr(mapped, "filename", None)
        self._asked: np.ndarray | None = None
        if path is not None and hasattr(os, "posix_fadvise"):
            self._path, self._first_byte, self._row_bytes = Path(path), mapped.offset, mapped.strides[0]
            self._asked = np.zeros(len(mapped), bool)
            self._quiet_rows = 0

    def ask(self, starts: np.ndarray, lengths: np.ndarray, *, in_background: bool = False) -> bool:
        """Have runs of rows read, unless a run that starts there was asked for before.

        Args:
            starts, lengths: int64 (N,), within the array.
            in_background: Come back at once: telling the disk of a clip takes as long as making half a sample.

        Returns:
            Whether a run was new.
        """
        if self._asked is None:
            return False
        new = ~self._asked[starts]
        if not new.any():
            self._quiet_rows += len(starts)
            if self._quiet_rows > _QUIET_ROWS:
                self._asked = None
            return False
        self._asked[starts] = True
        self._quiet_rows = 0
        begins = self._first_byte + starts[new] * self._row_bytes
        ranges = list(zip(begins.tolist(), (lengths[new] * self._row_bytes).tolist(), strict=True))
        try:
            if in_background:
                Thread(target=advise, args=(self._path, ranges), daemon=True).start()
            else:
                advise(self._path, ranges)
        except RuntimeError:  # no more threads: advice is not worth an error
            self._asked = None
        return True


def advise(path: str | Path, ranges: Sequence[tuple[int, int]]) -> None:
    """Have the system read parts of a file; where it takes no advice, nothing happens.

    Args:
        path: Of the file.
        ranges: First byte and number of bytes of each.
    """
    if not hasattr(os, "posix_fadvise"):  # `mmap.madvise` instead would keep other Python threads waiting
        return
    try:
        with open(path, "rb", buffering=0) as file:
            for begin, size in ranges:
                os.posix_fadvise(file.fileno(), begin, size, os.POSIX_FADV_WILLNEED)
    except OSError:  # the file went, or lies where there is no advice; whoever reads it will say so
        return
