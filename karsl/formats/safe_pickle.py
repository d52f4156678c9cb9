"""Read pickles of plain data without running their code.

Unpickling calls the functions that the file names. Here, every name that arrays and numbers need is replaced by an inert
description of the call, every other name is rejected, and arrays are built from the descriptions afterwards.
"""

from __future__ import annotations

import pickle
import pickletools
import shlex
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from karsl.errors import ConfigError, CorruptRecordError
from karsl.io.npy import BROKEN

# numpy 1 and 2 store different module names for the same functions; protocol 2 stores bytes as encoded text.
_MODULES = {"numpy._core.multiarray": "multiarray", "numpy.core.multiarray": "multiarray"}
_MODULES |= {"numpy._core.numeric": "numeric", "numpy.core.numeric": "numeric"}
_ALLOWED = {
    ("multiarray", "_reconstruct"): "array",
    ("multiarray", "scalar"): "scalar",
    ("numeric", "_frombuffer"): "buffer",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "bytes",
    ("collections", "OrderedDict"): "dict",
}
_BROKEN = (*BROKEN, pickle.UnpicklingError, AttributeError, KeyError, RecursionError)
_MAX_SHARED = 1_000_000


class _Call:
    """A call that the file requests: name, arguments, and the state and items set on its result."""

    __slots__ = ("args", "items", "name", "state")

    def __init__(self, name: str, args: tuple) -> None:
        self.name, self.args = name, args
        self.state: Any = ()
        self.items: list[tuple] = []

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.name != "dict":
            raise pickle.UnpicklingError(f"items set on {self.name}")
        self.items.append((key, value))


class _Callable:
    """Replacement of a function that the file names. Records calls instead of executing them."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any) -> _Call:
        return _Call(self.name, args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("state set on a function")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        allowed = _ALLOWED.get((_MODULES.get(module, module), name))
        if allowed is None:
            raise pickle.UnpicklingError(f"it requests {module}.{name}, which is not plain data")
        return _Callable(allowed)


Trusted = bool | str | Path | Collection[str | Path]
"""Pickle files that a user trusts, or folders of them. True trusts every file."""


def check_trusted(files: Iterable[Path], trusted: Trusted) -> None:
    """Raise unless the user trusts all of the pickle files.

    Raises:
        ConfigError: If some are not in `trusted`. The message contains the options that add them.

    Example:
        >>> check_trusted([Path("clips.pkl")], ["./clips.pkl"])
    """
    if trusted is True:
        return
    names = [trusted] if isinstance(trusted, (str, Path)) else trusted or ()
    resolved = {Path(file).resolve() for file in names}
    untrusted = [file for file in files if resolved.isdisjoint((file.resolve(), *file.resolve().parents))]
    if untrusted:
        one = len(untrusted) == 1
        what = "is a pickle; if you trust its origin" if one else "are pickles; if you trust their origin"
        options = " ".join(f"--trust-pickle {shlex.quote(str(file))}" for file in untrusted)
        raise ConfigError(f"{', '.join(map(str, untrusted))} {what}, add {options} (trusted=[...])")


def load_safe_pickle(path: Path, *, trusted: Trusted, skip: Callable[[BinaryIO], None] | None = None) -> Any:
    """Load the dicts, lists, strings, numbers and arrays of a pickle file.

    Args:
        path: Pickle file.
        trusted: Must include the file, see `check_trusted`.
        skip: Moves the stream to the start of the pickle.

    Raises:
        ConfigError: If the file is not trusted.
        CorruptRecordError: If it contains anything but plain data, or is not a pickle.
    """
    check_trusted([path], trusted)
    try:
        with path.open("rb") as stream:
            if skip is not None:
                skip(stream)
            _check_memo(stream, size=path.stat().st_size)
            return _Builder(path.stat().st_size + _MAX_SHARED).build(_Unpickler(stream).load())
    except _BROKEN as error:
        raise CorruptRecordError(f"{path}: not a pickle of plain data and arrays ({error}); it was not read") from error


def _check_memo(stream: BinaryIO, *, size: int) -> None:
    """Reject indices of the unpickler's list of values that no file of this size needs; it would allocate 16 bytes for each.

    Raises:
        UnpicklingError, ValueError: If there is such an index, or the file is not a pickle.
    """
    start = stream.tell()
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("PUT", "LONG_BINPUT") and argument is not None and argument > size:
            raise pickle.UnpicklingError(f"it stores value number {argument}, in a file of {size} bytes")
    stream.seek(start)


class _Builder:
    """Builder of the described values. A list or array that is used several times is built once.

    Args:
        most: Maximum number of values if nothing were shared: a few bytes can describe lists of lists with 2**60 numbers,
            which no reader could go through.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._built: dict[int, tuple[Any, int] | None] = {}

    def build(self, value: Any) -> Any:
        """Return a value with all descriptions replaced by arrays and numbers.

        Raises:
            UnpicklingError: If it is no plain data, contains itself, or is too large.
        """
        return self._build(value)[0]

    def _build(self, value: Any) -> tuple[Any, int]:
        """Return the value and the number of values in it."""
        if isinstance(value, str):
            value.encode()  # half a character would fail later, when it is written
            return value, 1
        if isinstance(value, (bytes, bytearray, int, float, bool, type(None))):
            return value, 1
        if not isinstance(value, (_Call, dict, list, tuple)):
            raise pickle.UnpicklingError(f"a {type(value).__name__} is not plain data")
        if id(value) in self._built:
            known = self._built[id(value)]
            if known is None:
                raise pickle.UnpicklingError(f"a {type(value).__name__} that contains itself")
            return known
        self._built[id(value)] = None
        built, count = self._build_container(value)
        if count > self._most:
            raise pickle.UnpicklingError(f"more than {self._most} values, by lists that contain others several times")
        self._built[id(value)] = built, count
        return built, count

    def _build_container(self, value: Any) -> tuple[Any, int]:
        if isinstance(value, _Call) and value.name == "dict":
            pairs: Any = value.items
        elif isinstance(value, _Call):
            state = value.state
            if value.name == "array" and state[1] == () and isinstance(state[4], list) and len(state[4]) == 1:
                return self._build(state[4][0])  # np.save stores a dict as an array of objects
            return _BUILDERS[value.name](value), 1
        elif isinstance(value, dict):
            pairs = value.items()
        else:
            items = [self._build(item) for item in value]
            return type(value)(item for item, _ in items), 1 + sum(count for _, count in items)
        entries = [(self._build(key), self._build(item)) for key, item in pairs]
        return {key[0]: item[0] for key, item in entries}, 1 + sum(key[1] + item[1] for key, item in entries)


