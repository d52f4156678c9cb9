"""Clips inside `.npz` archives: list members by their headers, read one by its key. Nothing stays open."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from karsl.errors import CorruptRecordError

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Member:
    """One array of an archive as its header describes it."""

    key: str
    shape: tuple[int, ...]
    dtype: np.dtype


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
        members = []
        for name in dict.fromkeys(names):
            try:
                members.append(_header(archive, name))
            except _BROKEN as error:
                problems.append(f"{path}: array {name.removesuffix('.npy')!r} cannot be read ({error}); re-export it")
    return members, problems


def read_member(path: str | Path, key: str) -> np.ndarray:
    """Read one array; objects are refused, since they would be unpickled.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptRecordError: No such key, an object array, or damaged bytes (zip's CRC is checked).
    """
    with _archive(path) as archive:
        name = f"{key}.npy"
        if name not in archive.NameToInfo:
            some = ", ".join(n.removesuffix(".npy") for n in archive.namelist()[:3])
            raise CorruptRecordError(
                f"{path}: no array {key!r}; it holds {len(archive.namelist())}, e.g. {some}; "
                "if the file was replaced, run 'karsl prepare' again"
            )
        try:
            with archive.open(name) as stream:
                return npy.read_array(stream, allow_pickle=False)
        except _BROKEN as error:
            raise CorruptRecordError(f"{path}: array {key!r} cannot be read ({error}); re-export it") from error


def _archive(path: str | Path) -> zipfile.ZipFile:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; is data_root right, or was it moved after indexing?")
    if path.stat().st_size == 0:
        raise CorruptRecordError(f"{path}: the file is empty; copy it again or remove it")
    try:
        return zipfile.ZipFile(path)
    except _BROKEN as error:
        head = path.open("rb").read(2)
        what = "a pickle, which is never read" if head[:1] == b"\x80" else f"no readable npz archive ({error})"
        raise CorruptRecordError(f"{path}: {what}; re-export it with np.savez_compressed") from error


def _header(archive: zipfile.ZipFile, name: str) -> Member:
    if not name.endswith(".npy"):
        raise ValueError("not a .npy member")
    with archive.open(name) as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("an object array, which would run pickle")
    return Member(name.removesuffix(".npy"), shape, dtype)
