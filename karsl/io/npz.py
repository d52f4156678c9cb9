"""Clips inside `.npz` archives: list members by their headers, read one by its place or its key. Nothing stays open."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

from karsl.errors import CorruptRecordError
from karsl.storage.inflate import DEFLATED, STORED, first_bytes, unpacked
from karsl.storage.npy import BROKEN_ARCHIVE, HEADER_BYTES, ShortHeader, array_of, missing_file, parse_header

_LOCAL_BYTES = 30  # of the header before a member, without its name and extra field
_PEEK_BYTES = 1024


class Place(NamedTuple):
    """Where a member lies, and of which state of the file that is true.

    Attributes:
        start: Byte at which its stored bytes begin.
        stored: How many there are.
        size: Bytes when unpacked.
        method: `STORED` or `DEFLATED`.
        crc: CRC-32 when unpacked.
        file_bytes: Size of the archive.
        mtime_ns: Its time.
    """

    start: int
    stored: int
    size: int
    method: int
    crc: int
    file_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Member:
    """One array of a file as its header describes it.

    Attributes:
        key: Its name in the file, None where the file is the array.
        shape, dtype: Of the array.
        place: Where it lies in an archive; None where it must be found by its key.
    """

    key: str | None
    shape: tuple[int, ...]
    dtype: np.dtype
    place: Place | None = None


def list_members(path: str | Path) -> tuple[list[Member], list[str]]:
    """Read the headers of an archive's arrays, not the arrays.

    Args:
        path: An `.npz` file.

    Returns:
        Members in the order of the file, and one sentence per problem; a bad member does not hide the others.

    Raises:
        CorruptRecordError: The file is no zip archive at all, or empty.
    """
    with _archive(path) as archive:
        names = archive.namelist()
        problems = [f"{path}: two arrays are called {n.removesuffix('.npy')!r}" for n, k in Counter(names).items() if k > 1]
        if not names:
            raise CorruptRecordError(f"{path}: the archive holds no arrays; re-export or remove it")
        fd = archive.fp.fileno()  # type: ignore[union-attr]  # it is open
        members = []
        for name in dict.fromkeys(names):
            try:
                members.append(_header(archive, fd, name))
            except BROKEN_ARCHIVE as error:
                problems.append(f"{path}: array {name.removesuffix('.npy')!r} cannot be read ({error}); re-export it")
    return members, problems


def read_member(path: str | Path, key: str) -> np.ndarray:
    """Read one array by its key; objects are refused, since they would be unpickled.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptRecordError: No such key, an object array, or damaged bytes (zip's CRC is checked).
    """
    with _archive(path) as archive:
        name = f"{key}.npy"
        if name not in archive.NameToInfo:
            raise _no_such_key(path, key, [n.removesuffix(".npy") for n in archive.namelist()])
        try:
            with archive.open(name) as stream:
                return npy.read_array(stream, allow_pickle=False)
        except BROKEN_ARCHIVE as error:
            raise _unreadable(path, key, error) from error


def read_at(path: str | Path, key: str, place: Place) -> np.ndarray | None:
    """Read one array where an index says that it lies, without the archive's directory; read-only.

    Returns:
        The array, or None where the file has another size or time than it had then.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptRecordError: The bytes there are not the array's (zip's CRC is checked), or it is one of objects.
    """
    stored = _stored_bytes(path, place)
    if stored is None:
        return None
    try:
        return array_of(unpacked(stored, method=place.method, size=place.size, crc=place.crc))
    except ValueError as error:
        raise _unreadable(path, key, error) from error


def find_places(path: str) -> dict[str, Place]:
    """Where the arrays of an archive lie, by key; empty where it cannot be read, and without those that have no place."""
    try:
        with _archive(path) as archive:
            fd = archive.fp.fileno()  # type: ignore[union-attr]  # it is open
            facts = os.fstat(fd)
            found = {name.removesuffix(".npy"): _place(archive.NameToInfo[name], fd, facts) for name in archive.NameToInfo}
            return {key: place for key, (place, _) in found.items() if place is not None}
    except (CorruptRecordError, *BROKEN_ARCHIVE):
        return {}


def _stored_bytes(path: str | Path, place: Place) -> bytes | None:
    """The bytes of a member, None where the file changed."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise missing_file(path) from None
    try:
        facts = os.fstat(fd)
        if facts.st_size != place.file_bytes or facts.st_mtime_ns != place.mtime_ns:
            return None
        return _pread(fd, place.stored, place.start)
    finally:
        os.close(fd)


