"""Files that every process of a run can map: on disk by path, in memory through the process that holds them.

Anonymous memory of Linux (`memfd`) needs no cleanup and is not limited by the size of `/dev/shm` (64 MB in a container).
Other processes of the same user open it as `/proc/PID/fd/N`, so its pickle is a few numbers under every start method.
"""

from __future__ import annotations

import mmap
import os
import stat
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from karsl.errors import IndexFileError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_SAFE_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no links; opening a planted pipe would block


class SharedFile:
    """An open file that can be pickled to other processes of the machine.

    Args:
        fd: Open file descriptor, owned by this object.
        path: Path of the file, None for anonymous memory.
        remove: Delete `path` when the process that created this object no longer uses it.
        temporary: Memory that ends with the run, not a file that a later run may open.
    """

    def __init__(self, fd: int, path: Path | None = None, *, remove: bool = False, temporary: bool = False) -> None:
        self.fd, self.path, self.temporary = fd, path, temporary
        self.close = weakref.finalize(self, _close, fd, path if remove else None, os.getpid())

    @classmethod
    def in_memory(cls, name: str = "karsl") -> SharedFile:
        """Create temporary memory, or a private temporary file on systems without `memfd`."""
        if hasattr(os, "memfd_create"):
            return cls(os.memfd_create(name), temporary=True)
        fd, path = tempfile.mkstemp(prefix=f"{name}-")
        return cls(fd, Path(path), remove=True, temporary=True)

    @classmethod
    def open(cls, path: Path) -> SharedFile:
        """Open a file of this user for reading.

        Raises:
            FileNotFoundError: If there is no such file.
            IndexFileError: If it is a link or special file, belongs to another user or is writable by others.
        """
        try:
            fd = os.open(path, os.O_RDONLY | _SAFE_FLAGS)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise IndexFileError(f"index file {path} cannot be opened: {error.strerror}") from error
        file = cls(fd, path)
        check_owner(os.fstat(fd), path)
        file.lock_shared()
        return file

    def lock_shared(self) -> None:
        """Hold a shared lock while any process has the file open or mapped, so that no cleanup removes it."""
        if fcntl is not None:
            with suppress(OSError):  # without locks the cleanup cannot lock either, and leaves the file
                fcntl.flock(self.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def map(self) -> mmap.mmap:
        """Map the entire file, read-only and shared."""
        return mmap.mmap(self.fd, 0, access=mmap.ACCESS_READ)

    def write_at(self, offset: int, data: object) -> None:
        """Write all bytes of a buffer at an offset.

        Raises:
            OSError: If the disk is full or the like; the call can be repeated.
        """
        write_at(self.fd, offset, data)

    def __reduce__(self) -> tuple:
        status = os.fstat(self.fd)
        return _reopen, (self.path, self.temporary, os.getpid(), self.fd, status.st_dev, status.st_ino)


def read_at(fd: int, size: int, offset: int) -> bytes:
    """Read bytes of an open file at an offset."""
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    os.lseek(fd, offset, os.SEEK_SET)  # Windows; no other call uses the descriptor
    return os.read(fd, size)


def write_at(fd: int, offset: int, data: object) -> None:
    """Write all bytes of a buffer to an open file at an offset."""
    view = memoryview(data).cast("B")  # type: ignore[arg-type]
    while view:
        if hasattr(os, "pwrite"):
            written = os.pwrite(fd, view, offset)
        else:
            os.lseek(fd, offset, os.SEEK_SET)  # Windows
            written = os.write(fd, view)
        view, offset = view[written:], offset + written


def _reopen(path: Path | None, temporary: bool, pid: int, fd: int, device: int, inode: int) -> SharedFile:
    """Open the file that process `pid` holds as `fd`."""
    through_process = Path(f"/proc/{pid}/fd/{fd}")
    for candidate in [through_process] if path is None else [path, through_process]:
        with suppress(OSError):
            file = SharedFile(os.open(candidate, os.O_RDONLY), path, temporary=temporary)
            status = os.fstat(file.fd)
            if (status.st_dev, status.st_ino) == (device, inode):
                file.lock_shared()
                return file
    if path is not None and not temporary:
        with suppress(FileNotFoundError):
            return SharedFile.open(path)  # rebuilt meanwhile; the reader compares its fingerprint
    where = f"index file {path}" if path else f"shared memory of process {pid}"
    raise IndexFileError(f"{where} is gone: the process that made the dataset ended, or this is another machine")


def check_owner(status: os.stat_result, path: Path) -> None:
    """Accept only regular files that this user owns and no other user can write.

    Raises:
        IndexFileError: If the file is another kind of file, of another user, or writable by others.
    """
    if not stat.S_ISREG(status.st_mode):
        raise IndexFileError(f"index file {path} is not a plain file")
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise IndexFileError(f"index file {path} belongs to another user (uid {status.st_uid})")
    if os.name == "posix" and status.st_mode & 0o022:
        raise IndexFileError(f"index file {path} can be written by other users")


def _close(fd: int, remove: Path | None, owner: int) -> None:
    with suppress(OSError):  # no caller is there to handle an error
        os.close(fd)
    if remove is not None and os.getpid() == owner:
        with suppress(OSError):
            remove.unlink()
