"""Arrays in `.npz` archives: list them by their headers, read one by its byte range or its key. No file stays open."""

from __future__ import annotations

import math
import os
import warnings
import zipfile
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from karsl.errors import ConfigError, CorruptRecordError
from karsl.io.addresses import check_integers, row_offset
from karsl.io.lru import LRU
from karsl.io.npy import (
    BROKEN_ARCHIVE,
    HEADER_BYTES,
    ShortHeader,
    array_from,
    missing_file_error,
    parse_header,
    read_array,
    read_header,
)
from karsl.io.shared_file import read_at

try:  # the extra [fast]
    import deflate
except ImportError:
    deflate = None  # type: ignore[assignment]

STORED, DEFLATED = 0, 8
_RAW_DEFLATE = -15  # zlib window bits without a zlib header, as in zip archives
_MAX_RATIO = 1032  # maximum compression of DEFLATE; a directory that claims more is damaged
MAX_UNPACKED = "KARSL_MAX_UNPACKED_BYTES"
"""Environment variable with the maximum size of a compressed array in bytes."""
_MAX_UNPACKED_BYTES = 1 << 30
_LOCAL_HEADER_BYTES = 30  # without name and extra field
_PEEK_BYTES = 1024


class ByteRange(NamedTuple):
    """Position of a member in an archive, and the state of the archive when it was indexed.

    Attributes:
        start: Offset of the stored bytes.
        stored: Number of stored bytes.
        size: Number of bytes after decompression.
        method: `STORED` or `DEFLATED`.
        crc: CRC-32 after decompression.
        file_bytes: Size of the archive.
        mtime_ns: Modification time of the archive.
    """

    start: int
    stored: int
    size: int
    method: int
    crc: int
    file_bytes: int
    mtime_ns: int

    @classmethod
    def parse(cls, value: Any, where: str) -> ByteRange:
        """Check the value of a record.

        Raises:
            CorruptRecordError: If it is not a list of seven integers.
        """
        if not isinstance(value, (list, tuple)) or len(value) != len(cls._fields):
            raise CorruptRecordError(f"{where}: the position {value!r} of an array is not {len(cls._fields)} integers")
        if set(map(type, value)) != {int}:  # 6 us less per clip
            check_integers(where, **dict(zip(cls._fields, value, strict=True)))
        return cls(*value)


@dataclass(frozen=True)
class Member:
    """One array of a file, as its header describes it.

    Attributes:
        key: Name in the file, index in a list, None if the file is the array.
        shape, dtype: Shape and dtype of the array.
        range: Position in an archive, None if it must be found by its key.
        start: Offset of its numbers in the file; None if they are not one uncompressed block in C order.
    """

    key: str | int | None
    shape: tuple[int, ...]
    dtype: np.dtype
    range: ByteRange | None = None
    start: int | None = None


def list_members(path: str | Path) -> tuple[list[Member], list[str]]:
    """Read the headers of the arrays of an `.npz` archive: return its members in order, and one sentence per problem.

    Raises:
        CorruptRecordError: If the file is empty or not a zip archive.
    """
    with _open_archive(path) as archive:
        names = archive.namelist()
        problems = [f"{path}: two arrays are called {n.removesuffix('.npy')!r}" for n, k in Counter(names).items() if k > 1]
        if not names:
            raise CorruptRecordError(f"{path}: the archive holds no arrays; re-export or remove it")
        fd = archive.fp.fileno()  # type: ignore[union-attr]  # it is open
        members = []
        for name in dict.fromkeys(names):
            try:
                members.append(_read_header(archive, fd, name))
            except BROKEN_ARCHIVE as error:
                problems.append(f"{path}: array {name.removesuffix('.npy')!r} cannot be read ({error}); re-export it")
    return members, problems


def read_member(path: str | Path, key: str) -> np.ndarray:
    """Read an array by its key. Object arrays, which would be unpickled, are rejected.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If there is no such key, the array holds objects, or its CRC differs.
    """
    with _open_archive(path) as archive:
        info = _find_info(archive, path, key)
        try:
            check_unpacked_size(info.file_size)
            with archive.open(info) as stream:
                return read_array(stream, info.file_size)
        except BROKEN_ARCHIVE as error:
            raise _unreadable_error(path, key, error) from error