def _build_dtype(call: Any) -> np.dtype:
    if not isinstance(call, _Call) or call.name != "dtype":
        raise pickle.UnpicklingError("an array without a type")
    state = call.state
    dtype = np.dtype(str(call.args[0])).newbyteorder(">" if isinstance(state, tuple) and ">" in state[1:2] else "<")
    if dtype.kind not in "fiub":
        raise pickle.UnpicklingError(f"an array of {dtype}; expected numbers")
    return dtype


def _build_bytes(call: Any) -> bytes:
    if isinstance(call, _Call) and call.name == "bytes" and isinstance(call.args[0], str):
        return call.args[0].encode("latin1")
    if isinstance(call, (bytes, bytearray, memoryview, pickle.PickleBuffer)):
        return bytes(call)
    raise pickle.UnpicklingError("an array whose data is not bytes")


def _build_array(call: _Call) -> Any:
    _, shape, dtype, fortran, raw = call.state
    return np.frombuffer(_build_bytes(raw), _build_dtype(dtype)).reshape(shape, order="F" if fortran else "C")


def _build_buffer(call: _Call) -> np.ndarray:
    raw, dtype, shape, order = call.args
    return np.frombuffer(_build_bytes(raw), _build_dtype(dtype)).reshape(shape, order="F" if order == "F" else "C")


def _build_scalar(call: _Call) -> Any:
    return np.frombuffer(_build_bytes(call.args[1]), _build_dtype(call.args[0]))[0].item()


def _reject(call: _Call) -> Any:
    raise pickle.UnpicklingError(f"a bare {call.name}")


_BUILDERS = {
    "array": _build_array,
    "buffer": _build_buffer,
    "scalar": _build_scalar,
    "bytes": _build_bytes,
    "ndarray": _reject,
    "dtype": _reject,
}
