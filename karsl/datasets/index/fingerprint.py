"""What shaped an index, as one short name: change anything that matters and the name changes.

Two rules keep this honest. A value whose content cannot be read off gives None, "cannot tell", and the caller then keeps
no file. A file is known by its content, not by its time stamp: the hash is remembered per (inode, size, times), so that a
second start reads no annotation again, and a copy or `touch` of the same bytes finds the same index.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import os
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import xxhash

from karsl.datasets.index.codec import decode, encode
from karsl.datasets.index.layout import FORMAT_VERSION
from karsl.errors import IndexFileError
from karsl.io.atomic import atomic_path
from karsl.io.hashing import file_xxh3
from karsl.io.shared_file import SharedFile
from karsl.version import __version__

_RACY_NS = 2_000_000_000  # coarse file clocks: a file changed twice within one tick shows one time (git's racy entries)


class _CannotTell(Exception):
    """A part whose content cannot be read off."""


def fingerprint(*parts: Any) -> str | None:
    """32 hex characters that stand for all parts, the version of karsl and of the index format; None: cannot tell.

    Args:
        parts: None, bool, numbers, str, bytes, paths, ranges, slices, enums, types, numpy arrays and scalars, and lists,
            tuples, sets, mappings and dataclasses of these. Mappings and sets count without their order.

    Example:
        >>> fingerprint({"a": 1, "b": (2,)}) == fingerprint({"b": (2,), "a": 1})
        True
        >>> fingerprint([1]) == fingerprint((1,)), fingerprint(object()) is None
        (False, True)
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        for part in ((__version__, FORMAT_VERSION), *parts):
            digest.update(_canonical(part))
    except (_CannotTell, RecursionError):
        return None
    return digest.hexdigest()


def file_facts(path: str | Path, memory: Path | None = None) -> tuple:
    """What a file holds, or what lies in a folder.

    Args:
        path: A file: absolute path, size and xxh3 of its content. A folder: names, sizes and times of everything below.
        memory: Folder, private to this user, where hashes of unchanged files are remembered.

    Raises:
        OSError: There is nothing to read.
    """
    path = Path(path).absolute()
    facts = path.stat()
    if path.is_dir():
        listing = hashlib.blake2b(digest_size=16)
        for entry in _below(path):
            listing.update(_canonical(entry))
        return "folder", str(path), listing.hexdigest()
    return "file", str(path), facts.st_size, _content_hash(path, facts, memory)


def _below(folder: Path) -> Iterator[tuple]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir():
            yield entry.path, "folder"
            yield from _below(Path(entry.path))
        else:
            facts = entry.stat()
            yield entry.path, facts.st_size, facts.st_mtime_ns


def _content_hash(path: Path, facts: os.stat_result, memory: Path | None) -> str:
    state = (str(path), facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    note = None if memory is None else memory / f"{xxhash.xxh3_64_hexdigest(os.fsencode(path))}.facts"
    if note is not None:
        with suppress(OSError, ValueError, TypeError):
            file = SharedFile.open(note)
            known, content = decode(os.pread(file.fd, 1 << 16, 0))
            if known == state and isinstance(content, str):
                return content
    content = file_xxh3(path, bits=128)
    settled = time.time_ns() - max(facts.st_mtime_ns, facts.st_ctime_ns) > _RACY_NS
    if note is not None and settled:
        with suppress(OSError, IndexFileError), atomic_path(note) as part:
            part.touch(0o600)
            part.write_bytes(encode([state, content]))
    return content


def _canonical(value: Any) -> bytes:
    """Bytes that differ whenever two values differ in type or content."""
    if value is None or type(value) in (bool, int, str):
        return _tagged(type(value).__name__, repr(value).encode("utf-8", "surrogatepass"))
    if isinstance(value, enum.Enum):
        return _tagged("enum", _canonical(type(value)) + _canonical(value.name))
    if type(value) is float:
        return _tagged("float", struct.pack("<d", value))
    if value is Ellipsis or type(value) is complex:
        return _tagged(type(value).__name__, repr(value).encode())
    if isinstance(value, bytes):
        return _tagged("bytes", value)
    if isinstance(value, PurePath):
        return _tagged("path", os.fsencode(value))
    if isinstance(value, type):
        return _tagged("type", f"{value.__module__}.{value.__qualname__}".encode())
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.hasobject:
            raise _CannotTell
        return _tagged("numpy", f"{value.dtype.str}{value.shape}".encode() + value.tobytes())
    if isinstance(value, (range, slice)):
        return _tagged(type(value).__name__, _canonical([value.start, value.stop, value.step]))
    if isinstance(value, Mapping):
        return _tagged("dict", b"".join(sorted(_canonical(k) + _canonical(v) for k, v in value.items())))
    if isinstance(value, (set, frozenset)):
        return _tagged("set", b"".join(sorted(map(_canonical, value))))
    if isinstance(value, (list, tuple)):
        return _tagged(type(value).__name__, b"".join(map(_canonical, value)))
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _tagged("dataclass", _canonical(type(value)) + _canonical(fields))
    raise _CannotTell


def _tagged(kind: str, content: bytes) -> bytes:
    return f"{kind}:{len(content)}:".encode() + content