def find_member(path: str | Path, key: str | int | None) -> tuple[str, ByteRange | None, bytes]:
    """Find an array by its key, or the only one without a key.

    Returns:
        Its key, its byte range or None if only zipfile can read it, and its first stored bytes.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If there is no such key, or the archive is damaged.
    """
    with _open_archive(path) as archive:
        if key is None and len(archive.NameToInfo) == 1:
            key = next(iter(archive.NameToInfo)).removesuffix(".npy")
        info = _find_info(archive, path, key)
        fd = archive.fp.fileno()  # type: ignore[union-attr]  # it is open
        try:
            return str(key), *_locate(info, fd, os.fstat(fd))
        except BROKEN_ARCHIVE as error:
            raise _unreadable_error(path, str(key), error) from error


def locate_stored(info: zipfile.ZipInfo, fd: int) -> tuple[int, int]:
    """Return offset and size of the bytes of a member that is not compressed, of an open archive.

    Raises:
        ValueError: If it is compressed, or not completely in the file.
    """
    byte_range, _ = _locate(info, fd, os.fstat(fd))
    if byte_range is None or byte_range.method != STORED or byte_range.stored != byte_range.size:
        raise ValueError(f"{info.filename} is compressed")
    return byte_range.start, byte_range.stored


def _find_info(archive: zipfile.ZipFile, path: str | Path, key: str | int | None) -> zipfile.ZipInfo:
    info = archive.NameToInfo.get(f"{key}.npy")
    if info is None:
        keys = [n.removesuffix(".npy") for n in archive.namelist()]
        found = f"it holds {len(keys)}, e.g. {', '.join(keys[:3])}; if the file was replaced, run 'karsl prepare' again"
        raise CorruptRecordError(f"{path}: no array {key!r}; {found}")
    return info


def read_range(path: str | Path, key: str, byte_range: ByteRange) -> np.ndarray | None:
    """Read an array at an indexed position; None if size or time of the file have changed since.

    Returns:
        An array with memory of its own, writeable where it was decompressed.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If the bytes are not the array's (the CRC is checked) or the array holds objects.
    """
    stored = _read_stored(path, byte_range)
    if stored is None:
        return None
    try:
        return array_from(inflate(stored, method=byte_range.method, size=byte_range.size, crc=byte_range.crc))
    except ValueError as error:
        raise _unreadable_error(path, key, error) from error


def _member_ranges(path: str) -> dict[str, ByteRange]:
    """Return the byte ranges of arrays by key, without those that only zipfile reads; empty if the archive is damaged."""
    try:
        with _open_archive(path) as archive:
            fd = archive.fp.fileno()  # type: ignore[union-attr]  # it is open
            stat = os.fstat(fd)
            located = {name.removesuffix(".npy"): _locate(info, fd, stat) for name, info in archive.NameToInfo.items()}
            return {key: byte_range for key, (byte_range, _) in located.items() if byte_range is not None}
    except (CorruptRecordError, *BROKEN_ARCHIVE):
        return {}


