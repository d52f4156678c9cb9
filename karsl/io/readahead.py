"""Ask the system to read parts of files before they are needed.

Touching a mapped page that is not in memory waits for the disk, then the next page does. Asked for beforehand, the pages of
a whole batch are on their way together.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import NamedTuple

from karsl.storage.npy import HEADER_BYTES, parse_header

_PROBES = 8


class FileRanges(NamedTuple):
    """Parts of a file: first byte and number of bytes of each."""

    path: str | Path
    ranges: Sequence[tuple[int, int]]


def advise(parts: Sequence[FileRanges]) -> None:
    """Have the system read parts of files; where it takes no advice, nothing happens.

    Telling the disk of a clip takes as long as making half a sample: who has better to do calls this in a thread.
    """
    if not hasattr(os, "posix_fadvise"):  # `mmap.madvise` instead would keep other Python threads waiting
        return
    for path, ranges in parts:
        try:
            with open(path, "rb", buffering=0) as file:
                for begin, size in ranges:
                    os.posix_fadvise(file.fileno(), begin, size, os.POSIX_FADV_WILLNEED)
        except OSError:  # the file went, or lies where there is no advice; whoever reads it will say so
            continue


def fetch(parts: Sequence[FileRanges]) -> None:
    """The same, unless they seem to be in memory: a few of each file are."""
    if not in_memory([FileRanges(path, ranges[:_PROBES]) for path, ranges in parts]):
        advise(parts)


def in_memory(parts: Sequence[FileRanges]) -> bool:
    """Whether the first bytes of all parts are in memory. False where the system does not tell.

    Example:
        >>> import tempfile
        >>> file = tempfile.NamedTemporaryFile()
        >>> in_memory([FileRanges(file.name, [(100, 8)])])  # beyond its end
        False
    """
    if not hasattr(os, "RWF_NOWAIT"):
        return False
    for path, ranges in parts:
        try:
            with open(path, "rb", buffering=0) as file:
                if not all(os.preadv(file.fileno(), [bytearray(1)], begin, os.RWF_NOWAIT) for begin, _ in ranges):
                    return False
        except OSError:  # BlockingIOError: it would have to be read
            return False
    return True


@lru_cache(maxsize=4096)
def rows_place(path: str) -> tuple[int, int]:
    """Where the rows of a `.npy` file begin, and the bytes of one.

    Raises:
        OSError: It is not there.
        ValueError: It is no `.npy` file.
    """
    with open(path, "rb") as file:
        shape, _, dtype, begin = parse_header(file.read(HEADER_BYTES))
    return begin, prod(shape[1:]) * dtype.itemsize
