"""A folder of files from elsewhere, bounded in bytes, shared by all processes of a machine."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError

import platformdirs
from filelock import FileLock
from xxhash import xxh3_64_hexdigest

from karsl.errors import AnnotationError, ConfigError, CorruptRecordError, FetchError, PackError
from karsl.storage.atomic import atomic_path
from karsl.storage.fetch.download import GIVE_UP, Retry, Unchanged, download, is_remote, open_at
from karsl.storage.fetch.ranges import with_retries

DEFAULT_BYTES = 20 << 30
_PART, _LOCK, _VERSION, SPARSE = ".part", ".lock", ".version", ".clips"
_LOGGER = logging.getLogger(__name__)
GRACE_S = 60.0  # what was used a moment ago is being read, by this process or another: it stays, whatever the bound
_TOUCH_NS = 10**9  # how exactly the last use of a file is known


class FileCache:
    """Brings files here and lets the longest unused go.

    What was used within the last minute stays, for it is being read: a bound below what is read at a time is not kept. A
    file is under its name only when it is whole. One process brings it, the others wait; what broke off goes on where it
    stopped. A file that is let go while somebody has it mapped stays readable for him.

    Args:
        folder: None is the user's cache folder.
        max_bytes: Of all files in it; the one asked for stays in any case.
        retry: How often to ask a server again.

    Example:
        >>> import tempfile
        >>> cache = FileCache(tempfile.mkdtemp())
        >>> file = cache.get("x://there/a", fetch=lambda url, part: part.write_bytes(b"12345678"))
        >>> file.name, file == cache.path("x://there/a"), cache.has("x://there/b")
        ('a', True, False)
    """

    def __init__(self, folder: str | Path | None = None, *, max_bytes: int = DEFAULT_BYTES, retry: Retry = Retry()) -> None:  # noqa: B008
        if max_bytes < 1:
            raise ConfigError(f"max_bytes={max_bytes} of a cache; expected at least 1")
        self.folder = Path(folder).expanduser() if folder is not None else platformdirs.user_cache_path("karsl") / "shards"
        self.max_bytes, self.retry = max_bytes, retry
        self._held_ns = 0

    def path(self, url: str) -> Path:
        """Where a file lies or will lie; files of one place elsewhere lie in one folder here."""
        place, _, name = url.partition("?")[0].rpartition("/")
        query = url[len(place) + len(name) + 1 :]
        return self.folder / xxh3_64_hexdigest(f"{place} {query}".encode()) / name

    def get(
        self, url: str, *, fetch: Callable[[str, Path], object] | None = None, check: Callable[[Path], None] | None = None
    ) -> Path:
        """The file here, brought first if it is not.

        Args:
            url: Of the file; a path of this machine is itself.
            fetch: `fetch(url, part)` writes it; None downloads.
            check: Raises if the file is not what it should be; it is removed then.

        Raises:
            FetchError: It cannot be had.
        """
        if fetch is None and not is_remote(url):
            return Path(url.removeprefix("file://"))
        path = self.path(url)
        if self.has(url):
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + _LOCK)):
            if not self.has(url):
                part = path.with_name(path.name + _PART)
                (fetch or self._download)(url, part)
                if check is not None:
                    try:
                        check(part)
                    except BaseException:
                        part.unlink(missing_ok=True)
                        raise
                os.replace(part, path)
                self.has(url)  # it is used from now on; its part may be of an earlier day
        self.shrink(keep=(path,))
        return path

    def fresh(self, url: str) -> tuple[Path, bytes]:
        """A small file as it is there now, and what it was here before; where nobody answers it is what it was.

        Args:
            url: Of the file.

        Raises:
            FetchError: It is not there, or nobody answers and it never was here.
        """
        path, before = self.path(url), b""
        note = path.with_name(path.name + _VERSION)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + _LOCK)), suppress(Unchanged):
            if self.has(url):
                before = path.read_bytes()
            known = note.read_text() if before and note.exists() else ""
            try:
                content, version = with_retries(lambda: _read_whole(url, known, self.retry), self.retry, url)
            except FetchError as error:
                if not before or _is_final(error.__cause__):
                    raise
                _LOGGER.warning("%s; what came at an earlier start is used", error)
            else:
                with atomic_path(path) as part:
                    part.write_bytes(content)
                note.write_text(version)
        return path, before

    @contextmanager
    def reading(self, url: str) -> Iterator[None]:
        """What cannot be read does not stay: the next start asks the server again, and the error names the URL.

        Args:
            url: Of the file that the block reads; nothing happens to a path of this machine.
        """
        try:
            yield
        except (AnnotationError, CorruptRecordError, PackError) as error:
            if not is_remote(url):
                raise
            self.drop(url)
            said = str(error).replace(str(self.path(url)), url)
            raise type(error)(f"{said}; the next start asks the server for it again") from error

    def drop(self, url: str) -> None:
        """Remove a file that is not, or no longer, the one elsewhere, and what came of it.

        Raises:
            FetchError: Another process has it mapped, on Windows.
        """
        path = self.path(url)
        for file in path.parent.glob(f"{path.name}*"):
            if file.suffix in (path.suffix, _PART, _VERSION, SPARSE):
                try:
                    file.unlink(missing_ok=True)
                except OSError as error:
                    raise FetchError(
                        f"{url} has to come again, but {file} cannot be removed ({error}); end what reads it"
                    ) from error

    def _download(self, url: str, part: Path) -> None:
        download(url, part, retry=self.retry)

    def has(self, url: str) -> bool:
        """Whether a file is here; if so, it counts as used now."""
        path = self.path(url)
        try:
            told, now = path.stat(), time.time_ns()
            if now - told.st_atime_ns > _TOUCH_NS:
                os.utime(
                    path, ns=(now, told.st_mtime_ns)
                )  # the time of its content stays: whoever has it mapped looks at it
        except FileNotFoundError:
            return False
        except OSError:  # a cache of somebody else, read only
            return path.exists()
        return True

    @contextmanager
    def holding(self) -> Iterator[None]:
        """What this process uses from now on stays until the end of the block, however long transfers in it take."""
        self._held_ns = time.time_ns()
        try:
            yield
        finally:
            self._held_ns = 0

    def shrink(self, *, keep: Sequence[Path] = ()) -> int:
        """Remove the longest unused until the rest fits; gives the bytes that are left."""
        unused_ns = (self._held_ns or time.time_ns()) - GRACE_S * 1e9
        with FileLock(self.folder / _LOCK):
            files = []
            for path in self.folder.glob("*/*"):
                with suppress(FileNotFoundError):
                    told = path.stat()
                    files.append((told.st_atime_ns, _disk_bytes(told), path))
            total = sum(size for _, size, _ in files)
            for used, size, path in sorted(files):
                if total <= self.max_bytes:
                    break
                if used > unused_ns or path in keep or path.suffix in (_LOCK, _PART, _VERSION):
                    continue
                with suppress(OSError):  # on Windows a file that is mapped stays until a later time
                    path.unlink(missing_ok=True)
                    total -= size
        return total


def _disk_bytes(told: os.stat_result) -> int:
    """What a file takes; its holes take nothing."""
    return told.st_blocks * 512 if hasattr(told, "st_blocks") else told.st_size


def _read_whole(url: str, known: str, retry: Retry) -> tuple[bytes, str]:
    with open_at(url, known=known, timeout_s=retry.timeout_s) as answer:
        content = answer.stream.read()
        if answer.size is not None and len(content) != answer.size:
            raise OSError("the connection was closed early")
        return content, answer.version


def _is_final(cause: BaseException | None) -> bool:
    """Whether somebody answered that there is no such file."""
    return isinstance(cause, FileNotFoundError) or (isinstance(cause, HTTPError) and cause.code in GIVE_UP)
