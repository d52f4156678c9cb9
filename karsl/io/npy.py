"""The `.npy` format: cached header parsing, arrays from bytes, and mapped files."""

from __future__ import annotations

import io
import math
import mmap
import os
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from stat import S_ISDIR
from tokenize import TokenError
from typing import IO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from karsl.errors import CorruptRecordError
from karsl.io.lru import LRU

BROKEN = (ValueError, OSError, EOFError, SyntaxError, TokenError, TypeError, OverflowError, IndexError, MemoryError)
"""Exceptions that numpy raises on damaged files; a wrong size in a header can request too much memory."""
BROKEN_ARCHIVE = (*BROKEN, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""The same for arrays in a zip archive."""

HEADER_BYTES = 256  # enough for the header of any clip; a longer header is read in a second step
_MAGIC_BYTES = 10
MAX_HEADER = 1 << 16  # a structured array has some hundreds of bytes; reject longer ones before reading them
_MAX_BYTES = 1 << 62  # of an array: offsets in it are 64-bit integers


class ShortHeader(ValueError):  # noqa: N818 - a request for more bytes
    """The data ends within the header; `args[0]` is the number of bytes needed."""

    def __str__(self) -> str:
        return f"ends within its header of {self.args[0]} bytes"


def parse_header(data: bytes | bytearray) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Return shape, Fortran order, dtype, and the offset of the data.

    Raises:
        ShortHeader: If `data` ends before the header does.
        ValueError: If it is not a `.npy` header, is too long, or describes objects, which would run pickle.
    """
    if data[:6] != npy.MAGIC_PREFIX:
        raise ValueError("not a .npy member")
    if len(data) < _MAGIC_BYTES + 2:
        raise ShortHeader(_MAGIC_BYTES + 2)
    wide = data[6] > 1
    end = (12 + int.from_bytes(data[8:12], "little")) if wide else (10 + int.from_bytes(data[8:10], "little"))
    if end > MAX_HEADER:
        raise ValueError(f"a .npy header of {end} bytes, more than {MAX_HEADER}")
    if len(data) < end:
        raise ShortHeader(end)
    try:
        return (*_parse_complete(bytes(data[:end])), end)
    except BROKEN as error:
        raise ValueError(str(error)) from error


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Read a header from the start of a `.npy` file; see `parse_header`."""
    head = stream.read(HEADER_BYTES)
    try:
        return parse_header(head)
    except ShortHeader as short:
        return parse_header(head + stream.read(short.args[0] - len(head)))


@lru_cache(maxsize=4096)
def _parse_complete(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    stream = io.BytesIO(header)
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("an object array, which would run pickle")
    if not dtype.itemsize or min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize > _MAX_BYTES:
        raise ValueError(f"an impossible array of {dtype} {shape}")
    return shape, fortran, dtype


def read_array(stream: IO[bytes], size: int) -> np.ndarray:
    """Read an array from the start of a `.npy` file of `size` bytes; no more memory than that is allocated.

    Raises:
        ValueError: See `array_from`.
    """
    head = stream.read(HEADER_BYTES)
    try:
        shape, _, dtype, start = parse_header(head)
    except ShortHeader as short:
        head += stream.read(short.args[0] - len(head))
        shape, _, dtype, start = parse_header(head)
    if start + math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{size - start} bytes of numbers where the header says {math.prod(shape) * dtype.itemsize}")
    return array_from(head + stream.read(size - len(head)))


def array_from(data: bytes | bytearray) -> np.ndarray:
    """Return the array in the bytes of a `.npy` file, not copied; read-only if the bytes are.

    Raises:
        ValueError: If the bytes are not a complete `.npy` file.

    Example:
        >>> stream = io.BytesIO()
        >>> np.save(stream, np.arange(3))
        >>> array_from(stream.getvalue())
        array([0, 1, 2])
    """
    shape, fortran, dtype, start = parse_header(data)
    count = math.prod(shape)
    if len(data) - start != count * dtype.itemsize:
        raise ValueError(f"{len(data) - start} bytes of numbers where the header says {count * dtype.itemsize}")
    return np.frombuffer(data, dtype, count, start).reshape(shape, order="F" if fortran else "C")


class MappedFile(NamedTuple):
    """A mapped file: its array or bytes, and what changes when the file is replaced."""

    data: np.ndarray
    state: tuple


class MappedFiles:
    """Files that are mapped at the first read and closed when they are the least recently used.

    A file that was replaced is mapped again. An array in use keeps its map open. A pickled copy is empty.

    Args:
        max_open: Maximum number of open maps, one file descriptor each.
    """

    def __init__(self, max_open: int = 128) -> None:
        self.max_open = max_open
        self._maps: LRU[MappedFile] = LRU(max_open)

    def __len__(self) -> int:
        return len(self._maps)

    def array(self, path: str) -> np.ndarray:
        """Return the array of a `.npy` file; pages are read when they are touched.

        Raises:
            FileNotFoundError: If there is no such file.
            CorruptRecordError: If the file is not an array of numbers.
        """
        return self._get(path, _map_array).data

    def file(self, path: str) -> MappedFile:
        """Return all bytes of a file.

        Raises:
            FileNotFoundError: If there is no such file.
            CorruptRecordError: If the file is empty.
        """
        return self._get(path, _map_bytes)

    def bytes(self, path: str) -> np.ndarray:
        """Return all bytes of a file as uint8, see `file`."""
        return self.file(path).data

    def close(self) -> None:
        """Drop all maps."""
        self._maps.clear()

    def _get(self, path: str, open_map: Callable[[str], np.ndarray]) -> MappedFile:
        try:
            stat = os.stat(path)
        except FileNotFoundError:
            raise missing_file_error(path) from None
        if S_ISDIR(stat.st_mode):
            raise missing_file_error(path)
        state = open_map, stat.st_ino, stat.st_size, stat.st_mtime_ns
        entry = self._maps.get(path)
        if entry is not None and entry.state == state:
            return entry
        entry = MappedFile(open_map(path), state)
        self._maps.put(path, entry)
        return entry

    def __reduce__(self) -> tuple:
        return MappedFiles, (self.max_open,)


def missing_file_error(path: str | Path) -> FileNotFoundError:
    """Return the error for a clip's file that does not exist."""
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
