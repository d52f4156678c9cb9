"""The folder where index files live: private to one user, one builder per index at a time, never growing without end."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from karsl.datasets.index.writer import TEMP_SUFFIX
from karsl.errors import IndexFileError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

INDEX_SUFFIX = ".idx"
MAX_FILES = 32
MAX_BYTES = 8 << 30
_LOCK_NAME_CHARS = 2  # 256 lock files at most, which are never removed: removing a lock file is a race


class IndexFolder:
    """A folder of index files named by fingerprint.

    Args:
        place: 'auto' is the user's cache folder (XDG_CACHE_HOME on Linux). A path that others own or may write to gets a
            private folder of this user inside, so that two users may name the same path.

    Raises:
        OSError: It cannot be made.
        IndexFileError: It belongs to someone else, who could plant files in it.
    """

    def __init__(self, place: str | Path = "auto") -> None:
        path = platformdirs.user_cache_path("karsl") if place == "auto" else Path(place).expanduser()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(path):
            path = path / f"karsl-{os.geteuid()}"
            path.mkdir(mode=0o700, exist_ok=True)
            if not _is_private(path):
                raise IndexFileError(f"{path} belongs to another user or others may write to it")
        self.path = path

    def index(self, fingerprint: str) -> Path:
        """Where the index of this fingerprint lies, if it does."""
        return self.path / f"{fingerprint}{INDEX_SUFFIX}"

    @contextmanager
    def locked(self, fingerprint: str, *, wait: bool = True) -> Iterator[None]:
        """Hold the right to build this index; the system lets it go when the process dies.

        Raises:
            filelock.Timeout: `wait` is False and another process holds it.
        """
        lock = FileLock(self.path / f"{fingerprint[:_LOCK_NAME_CHARS]}.lock", timeout=-1 if wait else 0)
        with lock:
            yield

    def remove_torn(self, *, held: str) -> None:
        """Remove temporary files of builders that died, which are those whose lock is free.

        Args:
            held: Fingerprint whose lock the caller holds.
        """
        for temp in self.path.glob(f"*{TEMP_SUFFIX}"):
            own = temp.name[:_LOCK_NAME_CHARS] == held[:_LOCK_NAME_CHARS]
            with suppress(OSError, Timeout), nullcontext() if own else self.locked(temp.name, wait=False):
                temp.unlink()

    def prune(self, keep: Path, *, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES) -> None:
        """Remove the least recently used index files beyond the bounds, except `keep` and those some process maps."""
        found = []
        for path in self.path.glob(f"*{INDEX_SUFFIX}"):
            with suppress(OSError):
                facts = path.stat()
                found.append((facts.st_mtime_ns, facts.st_size, path))
        total, count = sum(size for _, size, _ in found), len(found)
        for _, size, path in sorted(found):
            if count <= max_files and total <= max_bytes:
                return
            if path != keep and _unlink_if_unused(path):
                count, total = count - 1, total - size


def private_folder(place: str | Path | None) -> Path | None:
    """The folder of index files; None where there is none, or none that this user may trust."""
    with suppress(OSError, IndexFileError):
        return None if place is None else IndexFolder(place).path
    return None


def _is_private(path: Path) -> bool:
    if os.name != "posix":
        return True
    facts = path.lstat() if path.is_symlink() else path.stat()
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & 0o022


def _unlink_if_unused(path: Path) -> bool:
    """Whoever maps an index holds a shared lock on it, see `SharedFile.mark_used`."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY)
        try:
            if fcntl is not None:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            return True
        finally:
            os.close(fd)
    return False