class NpzReader:
    """Reader of arrays by byte range. It reads an archive's directory once, for records without a range.

    A pickled copy is empty.

    Args:
        max_members: Maximum number of cached byte ranges.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "0001.npz"
        >>> np.savez_compressed(path, a=np.arange(3), b=np.arange(4))
        >>> NpzReader().read(str(path), "b")
        array([0, 1, 2, 3])
    """

    def __init__(self, max_members: int = 100_000) -> None:
        self.max_members = max_members
        # a directory larger than the bound is cached, too, as the only one
        self._directories: LRU[dict[str, ByteRange]] = LRU(max_members, lambda ranges: min(len(ranges), max_members))

    def read(self, path: str, key: str, byte_range: ByteRange | None = None) -> np.ndarray:
        """Read an array at `byte_range`, or by its key without one; if the file has changed since, warn and use the key.

        Raises:
            FileNotFoundError: If there is no such file.
            CorruptRecordError: See `read_member`.
        """
        if byte_range is not None:
            array = self._read_range(path, key, byte_range)
            if array is not None:
                return array
            warnings.warn(
                f"{path} changed after it was indexed; its clips are now found by name, index it again", stacklevel=2
            )
        for _ in range(2):  # the cached directory may be older than the change
            byte_range = self._find(path, key)
            array = None if byte_range is None else self._read_range(path, key, byte_range)
            if array is not None:
                return array
            self._directories.pop(path)
        return read_member(path, key)

    def _read_range(self, path: str, key: str, byte_range: ByteRange) -> np.ndarray | None:
        """Return the array, read-only, or None if the file was replaced, even by one of equal size and time."""
        try:
            array = read_range(path, key, byte_range)
            if array is not None:
                array.flags.writeable = False
            return array
        except CorruptRecordError:
            if self._find(path, key) == byte_range:
                self._directories.pop(path)  # the cached directory may be older than the replacement
                if self._find(path, key) == byte_range:
                    raise  # the file itself is damaged
            return None

    def _find(self, path: str, key: str) -> ByteRange | None:
        return self._directories.get_or_load(path, lambda: _member_ranges(path)).get(key)

    def __reduce__(self) -> tuple:
        return NpzReader, (self.max_members,)


def inflate(stored: bytes, *, method: int, size: int, crc: int) -> bytes | bytearray:
    """Decompress a member and check it.

    Args:
        stored: Stored bytes.
        method: `STORED` or `DEFLATED`.
        size: Number of bytes after decompression; no more are ever produced.
        crc: CRC-32 after decompression.

    Raises:
        ValueError: If size or checksum differ from the archive's directory, or see `check_unpacked_size`.

    Example:
        >>> inflate(b"abc", method=STORED, size=3, crc=0x352441C2)
        b'abc'
    """
    data = _inflate_deflated(stored, size) if method == DEFLATED else stored
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes instead of {size}")
    if (deflate or zlib).crc32(data) != crc:
        raise ValueError("Bad CRC-32")
    return data


def max_unpacked_size() -> int:
    """Return the maximum size of unpacked data in bytes. ConfigError if the environment variable is not a number."""
    text = os.environ.get(MAX_UNPACKED, str(_MAX_UNPACKED_BYTES))
    if not text.isdecimal():
        raise ConfigError(f"{MAX_UNPACKED}={text!r}; expected a number of bytes")
    return int(text)


def check_unpacked_size(size: int) -> None:
    """Check the size of compressed data before it is unpacked.

    Raises:
        ValueError: If it is more than 1 GiB, or than the environment variable `KARSL_MAX_UNPACKED_BYTES` permits.
    """
    allowed = max_unpacked_size()
    if size > allowed:
        raise ValueError(f"it unpacks to {size} bytes, more than {allowed}; set {MAX_UNPACKED} if that is right")


def _inflate_deflated(stored: bytes, size: int) -> bytes | bytearray:
    if size > _MAX_RATIO * len(stored):
        raise ValueError(f"{len(stored)} bytes cannot decompress to {size}")
    check_unpacked_size(size)
    if deflate is None:
        return _inflate_zlib(stored, size + 1)
    try:
        return deflate.deflate_decompress(stored, size)
    except deflate.DeflateError as error:
        raise ValueError(str(error)) from error


def _inflate_zlib(stored: bytes, max_bytes: int) -> bytes:
    try:
        return zlib.decompressobj(_RAW_DEFLATE).decompress(stored, max_bytes)
    except zlib.error as error:
        raise ValueError(str(error)) from error


