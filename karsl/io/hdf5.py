"""Arrays in HDF5 files: list them, read one or one row of it. Needs the extra `[h5]`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import CorruptRecordError, missing_extra
from karsl.io.npy import missing_file_error
from karsl.io.npz import Member


def list_datasets(path: str | Path) -> tuple[list[Member], list[str]]:
    """List the arrays of a file in the order of their names, and one sentence per problem. Values are not read.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If it is not an HDF5 file.
        MissingExtraError: If h5py is not installed.
    """
    members: list[Member] = []

    def add(name: str, node: Any) -> None:
        if hasattr(node, "dtype"):
            members.append(Member(name, tuple(node.shape or ()), node.dtype))

    with _open(path) as file:
        file.visititems(add)
    return members, []


def read_dataset(path: str | Path, key: str, rows: int | slice = slice(None)) -> np.ndarray:
    """Read an array, or some of its rows, by its key.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If there is no such array or row, or the array cannot be read.
        MissingExtraError: If h5py is not installed.
    """
    with _open(path) as file:
        node = _node(file, path, key)
        if node.dtype.kind == "O":
            raise CorruptRecordError(f"{path}: array {key!r} holds objects, not numbers; export it again")
        try:
            return np.asarray(node[rows] if node.shape else node[()])
        except (OSError, ValueError, IndexError) as error:
            raise CorruptRecordError(f"{path}: array {key!r} cannot be read ({error}); export it again") from error


class Dataset:
    """One array of a file, of which rows are read by index. The file is open during a read only.

    Args:
        path: Path of the file.
        key: Name of the array.
    """

    def __init__(self, path: str | Path, key: str) -> None:
        self.path, self.key = path, key

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        with _open(self.path) as file:
            return tuple(_node(file, self.path, self.key).shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice) -> np.ndarray:
        return read_dataset(self.path, self.key, rows)


def _node(file: Any, path: str | Path, key: str) -> Any:
    node = file.get(key)
    if not hasattr(node, "dtype"):
        raise CorruptRecordError(f"{path}: no array {key!r}; it holds {', '.join(list(file)[:3])}; index it again")
    return node


@contextmanager
def _open(path: str | Path) -> Iterator[Any]:
    try:
        import h5py
    except ImportError:
        raise missing_extra("h5", "h5py") from None
    if not Path(path).is_file():
        raise missing_file_error(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise CorruptRecordError(f"{path}: no readable HDF5 file ({error}); copy or export it again") from error
    with file:
        yield file
