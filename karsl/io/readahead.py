"""Read ahead: request byte ranges of files from the operating system before they are needed.

Touching a mapped page that is not in memory waits for the disk, page after page. Requested beforehand, the pages of a whole
batch are read together.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import NamedTuple

from karsl.io.npy import read_header

_NUM_PROBES = 8


class FileRanges(NamedTuple):
    """Byte ranges of a file: start and number of bytes of each."""

    path: str | Path
    ranges: Sequence[tuple[int, int]]


def advise(files: Sequence[FileRanges]) -> None:
    """Request byte ranges from the operating system, if it accepts such advice.

    The calls of a clip take as long as making half a sample; time-critical callers run this in a thread.
    """
    if not hasattr(os, "posix_fadvise"):  # `mmap.madvise` instead would block other Python threads
        return
    for path, ranges in files:
        try:
            with open(path, "rb", buffering=0) as file:
                for start, size in ranges:
                    os.posix_fadvise(file.fileno(), start, size, os.POSIX_FADV_WILLNEED)
        except OSError:  # the file was removed, or its file system accepts no advice; reading it raises the error
            continue


def read_ahead(files: Sequence[FileRanges]) -> None:
    """Request byte ranges unless a few probes of each file are in memory already."""
    if not is_in_memory([FileRanges(path, ranges[:_NUM_PROBES]) for path, ranges in files]):
        advise(files)


def is_in_memory(files: Sequence[FileRanges]) -> bool:
    """Return True if the first byte of every range is in memory; False if the system does not report it.

    Example:
        >>> import tempfile
        >>> file = tempfile.NamedTemporaryFile()
        >>> is_in_memory([FileRanges(file.name, [(100, 8)])])  # beyond its end
        False
    """
    if not hasattr(os, "RWF_NOWAIT"):
        return False
    for path, ranges in files:
        try:
            with open(path, "rb", buffering=0) as file:
                if not all(os.preadv(file.fileno(), [bytearray(1)], start, os.RWF_NOWAIT) for start, _ in ranges):
                    return False
        except OSError:  # BlockingIOError: it would have to be read from the disk
            return False
    return True


@lru_cache(maxsize=4096)
def row_layout(path: str) -> tuple[int, int]:
    """Return the offset of the rows of a `.npy` file and the number of bytes per row.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is not a `.npy` file.
    """
    with open(path, "rb") as file:
        shape, _, dtype, start = read_header(file)
    return start, prod(shape[1:]) * dtype.itemsize