def _read_stored(path: str | Path, byte_range: ByteRange) -> bytes | None:
    """Return the stored bytes of a member, or None if the file has changed."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, IsADirectoryError):
        raise missing_file_error(path) from None
    try:
        stat = os.fstat(fd)
        if stat.st_size != byte_range.file_bytes or stat.st_mtime_ns != byte_range.mtime_ns:
            return None
        if row_offset(byte_range.start, byte_range.stored, 1, 1, stat.st_size) < 0:
            raise CorruptRecordError(
                f"{path}: no bytes {byte_range.start} to {byte_range.start + byte_range.stored} in the file"
            )
        return read_at(fd, byte_range.stored, byte_range.start)
    finally:
        os.close(fd)


def _open_archive(path: str | Path) -> zipfile.ZipFile:
    path = Path(path)
    if not path.is_file():
        raise missing_file_error(path)
    if path.stat().st_size == 0:
        raise CorruptRecordError(f"{path}: the file is empty; copy it again or remove it")
    try:
        return zipfile.ZipFile(path)
    except BROKEN_ARCHIVE as error:
        with path.open("rb") as stream:
            is_pickle = stream.read(1) == b"\x80"
        what = "a pickle, which is never read" if is_pickle else f"no readable npz archive ({error})"
        raise CorruptRecordError(f"{path}: {what}; re-export it with np.savez_compressed") from error


def _read_header(archive: zipfile.ZipFile, fd: int, name: str) -> Member:
    if not name.endswith(".npy"):
        raise ValueError("not a .npy member")
    info = archive.NameToInfo[name]
    byte_range, head = _locate(info, fd, os.fstat(fd))
    header, start = None, None
    if byte_range is not None:
        with suppress(ShortHeader):  # a longer header is read by zipfile
            header = parse_header(
                _inflate_zlib(head, HEADER_BYTES) if byte_range.method == DEFLATED else head[:HEADER_BYTES]
            )
    if header is None:
        with archive.open(name) as stream:
            header = read_header(stream)
    elif byte_range is not None and byte_range.method == STORED and not header[1]:
        start = byte_range.start + header[3]
    shape, _, dtype, offset = header
    _check_size(info, offset + math.prod(shape) * dtype.itemsize)
    return Member(name.removesuffix(".npy"), shape, dtype, byte_range, start)


def _check_size(info: zipfile.ZipInfo, declared: int) -> None:
    """Compare the bytes that a header declares with those of the member, so that no array is larger than its file."""
    if declared != info.file_size:
        raise ValueError(f"it has {info.file_size} bytes where its header says {declared}")
    if info.compress_type == DEFLATED and info.file_size > _MAX_RATIO * info.compress_size:
        raise ValueError(f"{info.compress_size} bytes cannot decompress to {info.file_size}")


def _locate(info: zipfile.ZipInfo, fd: int, stat: os.stat_result) -> tuple[ByteRange | None, bytes]:
    """Return the byte range of a member and its first stored bytes; None for members that only zipfile can read."""
    encrypted = info.flag_bits & 0x1
    if info.compress_type not in (STORED, DEFLATED) or encrypted:
        return None, b""
    local = read_at(fd, _PEEK_BYTES, info.header_offset)
    if local[:4] != b"PK\3\4":
        raise ValueError("Bad magic number for file header")
    name_bytes, extra_bytes = int.from_bytes(local[26:28], "little"), int.from_bytes(local[28:30], "little")
    header_bytes = _LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    if header_bytes + HEADER_BYTES > len(local):
        local = read_at(fd, header_bytes + _PEEK_BYTES, info.header_offset)
    name = local[_LOCAL_HEADER_BYTES : _LOCAL_HEADER_BYTES + name_bytes]
    if name and name.decode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace") != info.orig_filename:
        raise ValueError(f"the directory calls it {info.orig_filename!r}, the header {name!r}")
    start = info.header_offset + header_bytes
    if start + info.compress_size > stat.st_size:
        raise ValueError("the archive ends inside the array")
    byte_range = ByteRange(
        start, info.compress_size, info.file_size, info.compress_type, info.CRC, stat.st_size, stat.st_mtime_ns
    )
    return byte_range, local[header_bytes:][: info.compress_size]


def _unreadable_error(path: str | Path, key: str, error: Exception) -> CorruptRecordError:
    return CorruptRecordError(f"{path}: array {key!r} cannot be read ({error}); re-export it")
