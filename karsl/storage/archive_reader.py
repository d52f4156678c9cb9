"""Arrays of many archives, read by place; directories are read once."""

from __future__ import annotations

import warnings
from collections import OrderedDict

import numpy as np

from karsl.errors import CorruptRecordError
from karsl.storage.npz import Place, find_places, read_at, read_member


class ArchiveReader:
    """Reads arrays of archives by place, and finds the places that records do not say: a directory is read once.

    A copy sent to another process starts empty.

    Args:
        max_members: Places to keep; the least recently used archives go first.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "0001.npz"
        >>> np.savez_compressed(path, a=np.arange(3), b=np.arange(4))
        >>> ArchiveReader().read(str(path), "b")
        array([0, 1, 2, 3])
    """

    def __init__(self, max_members: int = 100_000) -> None:
        self.max_members = max_members
        self._known: OrderedDict[str, dict[str, Place]] = OrderedDict()
        self._count = 0

    def read(self, path: str, key: str, place: Place | None = None) -> np.ndarray:
        """One array, by `place` as long as that is true of the file; a file that changed is told by a warning.

        Raises:
            FileNotFoundError: There is no such file.
            CorruptRecordError: See `read_member`.
        """
        if place is not None:
            found = self._read_at(path, key, place)
            if found is not None:
                return found
            warnings.warn(
                f"{path} changed after it was indexed; its clips are now found by name, index it again", stacklevel=2
            )
        for _ in range(2):  # the directory may be known from before the change
            place = self._place(path, key)
            found = None if place is None else self._read_at(path, key, place)
            if found is not None:
                return found
            self._forget(path)
        return read_member(path, key)

    def _read_at(self, path: str, key: str, place: Place) -> np.ndarray | None:
        """The array, or None where the file is another one, also one of the same size and time.

        Raises:
            CorruptRecordError: It is damaged: the archive's directory has this place and this checksum, too.
        """
        try:
            return read_at(path, key, place)
        except CorruptRecordError:
            if self._place(path, key) == place:
                self._forget(path)  # the directory may be known from before the change
                if self._place(path, key) == place:
                    raise
            return None

    def _place(self, path: str, key: str) -> Place | None:
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = find_places(path)
            self._count += len(known)
            while self._count > self.max_members and len(self._known) > 1:
                self._count -= len(self._known.popitem(last=False)[1])
        else:
            self._known.move_to_end(path)
        return known.get(key)

    def _forget(self, path: str) -> None:
        self._count -= len(self._known.pop(path, {}))

    def __reduce__(self) -> tuple:
        return ArchiveReader, (self.max_members,)
