"""Atomic output files and folders, locks for a single writer, and errors about a full disk.

A reader never sees an incomplete file, and a killed process leaves nothing that looks like a complete one.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from karsl.errors import DISK_FULL, ConfigError, PackError

_LOCK = "lock"
_LOCK_ATTEMPTS = 10
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # of flock, on network and FUSE file systems


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; move it there if the block succeeds, delete it if not.

    Missing parent folders are created.

    Example:
        >>> out = Path(tempfile.mkdtemp()) / "a" / "hello.txt"
        >>> with atomic_path(out) as temp:
        ...     _ = temp.write_text("hello")
        >>> out.read_text(), len(list(out.parent.iterdir()))
        ('hello', 1)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # process ids are not unique across containers or the nodes of a shared file system
    temp = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield temp
        sync_file(temp)
        os.replace(temp, path)
        sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):  # on a disk that cannot be written, report the first error
            temp.unlink()
        raise


@contextmanager
def atomic_output(path: Path, *, is_file: bool = False) -> Iterator[Path]:
    """Yield a path in a locked temporary folder; move it to `path` if the block succeeds, delete it if not.

    Remainders of killed writers of the same target are removed first. The operating system releases the lock when the
    process dies.

    Args:
        path: The final path: absent, an empty folder, or a file to replace.
        is_file: The block writes a file. Otherwise it receives an empty folder.

    Raises:
        ConfigError: If another process of this user is writing the same target, or files in its folder cannot be locked.

    Example:
        >>> out = Path(tempfile.mkdtemp()) / "clips"
        >>> with atomic_output(out) as temp:
        ...     _ = (temp / "a.txt").write_text("hello")
        >>> [p.name for p in out.parent.rglob("*")]
        ['clips', 'a.txt']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder, lock = _locked_folder(path)
    temp = folder / f"new{path.suffix}"
    try:
        _remove_stale(path, folder)
        if not is_file:
            temp.mkdir()
        yield temp
        if is_file:
            sync_file(temp)
        os.replace(temp, path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold the right to write a file or folder; the operating system releases it when the process dies.

    Raises:
        PackError: If another process holds it or the parent folder is not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise PackError(f"another process is writing {path}; wait until it is done, or end it") from None
    except OSError as error:
        reason = _no_locks(error) if error.errno in _NO_LOCKS else f"it cannot be written ({error})"
        raise PackError(f"{path.parent}: {reason}; choose another folder") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock file `path`, and hold it.

    Raises:
        ConfigError: If the file system has no locks.
    """
    try:
        lock = FileLock(path)
        lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise ConfigError(f"{path.parent}: {_no_locks(error)}; name a folder of another file system") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def disk_full_errors(path: Path, *, resumable: bool = False) -> Iterator[None]:
    """Turn a disk-full error of the operating system into a `PackError` with a remedy.

    Args:
        path: Output that the message names.
        resumable: The message adds that finished shards are kept for the next run.

    Raises:
        PackError: If the block fails because the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        kept = ": finished shards are kept" if resumable else ""
        raise PackError(
            f"no room left for {path} ({os.strerror(error.errno or 0)}); free space and run the same command again{kept}"
        ) from error


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder to the disk, if the system flushes folders.

    Raises:
        OSError: If the disk reports an error.
    """
    try:
        fd = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders and writes their entries itself
        return
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL):  # file systems that flush only files
            raise
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Flush the content of a file to the disk."""
    with path.open("rb+") as stream:  # Windows syncs only files that are open for writing
        os.fsync(stream.fileno())


def _no_locks(error: OSError) -> str:
    return f"its file system has no file locks ({error.strerror})"


def _locked_folder(path: Path) -> tuple[Path, FileLock]:
    """Create a temporary folder next to a target; return it and its acquired lock."""
    for _ in range(_LOCK_ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        lock = FileLock(folder / _LOCK, timeout=0)
        try:
            lock.acquire()
            if (folder / _LOCK).exists():
                return folder, lock
            lock.release()
        except (Timeout, FileNotFoundError):
            pass  # another process took it for stale before it was locked
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            shutil.rmtree(folder, ignore_errors=True)
            break
        shutil.rmtree(folder, ignore_errors=True)
    raise ConfigError(f"{path}: its folder does not support file locks; write to another file system")


def _remove_stale(path: Path, own: Path) -> None:
    """Remove the temporary folders of dead writers; raise if one of them is alive."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.\w{{8}}\.part")
    for folder in path.parent.iterdir():
        # unlike Path.is_file, os.path.isfile is False in a folder of another user, which cannot be removed
        # by name: since Python 3.12 `own` is absolute although the target may be relative
        if folder.name == own.name or not pattern.fullmatch(folder.name) or not os.path.isfile(folder / _LOCK):
            continue
        try:
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except Timeout:
            raise ConfigError(f"another process is writing {path}; wait until it is done, or end it") from None
        except OSError:
            continue  # not writable for this user, or removed meanwhile
