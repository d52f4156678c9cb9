"""`.npz` archives written clip by clip, so that no archive need fit into memory."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.lib import format as npy


class ArchiveFolder:
    """Writes arrays into archives below a folder; arrays of one archive come one after the other.

    Members are stored, not deflated: they are read by offset, and keypoints hardly shrink. The bytes depend on the arrays
    only, time stamps are constant.

    Args:
        root: Folder of the archives.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> with ArchiveFolder(root) as archives:
        ...     archives.write("hello.npz", "a", np.arange(3))
        >>> np.load(root / "hello.npz")["a"].tolist()
        [0, 1, 2]
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._name: str | None = None
        self._archive: zipfile.ZipFile | None = None

    def write(self, name: str, key: str, array: np.ndarray) -> None:
        """Add an array under `key` to the archive `name`, a path relative to the root."""
        if name != self._name or self._archive is None:
            self.close()
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._name, self._archive = name, zipfile.ZipFile(path, "x", zipfile.ZIP_STORED)
        with self._archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member:
            npy.write_array(member, np.ascontiguousarray(array), allow_pickle=False)

    def close(self) -> None:
        """Finish the archive that is being written."""
        if self._archive is not None:
            self._archive.close()
        self._archive = None

    def __enter__(self) -> ArchiveFolder:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
