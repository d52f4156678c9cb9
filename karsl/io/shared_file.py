"""A file that every process of a run can map: on disk by its path, in memory through the process that holds it.

Anonymous memory of Linux (`memfd`) has no name to clean up and no size limit of `/dev/shm` (64 MB in a container). Other
processes of the same user reach it as `/proc/PID/fd/N`, so a pickle of it is three numbers under every start method.
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

_CAREFUL = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no links; a planted pipe would block for ever


class SharedFile:
    """An open file and the way other processes find it.

    Args:
        fd: Open file descriptor; this object owns it.
        path: Where it lies, None for memory without a name.
        remove: Delete `path` when the process that made this object is done with it.
        of_run: This is memory that ends with the run, not a file that a later run may find.
    """

    def __init__(self, fd: int, path: Path | None = None, *, remove: bool = False, of_run: bool = False) -> None:
        self.fd, self.path, self.of_run = fd, path, of_run
        self.close = weakref.finalize(self, _close, fd, path if remove else None, os.getpid())

    @classmethod
    def in_memory(cls, name: str = "karsl") -> SharedFile:
        """Memory of the run; a private temporary file where the system has no `memfd`."""
        if hasattr(os, "memfd_create"):
            return cls(os.memfd_create(name), of_run=True)
        fd, path = tempfile.mkstemp(prefix=f"{name}-")
        return cls(fd, Path(path), remove=True, of_run=True)

    @classmethod
    def open(cls, path: Path) -> SharedFile:
        """Open a file of ours for reading.

        Raises:
            FileNotFoundError: There is none.
            IndexFileError: It is a link or a special file, belongs to another user, or others may write to it.
        """
        try:
            fd = os.open(path, os.O_RDONLY | _CAREFUL)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise IndexFileError(f"index file {path} cannot be opened: {error.strerror}") from error
        file = cls(fd, path)
        refuse_foreign(os.fstat(fd), path)
        file.mark_used()
        return file

    def mark_used(self) -> None:
        """Hold a shared lock for as long as any process has it open or mapped, so that no clean-up removes it."""
        if fcntl is not None:
            with suppress(OSError):  # file systems without locks: the clean-up cannot lock either, and leaves it
                fcntl.flock(self.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def map(self) -> mmap.mmap:
        """The whole file, read-only and shared."""
        return mmap.mmap(self.fd, 0, access=mmap.ACCESS_READ)

    def write_at(self, offset: int, data: object) -> None:
        """Write all of `data` at `offset`.

        Raises:
            OSError: The disk is full, or the like; the same call may be repeated.
        """
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        while view:
            written = os.pwrite(self.fd, view, offset)
            view, offset = view[written:], offset + written

    def __reduce__(self) -> tuple:
        facts = os.fstat(self.fd)
        return _reach, (self.path, self.of_run, os.getpid(), self.fd, facts.st_dev, facts.st_ino)


def _reach(path: Path | None, of_run: bool, pid: int, fd: int, device: int, inode: int) -> SharedFile:
    """Open, in another process, the file that process `pid` holds as `fd`."""
    places = [Path(f"/proc/{pid}/fd/{fd}")] if path is None else [path, Path(f"/proc/{pid}/fd/{fd}")]
    for place in places:
        with suppress(OSError):
            file = SharedFile(os.open(place, os.O_RDONLY), path, of_run=of_run)
            facts = os.fstat(file.fd)
            if (facts.st_dev, facts.st_ino) == (device, inode):
                file.mark_used()
                return file
    if path is not None and not of_run:
        with suppress(FileNotFoundError):
            return SharedFile.open(path)  # rebuilt meanwhile; its fingerprint decides
    where = f"index file {path}" if path else f"shared memory of process {pid}"
    raise IndexFileError(f"{where} is gone: the process that made the dataset ended, or this is another machine")


def refuse_foreign(facts: os.stat_result, path: Path) -> None:
    """Trust only plain files that this user owns and nobody else may write."""
    if not stat.S_ISREG(facts.st_mode):
        raise IndexFileError(f"index file {path} is not a plain file")
    if hasattr(os, "geteuid") and facts.st_uid != os.geteuid():
        raise IndexFileError(f"index file {path} belongs to another user (uid {facts.st_uid})")
    if os.name == "posix" and facts.st_mode & 0o022:
        raise IndexFileError(f"index file {path} can be written by other users")


def _close(fd: int, remove: Path | None, owner: int) -> None:
    with suppress(OSError):
        os.close(fd)
    if remove is not None and os.getpid() == owner:
        with suppress(OSError):
            remove.unlink()
