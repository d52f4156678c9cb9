"""The `.npy` format: headers read once per text, arrays from bytes, and files that are mapped."""

from __future__ import annotations

import io
import math
import mmap
import os
import zipfile
import zlib
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib import format as npy

from karsl.errors import CorruptRecordError

BROKEN = (ValueError, OSError, EOFError, SyntaxError, TokenError, TypeError, OverflowError, IndexError)
"""What numpy raises on files that are damaged."""
BROKEN_ARCHIVE = (*BROKEN, KeyError, MemoryError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""The same, of arrays in a zip archive; a size that is not believed in time asks for too much memory."""

HEADER_BYTES = 256  # enough for the header of any clip; longer ones are read again
_MAGIC_BYTES = 10
_LONGEST_HEADER = 1 << 16  # that of an array with fields has some hundreds; a longer one would be read before it is refused


class ShortHeader(ValueError):
    """More bytes are needed; `args[0]` says how many."""

    def __str__(self) -> str:
        return f"ends before its header, {self.args[0]} bytes, does"


def parse_header(data: bytes | bytearray) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, Fortran order, dtype and the byte at which the numbers start.

    Raises:
        ShortHeader: `data` ends before the header does.
        ValueError: Not a .npy header, one longer than any, or one of objects, which would run pickle.
    """
    if data[:6] != npy.MAGIC_PREFIX:
        raise ValueError("not a .npy member")
    if len(data) < _MAGIC_BYTES + 2:
        raise ShortHeader(_MAGIC_BYTES + 2)
    wide = data[6] > 1
    end = (12 + int.from_bytes(data[8:12], "little")) if wide else (10 + int.from_bytes(data[8:10], "little"))
    if end > _LONGEST_HEADER:
        raise ValueError(f"a .npy header of {end} bytes, more than {_LONGEST_HEADER}")
    if len(data) < end:
        raise ShortHeader(end)
    try:
        return (*_parsed(bytes(data[:end])), end)
    except BROKEN as error:
        raise ValueError(str(error)) from error


@lru_cache(maxsize=4096)
def _parsed(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    stream = io.BytesIO(header)
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("an object array, which would run pickle")
    return shape, fortran, dtype


def array_of(data: bytes | bytearray) -> np.ndarray:
    """The array in the bytes of a whole .npy file, read-only and not copied.

    Raises:
        ValueError: The bytes are not one.

    Example:
        >>> stream = io.BytesIO()
        >>> np.save(stream, np.arange(3))
        >>> array_of(stream.getvalue())
        array([0, 1, 2])
    """
    shape, fortran, dtype, start = parse_header(data)
    count = math.prod(shape)
    if len(data) - start != count * dtype.itemsize:
        raise ValueError(f"{len(data) - start} bytes of numbers where the header says {count * dtype.itemsize}")
    flat = np.frombuffer(data, dtype, count, start)
    flat.flags.writeable = False
    return flat.reshape(shape, order="F" if fortran else "C")


class MappedFiles:
    """Files mapped when they are first read in a process; the least recently used are closed.

    A file that was replaced is mapped anew. A copy sent to another process starts empty. An array that is still used keeps
    its own map open.

    Args:
        max_open: Maps to keep; each holds a file descriptor.
    """

    def __init__(self, max_open: int = 128) -> None:
        self.max_open = max_open
        self._open: OrderedDict[str, tuple[tuple, np.ndarray]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def array(self, path: str) -> np.ndarray:
        """The array of a `.npy` file, pages read when they are touched.

        Raises:
            FileNotFoundError: There is no such file.
            CorruptRecordError: The file is no array of numbers.
        """
        return self._get(path, _map_array)

    def bytes(self, path: str) -> np.ndarray:
        """All bytes of a file, uint8.

        Raises:
            FileNotFoundError: There is no such file.
            CorruptRecordError: The file is empty.
        """
        return self._get(path, _map_bytes)

    def close(self) -> None:
        """Let go of every map."""
        self._open.clear()

    def _get(self, path: str, open_map) -> np.ndarray:
        try:
            facts = os.stat(path)
        except FileNotFoundError:
            raise missing_file(path) from None
        state = open_map, facts.st_ino, facts.st_size, facts.st_mtime_ns
        found = self._open.get(path)
        if found is not None and found[0] == state:
            self._open.move_to_end(path)
            return found[1]
        mapped = open_map(path)
        self._open[path] = (state, mapped)
        self._open.move_to_end(path)
        while len(self._open) > self.max_open:
            self._open.popitem(last=False)
        return mapped

    def __reduce__(self) -> tuple:
        return MappedFiles, (self.max_open,)


def missing_file(path: str | Path) -> FileNotFoundError:
    """What to say of a clip's file that is not there."""
    return FileNotFoundError(f"{path}: no such file; is data_root right, or was it moved after indexing?")


def _map_array(path: str) -> np.ndarray:
    try:
        return npy.open_memmap(path, mode="r").view(np.ndarray)
    except BROKEN as error:
        raise CorruptRecordError(f"{path}: no readable .npy file ({error}); export it again") from error


def _map_bytes(path: str) -> np.ndarray:
    with open(path, "rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            raise CorruptRecordError(f"{path}: the file is empty; copy it again or remove it")
        return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
