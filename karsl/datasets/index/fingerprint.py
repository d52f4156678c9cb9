"""Fingerprints of the inputs of an index: if anything that shapes the records changes, the fingerprint changes.

A value that cannot be hashed by content gives None, and the caller then uses no file. Files are hashed by content, so a
copy or `touch` of the same bytes finds the same index.
"""

from __future__ import annotations

import builtins
import dataclasses
import enum
import hashlib
import inspect
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

import mmengine
import numpy as np

from karsl.datasets.index.reader import FORMAT_VERSION
from karsl.io.hashing import file_stats
from karsl.version import __version__

_PATH_CHARS = 4096


class UnhashableError(Exception):
    """A value whose content cannot be hashed."""


def fingerprint(*values: Any) -> str | None:
    """Hash values, the version of karsl and that of the index format.

    Args:
        values: None, bool, numbers, str, bytes, paths, ranges, slices, enums, types, numpy arrays and scalars, and lists,
            tuples, sets, mappings and dataclasses of these. The order of mappings and sets does not matter.

    Returns:
        32 hex characters, or None if a value cannot be hashed.

    Example:
        >>> fingerprint({"a": 1, "b": (2,)}) == fingerprint({"b": (2,), "a": 1})
        True
        >>> fingerprint([1]) == fingerprint((1,)), fingerprint(object()) is None
        (False, True)
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        for value in ((__version__, FORMAT_VERSION), *values):
            digest.update(_canonical(value))
    except (UnhashableError, RecursionError):
        return None
    return digest.hexdigest()


def dataset_fingerprint(
    code: str | None, state: Mapping[str, Any], inputs: Iterable[str | Path] = (), *, stat_cache: Path | None = None
) -> str | None:
    """Hash everything that shapes the records of a dataset.

    Args:
        code: Hash of the code that parses, see `source_hash`.
        state: Attributes that shape records. The files that strings and paths in it name are hashed too.
        inputs: Further files (hashed by content) and folders (by names, sizes and times) that the parsing code reads.
        stat_cache: Private folder for the hashes of unchanged files.

    Returns:
        Hex, or None if a value, the code or an input cannot be hashed.
    """
    if code is None:
        return None
    paths = sorted({*_named_files(state), *(Path(path).absolute() for path in inputs)})
    try:
        files = [file_stats(path, stat_cache) for path in paths]
    except OSError:
        return None
    return fingerprint(mmengine.__version__, code, state, files)


def source_hash(cls: type, methods: Iterable[str] = ()) -> str | None:
    """Hash the names of a class and of its bases, and the source files that define them and the given methods.

    Returns:
        Hex, or None if the source does not determine what the class does or cannot be read: a class defined in a function,
        which may depend on its variables, or typed into a shell; a mock.

    Example:
        >>> from karsl.errors import ConfigError, KarslError
        >>> source_hash(KarslError) == source_hash(ConfigError), source_hash(type("Shell", (), {"__module__": "none"}))
        (False, None)
    """
    bases = [base for base in cls.__mro__ if getattr(builtins, base.__name__, None) is not base]
    functions = [inspect.unwrap(getattr(cls, name)) for name in methods]
    if any("<locals>" in getattr(definition, "__qualname__", "") for definition in (*bases, *functions)):
        return None
    digest = hashlib.blake2b("".join(base.__qualname__ + "\n" for base in bases).encode(), digest_size=16)
    try:
        files = dict.fromkeys(Path(inspect.getsourcefile(definition) or "") for definition in (*bases, *functions))
        for file in files:
            digest.update(file.read_bytes())
    except (OSError, TypeError):
        return None
    return digest.hexdigest()


def undeclared_method(cls: type, methods: Iterable[str], declaration: str) -> str | None:
    """Return the first of some methods that a class overrides without overriding `declaration` too, None if none.

    Example:
        >>> class Base:
        ...     def parse(self): ...
        ...     def inputs(self): ...
        >>> class Own(Base):
        ...     def parse(self): ...
        >>> undeclared_method(Own, ["parse"], "inputs"), undeclared_method(Base, ["parse"], "inputs")
        ('Own.parse', None)
    """
    for base in cls.__mro__:
        if declaration in vars(base):
            return None
        overridden = [name for name in methods if name in vars(base)]
        if overridden:
            return f"{cls.__name__}.{overridden[0]}"
    return None


def _named_files(value: Any) -> Iterator[Path]:
    """Yield the existing files that strings and paths inside `value` name."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _named_files(item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _named_files(item)
    elif isinstance(value, (str, Path)) and 0 < len(str(value)) < _PATH_CHARS:
        with suppress(OSError, ValueError):  # ValueError: a NUL in the string
            path = Path(value).absolute()
            if path.is_file():
                yield path


def _canonical(value: Any) -> bytes:
    """Return bytes that differ if two values differ in type or content."""
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
            raise UnhashableError
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
    raise UnhashableError


def _tagged(tag: str, content: bytes) -> bytes:
    return f"{tag}:{len(content)}:".encode() + content
