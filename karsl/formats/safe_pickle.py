"""Read a pickle of plain data without letting it run code.

Unpickling calls what the file names. Here every name that arrays and numbers need is answered by an inert description of
what was to be built, every other name is refused, and the descriptions are turned into arrays afterwards, from bytes.
"""

from __future__ import annotations

import pickle
import shlex
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from karsl.errors import ConfigError, CorruptRecordError
from karsl.storage.npy import BROKEN

# numpy 1 and 2 call the same functions by two names; protocol 2 writes bytes as text to be encoded.
_MODULES = {"numpy._core.multiarray": "multiarray", "numpy.core.multiarray": "multiarray"}
_MODULES |= {"numpy._core.numeric": "numeric", "numpy.core.numeric": "numeric"}
_KNOWN = {
    ("multiarray", "_reconstruct"): "array",
    ("multiarray", "scalar"): "scalar",
    ("numeric", "_frombuffer"): "buffer",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "bytes",
    ("collections", "OrderedDict"): "dict",
}
_BROKEN = (*BROKEN, pickle.UnpicklingError, AttributeError, KeyError)


class _Part:
    """Something that the file asked to build: what, from which arguments, and the state that was set on it."""

    __slots__ = ("args", "kind", "pairs", "state")

    def __init__(self, kind: str, args: tuple) -> None:
        self.kind, self.args = kind, args
        self.state: Any = ()
        self.pairs: list[tuple] = []

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.kind != "dict":
            raise pickle.UnpicklingError(f"items set on {self.kind}")
        self.pairs.append((key, value))


class _Maker:
    """Stands for a callable of the file; calling it only notes what was asked."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, *args: Any) -> _Part:
        return _Part(self.kind, args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("state set on a function")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        kind = _KNOWN.get((_MODULES.get(module, module), name))
        if kind is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not plain data")
        return _Maker(kind)


Trusted = bool | str | Path | Collection[str | Path]
"""The files that a user trusts; True for whatever is asked for."""


def check_trusted(needed: Iterable[Path], trusted: Trusted) -> None:
    """Refuse pickles that the user has not named.

    Raises:
        ConfigError: Some of `needed` are not in `trusted`; how to name them is said.

    Example:
        >>> check_trusted([Path("clips.pkl")], ["./clips.pkl"])
    """
    if trusted is True:
        return
    given = [trusted] if isinstance(trusted, (str, Path)) else trusted or ()
    named = {Path(file).resolve() for file in given}
    lacking = [file for file in needed if file.resolve() not in named]
    if lacking:
        files, one = ", ".join(map(str, lacking)), len(lacking) == 1
        what = "is a pickle; if you trust where it comes from" if one else "are pickles; if you trust where they come from"
        asked = " ".join(f"--trust-pickle {shlex.quote(str(file))}" for file in lacking)
        raise ConfigError(f"{files} {what}, add {asked} (trusted=[...])")


def load_plain(path: Path, *, trusted: Trusted, skip: Callable[[BinaryIO], None] | None = None) -> Any:
    """The dicts, lists, texts, numbers and arrays of a pickle file.

    Args:
        path: Of the file.
        trusted: The file must be among these, see `check_trusted`.
        skip: Brings the stream to where the pickle begins.

    Raises:
        ConfigError: Not trusted.
        CorruptRecordError: It holds anything but plain data, or is no pickle.
    """
    check_trusted([path], trusted)
    try:
        with path.open("rb") as stream:
            if skip is not None:
                skip(stream)
            return _built(_Unpickler(stream).load())
    except _BROKEN as error:
        raise CorruptRecordError(
            f"{path}: not a pickle of plain data and numpy arrays ({error}); it was not read"
        ) from error


def _built(value: Any) -> Any:
    if isinstance(value, _Part):
        return _MAKE[value.kind](value)
    if isinstance(value, dict):
        return {_built(k): _built(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_built(v) for v in value)
    if isinstance(value, (str, bytes, bytearray, int, float, bool, type(None))):
        return value
    raise pickle.UnpicklingError(f"a {type(value).__name__} is not plain data")


def _dtype(part: Any) -> np.dtype:
    if not isinstance(part, _Part) or part.kind != "dtype":
        raise pickle.UnpicklingError("an array without a type")
    state = part.state
    dtype = np.dtype(str(part.args[0])).newbyteorder(">" if isinstance(state, tuple) and ">" in state[1:2] else "<")
    if dtype.kind not in "fiub":
        raise pickle.UnpicklingError(f"an array of {dtype}; numbers are expected")
    return dtype


def _bytes(part: Any) -> bytes:
    if isinstance(part, _Part) and part.kind == "bytes" and isinstance(part.args[0], str):
        return part.args[0].encode("latin1")
    if isinstance(part, (bytes, bytearray, memoryview, pickle.PickleBuffer)):
        return bytes(part)
    raise pickle.UnpicklingError("an array whose bytes are not bytes")


def _array(part: _Part) -> Any:
    _, shape, dtype, fortran, raw = part.state
    if shape == () and isinstance(raw, list) and len(raw) == 1:  # a dict that np.save has put into an array of objects
        return _built(raw[0])
    return np.frombuffer(_bytes(raw), _dtype(dtype)).reshape(shape, order="F" if fortran else "C")


def _buffer(part: _Part) -> np.ndarray:
    raw, dtype, shape, order = part.args
    return np.frombuffer(_bytes(raw), _dtype(dtype)).reshape(shape, order="F" if order == "F" else "C")


def _scalar(part: _Part) -> Any:
    return np.frombuffer(_bytes(part.args[1]), _dtype(part.args[0]))[0].item()


def _refused(part: _Part) -> Any:
    raise pickle.UnpicklingError(f"a bare {part.kind}")


_MAKE = {
    "array": _array,
    "buffer": _buffer,
    "scalar": _scalar,
    "bytes": _bytes,
    "dict": lambda part: {_built(k): _built(v) for k, v in part.pairs},
    "ndarray": _refused,
    "dtype": _refused,
}
