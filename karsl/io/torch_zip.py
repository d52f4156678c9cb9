"""Tensors of a `.pt` file: shape, dtype and position, from its zip directory and its pickle, without torch.

`torch.save` writes a zip archive: a pickle that describes the tensors, and their numbers as stored members. The pickle is
interpreted with the few names that plain tensors need; none of them is called.
"""

from __future__ import annotations

import math
import os
import pickle
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from karsl.errors import CorruptRecordError
from karsl.io.npy import BROKEN_ARCHIVE, missing_file_error
from karsl.io.npz import STORED, locate_stored
from karsl.io.shared_file import read_at

MAX_PICKLE = 64 << 20  # bytes: a million tensors
_BROKEN = (*BROKEN_ARCHIVE, pickle.UnpicklingError, AttributeError, struct.error, RecursionError)
_DTYPES = {
    "Double": "f8", "Float": "f4", "Half": "f2", "Long": "i8", "Int": "i4", "Short": "i2", "Char": "i1", "Byte": "u1",
    "Bool": "?",
}  # fmt: skip
_REBUILD, _PARAMETER, _DICT = "_rebuild_tensor_v2", "_rebuild_parameter", "OrderedDict"
_NAMES = {("torch._utils", _REBUILD), ("torch._utils", _PARAMETER), ("collections", _DICT)}

Key = str | int | None


class StoredTensor(NamedTuple):
    """One tensor of a file.

    Attributes:
        shape: Shape.
        dtype: NumPy dtype, None if NumPy has none.
        dtype_name: Name in torch, such as `bfloat16`.
        start: Offset of its numbers in the file; None if they are not one C-contiguous block.
    """

    shape: tuple[int, ...]
    dtype: np.dtype | None
    dtype_name: str
    start: int | None


def list_stored_tensors(path: str | Path) -> dict[Key, StoredTensor] | None:
    """Return the tensors of a `.pt` file: by name for a dict, by index for a list, under None for a single one.

    Returns:
        None if this is not a zip archive of plain tensors alone; torch may be able to read it, or know what is wrong.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If the archive says that it has more bytes than the file.
    """
    try:
        with open(path, "rb") as stream:
            if stream.read(4) != b"PK\3\4":
                return None  # written before torch 1.6, or no tensors at all
            with zipfile.ZipFile(stream) as archive:
                _check_sizes(path, archive, os.fstat(stream.fileno()).st_size)
                return _read_archive(archive, stream.fileno())
    except FileNotFoundError:
        raise missing_file_error(path) from None
    except CorruptRecordError:
        raise
    except _BROKEN:
        return None


def _check_sizes(path: str | Path, archive: zipfile.ZipFile, size: int) -> None:
    """Reject an archive whose members unpack to more than the file: torch stores them, and would allocate all of it."""
    declared = sum(info.file_size for info in archive.infolist())
    if declared > size:
        raise CorruptRecordError(
            f"{path}: its members unpack to {declared} bytes, the file has {size}; save it again with torch.save"
        )


def _read_archive(archive: zipfile.ZipFile, fd: int) -> dict[Key, StoredTensor] | None:
    first = archive.infolist()[0].filename.partition("/")[0]
    pickled = archive.NameToInfo[f"{first}/data.pkl"]
    order = archive.NameToInfo.get(f"{first}/byteorder")
    if pickled.compress_type != STORED or pickled.file_size > MAX_PICKLE or f"{first}/constants.pkl" in archive.NameToInfo:
        return None
    if order is not None and archive.read(order) != b"little":
        return None
    start, _ = locate_stored(pickled, fd)
    content = _Unpickler(BytesIO(read_at(fd, pickled.file_size, start))).load()
    if isinstance(content, dict):
        entries: dict[Any, Any] = content
    else:
        entries = dict(enumerate(content)) if isinstance(content, list) else {None: content}
    if not all(isinstance(value, _Tensor) and isinstance(key, (str, int, type(None))) for key, value in entries.items()):
        return None
    return {key: _locate(value, archive, fd, first) for key, value in entries.items()}


def _locate(tensor: _Tensor, archive: zipfile.ZipFile, fd: int, prefix: str) -> StoredTensor:
    storage, shape = tensor.storage, tensor.shape
    dtype = np.dtype(_DTYPES[storage.kind]) if storage.kind in _DTYPES else None
    if dtype is None or not _is_contiguous(shape, tensor.stride):
        return StoredTensor(shape, dtype, storage.dtype_name, None)
    start, size = locate_stored(archive.NameToInfo[f"{prefix}/data/{storage.key}"], fd)
    if (tensor.offset + math.prod(shape)) * dtype.itemsize > size:
        raise ValueError("a tensor ends after its storage")
    return StoredTensor(shape, dtype, storage.dtype_name, start + tensor.offset * dtype.itemsize)


def _is_contiguous(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    expected = 1
    for size, step in zip(reversed(shape), reversed(stride), strict=True):
        if size != 1 and step != expected:
            return 0 in shape
        expected *= size
    return True


# ---- the pickle ----


class _Storage(NamedTuple):
    kind: str
    key: str

    @property
    def dtype_name(self) -> str:
        dtype = _DTYPES.get(self.kind)
        return np.dtype(dtype).name if dtype else self.kind.lower()


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Dict(dict):
    """Replacement of an OrderedDict; the attributes of a `state_dict` are ignored."""

    def __setstate__(self, state: Any) -> None:
        pass


class _Name:
    """A name in the pickle. A call of it describes a tensor; it has no attributes that the pickle could set."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any) -> Any:
        if self.name == _REBUILD:
            return _make_tensor(*args[:4])
        if self.name == _PARAMETER and isinstance(args[0], _Tensor):
            return args[0]
        if self.name == _DICT and not args:
            return _Dict()
        raise pickle.UnpicklingError(f"a call of {self.name}")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError(f"attributes of {self.name}")


def _make_tensor(storage: Any, offset: Any, shape: Any, stride: Any) -> _Tensor:
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, _Storage) or not all(type(n) is int and 0 <= n < 1 << 62 for n in numbers):
        raise pickle.UnpicklingError("no plain tensor")
    return _Tensor(storage, offset, tuple(shape), tuple(stride))


class _Unpickler(pickle._Unpickler):
    """Unpickler in Python: the one in C allocates as much memory as a number in the pickle says."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _NAMES or (module == "torch" and name.endswith("Storage")):
            return _Name(name)
        raise pickle.UnpicklingError(f"it requests {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        kind, storage_type, key = pid[:3]
        if kind != "storage" or not isinstance(storage_type, _Name) or not isinstance(key, str):
            raise pickle.UnpicklingError("no storage")
        return _Storage(storage_type.name.removesuffix("Storage"), key)
