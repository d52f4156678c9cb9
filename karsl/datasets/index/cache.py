"""Cache of index files: find the index of the same inputs, or build it, once per node."""

from __future__ import annotations

import gc
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from mmengine.logging import print_log

from karsl.datasets.index.record_list import RecordList
from karsl.datasets.index.writer import TEMP_SUFFIX
from karsl.errors import IndexFileError
from karsl.io.cache_folder import user_cache_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

INDEX_SUFFIX = ".idx"
MAX_FILES = 32
MAX_BYTES = 8 << 30

Meta = dict | Callable[[], dict]
MakeRecords = Callable[[], tuple[Iterable[dict], Meta]]

_LOCK_NAME_CHARS = 2  # 256 lock files at most; they are never deleted, since deleting a lock file is a race
_GC_RECORDS = 100_000  # below this it is not worth the 0.1 s of a pass over all objects of PyTorch


def open_or_build(
    fingerprint: str | None,
    make_records: MakeRecords,
    *,
    columns: Mapping[str, str] | None = None,
    cache: str | Path | None = "auto",
) -> tuple[RecordList, dict]:
    """Map the index of these inputs, or build it if no process of this user has built it yet.

    If several processes start together, one builds and the others wait for it. An incomplete, damaged or foreign file is
    never used. Without a usable folder, with a full disk, or with records that only pickle can store, the index is built
    in shared memory of this run, and one log line gives the reason.

    Args:
        fingerprint: Fingerprint of the inputs, hex, see `karsl.datasets.index.fingerprint`. None, if it is unknown, does
            not use a file.
        make_records: Called only if there is nothing to map. Returns the records and their metadata, or a function that
            returns the metadata after the records have been read.
        columns: Columns to store, see `RecordList.build`.
        cache: Folder of index files, 'auto' for the user's cache folder, None for memory of this run.

    Returns:
        The list, and a copy of its metadata.

    Raises:
        OSError: If not even memory can be written. Errors of `make_records` pass through.

    Example:
        >>> records, meta = open_or_build(None, lambda: ([{"label": 3}], {"classes": ("a",)}))
        >>> records[0], meta
        ({'label': 3}, {'classes': ('a',)})
    """
    folder = None if fingerprint is None or cache is None else _open_folder(cache)
    if fingerprint is None or folder is None:
        found = _build(None, "", make_records, columns)
    else:
        found = _open_index(folder, fingerprint) or _build_once(folder, fingerprint, make_records, columns)
    return found, found.meta


def _open_folder(cache: str | Path) -> CacheDir | None:
    try:
        return CacheDir(cache)
    except (OSError, IndexFileError) as error:
        _warn(f"no folder for index files, the index stays in shared memory of this run: {error}")
        return None


def _open_index(folder: CacheDir, fingerprint: str, *, warn: bool = False) -> RecordList | None:
    path = folder.path_of(fingerprint)
    try:
        found = RecordList.open(path, fingerprint)
        found.meta  # noqa: B018 - it is decoded on access, and a damaged one is built again
    except (OSError, IndexFileError) as error:
        if warn and not isinstance(error, FileNotFoundError):
            _warn(f"{error}; it is built again")
        return None
    with suppress(OSError):
        os.utime(path)  # the least recently used are deleted first
    return found


def _build_once(
    folder: CacheDir, fingerprint: str, make_records: MakeRecords, columns: Mapping[str, str] | None
) -> RecordList:
    with ExitStack() as stack:
        try:
            stack.enter_context(folder.locked(fingerprint))
        except (OSError, NotImplementedError) as error:  # read-only, full, or a file system without locks
            _warn(f"{folder.path} cannot be locked, the index stays in shared memory of this run: {error}")
            return _build(None, "", make_records, columns)
        found = _open_index(folder, fingerprint, warn=True)
        if found is None:
            folder.remove_stale(locked=fingerprint)
            found = _build(folder.path_of(fingerprint), fingerprint, make_records, columns)
    folder.prune(folder.path_of(fingerprint))
    return found


def _build(path: Path | None, fingerprint: str, make_records: MakeRecords, columns: Mapping[str, str] | None) -> RecordList:
    records, meta = make_records()
    built = RecordList.build(records, path=path, fingerprint=fingerprint, columns=columns, meta=meta)
    if len(built) > _GC_RECORDS:  # returns free lists, whose few objects hold 400 MiB of a million parsed records
        gc.collect()
    return built


def _warn(text: str) -> None:
    print_log(text, logger="current", level=logging.WARNING)


class CacheDir:
    """A private folder of index files, named by fingerprint.

    Args:
        path: 'auto' is the user's cache folder (XDG_CACHE_HOME on Linux). A folder that others own or may write to gets a
            private subfolder of this user, so that two users may name the same path.

    Raises:
        OSError: If the folder cannot be created.
        IndexFileError: If it belongs to another user, who could plant files in it.
    """

    def __init__(self, path: str | Path = "auto") -> None:
        folder = user_cache_folder() if path == "auto" else Path(path).expanduser()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(folder):
            folder = folder / f"karsl-{os.geteuid()}"
            folder.mkdir(mode=0o700, exist_ok=True)
            if not _is_private(folder):
                raise IndexFileError(f"{folder} belongs to another user or others may write to it")
        self.path = folder

    def path_of(self, fingerprint: str) -> Path:
        """Return the path of the index with this fingerprint, which need not exist."""
        return self.path / f"{fingerprint}{INDEX_SUFFIX}"

    @contextmanager
    def locked(self, fingerprint: str, *, wait: bool = True) -> Iterator[None]:
        """Hold the lock for building this index. The system releases it when the process dies.

        Raises:
            filelock.Timeout: If `wait` is False and another process holds the lock.
        """
        lock = FileLock(self.path / f"{fingerprint[:_LOCK_NAME_CHARS]}.lock", timeout=-1 if wait else 0)
        with lock:
            yield

    def remove_stale(self, *, locked: str) -> None:
        """Delete temporary files of builders that died: those whose lock is free.

        Args:
            locked: Fingerprint whose lock the caller holds.
        """
        for temp in self.path.glob(f"*{TEMP_SUFFIX}"):
            same_lock = temp.name[:_LOCK_NAME_CHARS] == locked[:_LOCK_NAME_CHARS]
            with suppress(OSError, Timeout), nullcontext() if same_lock else self.locked(temp.name, wait=False):
                temp.unlink()

    def prune(self, keep: Path, *, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES) -> None:
        """Delete the least recently used index files beyond the limits, except `keep` and those in use."""
        files = []
        for path in self.path.glob(f"*{INDEX_SUFFIX}"):
            with suppress(OSError):  # deleted by another process
                info = path.stat()
                files.append((info.st_mtime_ns, info.st_size, path))
        total, count = sum(size for _, size, _ in files), len(files)
        for _, size, path in sorted(files):
            if count <= max_files and total <= max_bytes:
                return
            if path != keep and _unlink_if_unused(path):
                count, total = count - 1, total - size


def private_dir(path: str | Path | None) -> Path | None:
    """Return the folder of index files, None if there is none that this user may trust."""
    with suppress(OSError, IndexFileError):  # `open_or_build` logs the reason
        return None if path is None else CacheDir(path).path
    return None


def _is_private(path: Path) -> bool:
    if os.name != "posix":
        return True
    info = path.lstat() if path.is_symlink() else path.stat()
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o022


def _unlink_if_unused(path: Path) -> bool:
    """Delete a file unless a process has it mapped and so holds a shared lock on it, see `SharedFile.lock_shared`."""
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
