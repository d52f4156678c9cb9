"""Records to bytes and back, exactly, without pickle.

msgpack with four extension types carries what msgpack itself lacks: tuples, integers beyond 64 bits, numpy arrays and
numpy scalars. Types are kept to the letter (a tuple stays a tuple, an `np.int64` stays an `np.int64`); what cannot be
kept so raises `UnsafeRecord`, it is never rounded to something near. Decoding can build data, it can not run code.
"""

from __future__ import annotations

import pickle
import struct
from typing import Any

import msgpack
import numpy as np

from karsl.errors import UnsafeRecord

_TUPLE, _BIG_INT, _ARRAY, _SCALAR, _PICKLE = 1, 2, 3, 4, 5
_PLAIN = frozenset({str, int, float, bool, type(None)})
_LEAVES = _PLAIN | {bytes}
_DTYPE_KINDS = frozenset("biufcmMSU")  # no object, no void: both can hide a pickle
_MAX_DEPTH = 64  # a tuple takes a C frame of the decoder per level: 500 of them overflow a thread's stack


def encode(record: Any) -> bytes:
    """Bytes of one record.

    Args:
        record: None, bool, int, float, str, bytes, list, tuple, dict (keys of any of these that hash), numpy arrays and
            numpy scalars of bool, number, time or string type, nested. Subclasses of these are refused.

    Raises:
        UnsafeRecord: Any other type, or a nesting deeper than 64 levels.

    Example:
        >>> decode(encode({"clip_id": "a", "size": (2, 3), 7: [True, None, 0.5]}))
        {'clip_id': 'a', 'size': (2, 3), 7: [True, None, 0.5]}
    """
    if type(record) is not dict or not _PLAIN.issuperset(map(type, record.values())):
        _refuse_lookalikes(record, 0)
    try:
        return _PACKER.pack(record)
    except UnicodeEncodeError:  # a file name that is not UTF-8 (surrogateescape); the strict packer is 2x faster
        _PACKER.reset()
        return _SURROGATE_PACKER.pack(record)
    except UnsafeRecord:
        _PACKER.reset()
        raise
    except (ValueError, OverflowError, RecursionError) as error:
        _PACKER.reset()
        raise UnsafeRecord(f"record cannot be written: {error}") from error


def decode(data: Any) -> Any:
    """The record in `data` (anything with the buffer protocol); a fresh private copy.

    Raises:
        ValueError: The bytes are not one record of this codec, or hold a pickle.
    """
    return msgpack.unpackb(data, strict_map_key=False, ext_hook=_from_ext, unicode_errors="surrogatepass")


def encode_pickled(record: Any) -> bytes:
    """Bytes of a record that `encode` refuses. Only for memory that belongs to this run, never for a file."""
    return msgpack.packb(msgpack.ExtType(_PICKLE, pickle.dumps(record, protocol=4)))


def decode_trusted(data: Any) -> Any:
    """As `decode`, and also reads what `encode_pickled` wrote. Only for memory that belongs to this run."""
    return msgpack.unpackb(data, strict_map_key=False, ext_hook=_from_trusted_ext, unicode_errors="surrogatepass")


def _refuse_lookalikes(value: Any, depth: int) -> None:
    """Walk a nested record: msgpack writes `bytearray`, `memoryview` and its own types as something else, in silence."""
    kind = type(value)
    if depth > _MAX_DEPTH:
        raise UnsafeRecord(f"record nests deeper than {_MAX_DEPTH} levels")
    if kind is dict:
        for key, item in value.items():
            _refuse_lookalikes(key, depth + 1)
            _refuse_lookalikes(item, depth + 1)
    elif kind is list or kind is tuple:
        for item in value:
            _refuse_lookalikes(item, depth + 1)
    elif kind not in _LEAVES and kind is not np.ndarray and not issubclass(kind, np.generic):
        raise UnsafeRecord(f"record holds a {kind.__module__}.{kind.__qualname__}, which has no exact safe form")


def _to_ext(value: Any) -> msgpack.ExtType:
    kind = type(value)
    if kind is tuple:
        return msgpack.ExtType(_TUPLE, _pack_nested(list(value)))
    if kind is int:
        return msgpack.ExtType(_BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
    if kind is np.ndarray and value.dtype.kind in _DTYPE_KINDS and value.dtype.metadata is None:
        order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        head = _pack_nested([value.dtype.str, list(value.shape), order])
        return msgpack.ExtType(_ARRAY, struct.pack("<I", len(head)) + head + value.tobytes(order))
    if kind is np.str_ or kind is np.bytes_:  # item() and a fixed-width dtype lose trailing NULs
        return msgpack.ExtType(_SCALAR, _pack_nested([kind.__name__, value[:]]))
    if issubclass(kind, np.generic) and value.dtype.kind in _DTYPE_KINDS:
        return msgpack.ExtType(_SCALAR, _pack_nested([value.dtype.str, value.tobytes()]))
    raise UnsafeRecord(f"record holds a {kind.__module__}.{kind.__qualname__}, which has no exact safe form")


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


def _from_trusted_ext(code: int, data: bytes) -> Any:
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
        raise ValueError(f"index record holds an array of dtype {name!r}, which is not allowed")
    return dtype


_PACKER = msgpack.Packer(default=_to_ext, strict_types=True, autoreset=True)
_SURROGATE_PACKER = msgpack.Packer(default=_to_ext, strict_types=True, unicode_errors="surrogatepass")
