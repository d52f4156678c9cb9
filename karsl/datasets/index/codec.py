"""Codec of records: exact bytes without pickle.

The format is msgpack with four extension types for what msgpack lacks: tuples, integers beyond 64 bits, numpy arrays and
numpy scalars. Types are preserved exactly (a tuple stays a tuple, an `np.int64` stays an `np.int64`); a value that cannot
be preserved raises `UnsafeRecordError`. Decoding builds data and cannot run code.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np

from karsl.errors import UnsafeRecordError

_TUPLE, _BIG_INT, _ARRAY, _SCALAR, _PICKLE = 1, 2, 3, 4, 5
_PLAIN = frozenset({str, int, float, bool, type(None)})
_LEAVES = _PLAIN | {bytes}
_DTYPE_KINDS = frozenset("biufcmMSU")  # no object, no void: both can contain a pickle
_DECODING_ERRORS = (TypeError, KeyError, IndexError, OverflowError, RecursionError, struct.error, msgpack.UnpackException)
_MAX_DEPTH = 64  # the decoder uses a C stack frame per tuple level: 500 of them overflow a thread's stack


def encode(record: Any) -> bytes:
    """Serialize one record.

    Args:
        record: None, bool, int, float, str, bytes, list, tuple, dict (any hashable of these as key), numpy arrays and
            numpy scalars of bool, number, time or string dtype, nested. Subclasses of these are rejected.

    Raises:
        UnsafeRecordError: If a value has another type, or the nesting is deeper than 64 levels.

    Example:
        >>> decode(encode({"clip_id": "a", "size": (2, 3), 7: [True, None, 0.5]}))
        {'clip_id': 'a', 'size': (2, 3), 7: [True, None, 0.5]}
    """
    if type(record) is not dict or not _PLAIN.issuperset(map(type, record.values())):
        _reject_lookalikes(record, 0)
    try:
        return _PACKER.pack(record)
    except UnicodeEncodeError:  # a file name that is not UTF-8 (surrogateescape); the strict packer is 2x faster
        _PACKER.reset()
        return _SURROGATE_PACKER.pack(record)
    except UnsafeRecordError:
        _PACKER.reset()
        raise
    except (ValueError, OverflowError, RecursionError) as error:
        _PACKER.reset()
        raise UnsafeRecordError(f"record cannot be written: {error}") from error


def decode(data: Any) -> Any:
    """Deserialize the record in `data` (any object with the buffer protocol) as a private copy.

    Raises:
        ValueError: If the bytes are not one record of this codec, or contain a pickle.
    """
    return _unpack(data, _from_ext)


def encode_pickled(record: Any) -> bytes:
    """Serialize a record that `encode` rejects. For memory of this run only, never for a file."""
    return msgpack.packb(msgpack.ExtType(_PICKLE, pickle.dumps(record, protocol=4)))


def decode_pickled(data: Any) -> Any:
    """Deserialize as `decode`, pickles of `encode_pickled` included. For memory of this run only."""
    return _unpack(data, _from_pickled_ext)


def _unpack(data: Any, from_ext: Callable[[int, bytes], Any]) -> Any:
    try:
        return msgpack.unpackb(data, strict_map_key=False, ext_hook=from_ext, unicode_errors="surrogatepass")
    except _DECODING_ERRORS as error:
        raise ValueError(f"index record cannot be decoded: {error}") from error


def _reject_lookalikes(value: Any, depth: int) -> None:
    """Reject nested values that msgpack would silently write as another type: `bytearray`, `memoryview`, its own types."""
    cls = type(value)
    if depth > _MAX_DEPTH:
        raise UnsafeRecordError(f"record nests deeper than {_MAX_DEPTH} levels")
    if cls is dict:
        for key, item in value.items():
            _reject_lookalikes(key, depth + 1)
            _reject_lookalikes(item, depth + 1)
    elif cls is list or cls is tuple:
        for item in value:
            _reject_lookalikes(item, depth + 1)
    elif cls not in _LEAVES and cls is not np.ndarray and not issubclass(cls, np.generic):
        raise UnsafeRecordError(f"record has a {cls!r}, which cannot be stored exactly")


def _to_ext(value: Any) -> msgpack.ExtType:
    cls = type(value)
    if cls is tuple:
        return msgpack.ExtType(_TUPLE, _pack_nested(list(value)))
    if cls is int:
        return msgpack.ExtType(_BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
    if cls is np.ndarray and value.dtype.kind in _DTYPE_KINDS and value.dtype.metadata is None:
        order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        head = _pack_nested([value.dtype.str, list(value.shape), order])
        return msgpack.ExtType(_ARRAY, struct.pack("<I", len(head)) + head + value.tobytes(order))
    if cls is np.str_ or cls is np.bytes_:  # item() and a fixed-width dtype lose trailing NULs
        return msgpack.ExtType(_SCALAR, _pack_nested([cls.__name__, value[:]]))
    if issubclass(cls, np.generic) and value.dtype.kind in _DTYPE_KINDS:
        return msgpack.ExtType(_SCALAR, _pack_nested([value.dtype.str, value.tobytes()]))
    raise UnsafeRecordError(f"record has a {cls!r}, which cannot be stored exactly")


def _pack_nested(value: Any) -> bytes:
    return msgpack.packb(value, default=_to_ext, strict_types=True, unicode_errors="surrogatepass")


def _from_ext(code: int, data: bytes, depth: int = 0) -> Any:
    if code != _TUPLE:
        return _from_leaf_ext(code, data)
    if depth >= _MAX_DEPTH:
        raise ValueError(f"index record nests deeper than {_MAX_DEPTH} levels")

    def inner(code: int, data: bytes) -> Any:
        return _from_ext(code, data, depth + 1)

    return tuple(msgpack.unpackb(data, strict_map_key=False, ext_hook=inner, unicode_errors="surrogatepass"))


def _from_pickled_ext(code: int, data: bytes) -> Any:
    if code == _PICKLE:
        return pickle.loads(data)
    return _from_ext(code, data)


def _from_leaf_ext(code: int, data: bytes) -> Any:
    if code == _BIG_INT:
        return int.from_bytes(data, "little", signed=True)
    if code == _ARRAY:
        (head_bytes,) = struct.unpack_from("<I", data)
        dtype, shape, order = msgpack.unpackb(data[4 : 4 + head_bytes])
        flat = np.ndarray(shape, _safe_dtype(dtype), data, offset=4 + head_bytes, order=order)
        return flat.copy(order)
    if code == _SCALAR:
        dtype, value = msgpack.unpackb(data, unicode_errors="surrogatepass")
        if dtype in ("str_", "bytes_"):
            return getattr(np, dtype)(value)
        return np.frombuffer(value, _safe_dtype(dtype))[0]
    raise ValueError(f"index record has extension type {code}, which the safe codec does not read")


def _safe_dtype(name: str) -> np.dtype:
    dtype = np.dtype(name)
    if dtype.kind not in _DTYPE_KINDS:
        raise ValueError(f"index record has an array of dtype {name!r}, which is not allowed")
    return dtype


_PACKER = msgpack.Packer(default=_to_ext, strict_types=True, autoreset=True)
_SURROGATE_PACKER = msgpack.Packer(default=_to_ext, strict_types=True, unicode_errors="surrogatepass")