def _pread(fd: int, size: int, start: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, size, start)
    os.lseek(fd, start, os.SEEK_SET)  # Windows; the descriptor is this call's own
    return os.read(fd, size)


def _archive(path: str | Path) -> zipfile.ZipFile:
    path = Path(path)
    if not path.is_file():
        raise missing_file(path)
    if path.stat().st_size == 0:
        raise CorruptRecordError(f"{path}: the file is empty; copy it again or remove it")
    try:
        return zipfile.ZipFile(path)
    except BROKEN_ARCHIVE as error:
        head = path.open("rb").read(2)
        what = "a pickle, which is never read" if head[:1] == b"\x80" else f"no readable npz archive ({error})"
        raise CorruptRecordError(f"{path}: {what}; re-export it with np.savez_compressed") from error


def _header(archive: zipfile.ZipFile, fd: int, name: str) -> Member:
    if not name.endswith(".npy"):
        raise ValueError("not a .npy member")
    info, key = archive.NameToInfo[name], name.removesuffix(".npy")
    place, head = _place(info, fd, os.fstat(fd))
    if place is None:
        with archive.open(name) as stream:
            head = stream.read(HEADER_BYTES)
    else:
        head = first_bytes(head, method=place.method, size=HEADER_BYTES)
    try:
        shape, _, dtype, _ = parse_header(head)
    except ShortHeader as short:
        with archive.open(name) as stream:
            shape, _, dtype, _ = parse_header(stream.read(short.args[0]))
    return Member(key, shape, dtype, place)


def _place(info: zipfile.ZipInfo, fd: int, facts: os.stat_result) -> tuple[Place | None, bytes]:
    """Where a member lies, and its first stored bytes; None for what only zipfile can read.

    Raises:
        ValueError: The directory and the header before the member differ: the archive is damaged.
    """
    encrypted = info.flag_bits & 0x1
    if info.compress_type not in (STORED, DEFLATED) or encrypted:
        return None, b""
    local = _pread(fd, _PEEK_BYTES, info.header_offset)
    if local[:4] != b"PK\3\4":
        raise ValueError("Bad magic number for file header")
    name_bytes, extra_bytes = int.from_bytes(local[26:28], "little"), int.from_bytes(local[28:30], "little")
    header_bytes = _LOCAL_BYTES + name_bytes + extra_bytes
    if header_bytes + HEADER_BYTES > len(local):
        local = _pread(fd, header_bytes + _PEEK_BYTES, info.header_offset)
    name = local[_LOCAL_BYTES : _LOCAL_BYTES + name_bytes]
    if name and name.decode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace") != info.orig_filename:
        raise ValueError(f"the directory calls it {info.orig_filename!r}, the header {name!r}")
    start = info.header_offset + header_bytes
    if start + info.compress_size > facts.st_size:
        raise ValueError("the archive ends inside the array")
    place = Place(start, info.compress_size, info.file_size, info.compress_type, info.CRC, facts.st_size, facts.st_mtime_ns)
    return place, local[header_bytes:][: info.compress_size]


def _no_such_key(path: str | Path, key: str, keys: list[str]) -> CorruptRecordError:
    return CorruptRecordError(
        f"{path}: no array {key!r}; it holds {len(keys)}, e.g. {', '.join(keys[:3])}; "
        "if the file was replaced, run 'karsl prepare' again"
    )


def _unreadable(path: str | Path, key: str, error: Exception) -> CorruptRecordError:
    return CorruptRecordError(f"{path}: array {key!r} cannot be read ({error}); re-export it")
