"""Positions of arrays in files, from headers alone, so that one row is read without the rest of its file."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from karsl.errors import CorruptRecordError
from karsl.io.npy import ShortHeader, missing_file_error, parse_header, read_header
from karsl.io.npz import STORED, find_member
from karsl.io.shared_file import read_at
from karsl.io.torch_zip import Key, list_stored_tensors


class StoredArray(NamedTuple):
    """One C-contiguous, uncompressed array in a file.

    Attributes:
        start: Offset of its first byte.
        shape, dtype: Shape and dtype. All of it is inside the file.
    """

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def row(self, index: int, where: str) -> StoredArray:
        """Return the position of one row, such as a clip of a stack.

        Args:
            index: Number of the row; a negative one is not accepted.
            where: Name of the array in errors.

        Raises:
            CorruptRecordError: If there is no such row.

        Example:
            >>> StoredArray(128, (5, 2, 3), np.dtype("float32")).row(2, "a.npy")
            StoredArray(start=176, shape=(2, 3), dtype=dtype('float32'))
        """
        if not self.shape or not 0 <= index < self.shape[0]:
            raise CorruptRecordError(f"{where}: no row {index} in an array of shape {self.shape}; index the file again")
        row = StoredArray(self.start, self.shape[1:], self.dtype)
        return row._replace(start=self.start + index * row.nbytes)


def locate_array(path: str | Path, key: Key = None) -> StoredArray | None:
    """Find an array in a file by its header; no number is read.

    Args:
        path: A `.npy`, `.npz` or `.pt` file.
        key: Name of the array in an `.npz` or in a dict of tensors, index in a list of tensors. None is the only array;
            ignored for `.npy`.

    Returns:
        None if the array cannot be addressed: compressed, Fortran order, a tensor that is not contiguous, a file written
        before torch 1.6, or one of another suffix.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If the file is damaged, or has no such array.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "stack.npy"
        >>> np.save(path, np.zeros((5, 2, 3), np.float32))
        >>> locate_array(path)
        StoredArray(start=128, shape=(5, 2, 3), dtype=dtype('float32'))
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        return _locate_npy(path)
    if suffix == ".npz":
        return _locate_member(path, key)
    return _locate_tensor(path, key) if suffix in (".pt", ".pth") else None


def _locate_npy(path: str | Path) -> StoredArray | None:
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            header = read_header(stream)
    except FileNotFoundError:
        raise missing_file_error(path) from None
    except ValueError as error:
        what = "the file is empty" if not size else f"no readable .npy file ({error})"
        raise CorruptRecordError(f"{path}: {what}; export it again or remove it") from error
    return _checked(header, 0, size, str(path))


def _locate_member(path: str | Path, key: Key) -> StoredArray | None:
    name, byte_range, head = find_member(path, key)
    if byte_range is None or byte_range.method != STORED:
        return None
    where = f"{path}: array {name!r}"
    try:
        try:
            header = parse_header(head)
        except ShortHeader as short:
            with open(path, "rb") as stream:
                header = parse_header(read_at(stream.fileno(), min(short.args[0], byte_range.stored), byte_range.start))
    except ValueError as error:
        raise CorruptRecordError(f"{where} cannot be read ({error}); re-export it") from error
    return _checked(header, byte_range.start, byte_range.stored, where)


def _checked(header: tuple[tuple[int, ...], bool, np.dtype, int], start: int, size: int, where: str) -> StoredArray | None:
    shape, fortran, dtype, offset = header
    array = StoredArray(start + offset, shape, dtype)
    if size - offset != array.nbytes:
        raise CorruptRecordError(
            f"{where}: {size - offset} bytes of numbers where the header says {array.nbytes}; export it again"
        )
    return None if fortran and sum(n > 1 for n in shape) > 1 else array


def _locate_tensor(path: str | Path, key: Key) -> StoredArray | None:
    tensors = list_stored_tensors(path)
    if tensors is None:
        return None
    if key is None and len(tensors) == 1:
        key = next(iter(tensors))
    if key not in tensors:
        keys = ", ".join(map(repr, list(tensors)[:3]))
        raise CorruptRecordError(f"{path}: no tensor {key!r}; it holds {len(tensors)}, e.g. {keys}; index the file again")
    tensor = tensors[key]
    if tensor.start is None or tensor.dtype is None:
        return None
    return StoredArray(tensor.start, tensor.shape, tensor.dtype)
