"""Bounded folder of downloaded files, shared by all processes of a machine; entire files or sparse ones."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

from karsl.errors import AnnotationError, ConfigError, CorruptRecordError, FetchError, PackError
from karsl.io.atomic import atomic_path, waiting_lock
from karsl.io.cache_folder import user_cache_folder
from karsl.io.http import public_url
from karsl.io.remote import (
    DEFAULT_RETRY,
    LIST_BYTES,
    NotModified,
    RangesNotSupported,
    Retry,
    download,
    is_final_error,
    is_remote,
    local_path,
    read_chunks,
    read_file,
    read_ranges,
)
from karsl.io.shared_file import read_at, write_at

DEFAULT_BYTES = 20 << 30
GRACE_S = 60.0
"""Seconds during which a used file counts as being read, by any process, and is not evicted."""
SPARSE = ".clips"
"""Suffix of files of which only some byte ranges are downloaded."""
_PART, _LOCK, _VERSION = ".part", ".lock", ".version"
LIST_BYTES_VARIABLE = "KARSL_MAX_LIST_BYTES"
"""Environment variable of the maximum size of a list of files on a server: manifest, annotations, index."""
_MAX_SPAN_BYTES = 1 << 30  # a clip of some hours
_TOUCH_NS = 10**9  # resolution of the time of the last use
_LOGGER = logging.getLogger(__name__)


class FileCache:
    """Cache of remote files that evicts the least recently used ones.

    Files used within the last minute are being read and stay, even if the cache is then larger than its bound. A file gets
    its name when it is complete. One process downloads it while the others wait; an interrupted download is resumed. An
    evicted file stays readable for processes that have it mapped.

    Args:
        folder: Folder of the cache; None is the user's cache folder.
        max_bytes: Maximum size of all files in bytes; the requested file stays in any case.
        retry: Retry policy of downloads.

    Raises:
        ConfigError: If `max_bytes` is less than 1.

    Example:
        >>> import tempfile
        >>> cache = FileCache(tempfile.mkdtemp())
        >>> file = cache.get("x://there/a", fetch=lambda url, target: target.write_bytes(b"12345678"))
        >>> file.name, file == cache.path("x://there/a"), cache.has("x://there/b")
        ('a', True, False)
    """

    def __init__(
        self, folder: str | Path | None = None, *, max_bytes: int = DEFAULT_BYTES, retry: Retry = DEFAULT_RETRY
    ) -> None:
        if max_bytes < 1:
            raise ConfigError(f"max_bytes={max_bytes} of a cache; expected at least 1")
        self.folder = Path(folder).expanduser() if folder is not None else user_cache_folder() / "shards"
        self.max_bytes, self.retry = max_bytes, retry
        self._pinned_since_ns = 0

    def path(self, url: str) -> Path:
        """Return the local path of a remote file; files of one remote folder share a local folder."""
        folder, _, name = url.partition("?")[0].rpartition("/")
        query = url[len(folder) + len(name) + 1 :]
        return self.folder / xxh3_64_hexdigest(f"{folder} {query}".encode(errors="surrogatepass")) / name

    def get(
        self,
        url: str,
        *,
        fetch: Callable[[str, Path], object] | None = None,
        check: Callable[[Path], None] | None = None,
        size: int | None = None,
    ) -> Path:
        """Return the local copy of a file, downloaded first if it is not cached.

        Args:
            url: URL of the file; a local path is returned as it is.
            fetch: `fetch(url, target)` writes the file; None downloads it.
            check: `check(target)` raises if the content is wrong; the file is removed then.
            size: Size of the file in bytes, if it is known. The server may not send more, nor more than the size of the
                cache or its default, whichever is larger.

        Raises:
            FetchError: If the file cannot be downloaded.
        """
        if fetch is None and not is_remote(url):
            return Path(local_path(url))
        path = self.path(url)
        if self.has(url):
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with waiting_lock(path.with_name(path.name + _LOCK)):
            if not self.has(url):
                part = path.with_name(path.name + _PART)
                if fetch is None:
                    limit = max(self.max_bytes, DEFAULT_BYTES)
                    download(url, part, retry=self.retry, max_bytes=limit if size is None else min(size, limit))
                else:
                    fetch(url, part)
                if check is not None:
                    try:
                        check(part)
                    except BaseException:
                        part.unlink(missing_ok=True)
                        raise
                os.replace(part, path)
                self.has(url)  # marks it as used: the part may be of an earlier day
        self.evict(exclude=(path,))
        return path

    def revalidate(self, url: str) -> tuple[Path, bytes]:
        """Update a small file; if the server does not respond, the cached version is used.

        Returns:
            The local path, and the previous content, empty if it was not cached.

        Raises:
            FetchError: If the file does not exist, or the server does not respond and nothing is cached.
        """
        path, before = self.path(url), b""
        version_file = path.with_name(path.name + _VERSION)
        path.parent.mkdir(parents=True, exist_ok=True)
        with waiting_lock(path.with_name(path.name + _LOCK)), suppress(NotModified):
            if self.has(url):
                before = path.read_bytes()
            known_version = version_file.read_text() if before and version_file.exists() else ""
            try:
                content, version = read_file(url, known_version, self.retry, max_bytes=max_list_bytes())
            except FetchError as error:
                if not before or is_final_error(error):
                    raise
                _LOGGER.warning("%s; the version of an earlier start is used", error)
            else:
                with atomic_path(path) as temp:
                    temp.write_bytes(content)
                version_file.write_text(version)
        return path, before

    @contextmanager
    def drop_if_unreadable(self, url: str) -> Iterator[None]:
        """Remove a remote file that the block cannot read, so that the next start downloads it again, and report that."""
        try:
            yield
        except (AnnotationError, CorruptRecordError, PackError) as error:
            if not is_remote(url):
                raise
            self.drop(url)
            message = str(error).replace(str(self.path(url)), url)
            raise type(error)(f"{message}; the next start asks the server for it again") from error

    def drop(self, url: str) -> None:
        """Remove a file that differs from the remote one, with everything derived from it.

        Raises:
            FetchError: If another process has it mapped, on Windows.
        """
        path = self.path(url)
        for file in path.parent.glob(f"{path.name}*"):
            if file.suffix in (path.suffix, _PART, _VERSION, SPARSE):
                try:
                    file.unlink(missing_ok=True)
                except OSError as error:
                    raise FetchError(
                        f"{url} must be downloaded again, but {file} cannot be removed ({error}); stop the process using it"
                    ) from error

    def has(self, url: str) -> bool:
        """Return True if a file is cached, and mark it as used."""
        path = self.path(url)
        try:
            stat, now = path.stat(), time.time_ns()
            if now - stat.st_atime_ns > _TOUCH_NS:
                os.utime(path, ns=(now, stat.st_mtime_ns))  # readers that have it mapped compare the modification time
        except FileNotFoundError:
            return False
        except OSError:  # read-only cache of another user
            return path.exists()
        return True

    @contextmanager
    def pin(self) -> Iterator[None]:
        """Keep all files that this process uses within the block, however long its downloads take."""
        self._pinned_since_ns = time.time_ns()
        try:
            yield
        finally:
            self._pinned_since_ns = 0

    def evict(self, *, exclude: Sequence[Path] = ()) -> int:
        """Remove the least recently used files until the others fit; return the bytes that remain."""
        unused_ns = (self._pinned_since_ns or time.time_ns()) - GRACE_S * 1e9
        with waiting_lock(self.folder / _LOCK):
            files = []
            for path in self.folder.glob("*/*"):
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    files.append((stat.st_atime_ns, _disk_bytes(stat), path))
            total = sum(size for _, size, _ in files)
            for used, size, path in sorted(files):
                if total <= self.max_bytes:
                    break
                if used > unused_ns or path in exclude or path.suffix in (_LOCK, _PART, _VERSION):
                    continue
                with suppress(OSError):  # on Windows a mapped file cannot be removed yet
                    path.unlink(missing_ok=True)
                    total -= size
        return total


def max_list_bytes() -> int:
    """Return the maximum size in bytes of a remote list of files, which is read into memory.

    Raises:
        ConfigError: If `KARSL_MAX_LIST_BYTES` is not a number.
    """
    text = os.environ.get(LIST_BYTES_VARIABLE) or str(LIST_BYTES)
    if not text.isdecimal():
        raise ConfigError(f"{LIST_BYTES_VARIABLE}={text!r}; expected a number of bytes")
    return int(text)


def _disk_bytes(stat: os.stat_result) -> int:
    """Return the allocated size of a file, without its holes."""
    return stat.st_blocks * 512 if hasattr(stat, "st_blocks") else stat.st_size


class Span(NamedTuple):
    """Byte range `start` to `stop` of a file, and its xxh3."""

    start: int
    stop: int
    xxh3: int


def fetch_ranges_sparse(url: str, path: Path, size: int, spans: Sequence[Span], *, retry: Retry = DEFAULT_RETRY) -> int:
    """Download byte ranges of a remote file into a sparse local one; the entire file if the server has no ranges.

    Checksums decide which ranges are already there, so ranges that a killed process left half written are downloaded again.
    The modification time of the file stays the same, so that readers need not map it again.

    Args:
        url: URL of the file.
        path: Local path, created with holes if absent.
        size: Size of the file in bytes.
        spans: Ranges in any order.
        retry: Retry policy.

    Returns:
        Number of downloaded ranges.

    Raises:
        FetchError: If a range cannot be downloaded.
        CorruptRecordError: If a range is outside the file or implausibly large, or has another checksum.
    """
    wrong = next((s for s in spans if not (0 <= s.start < s.stop <= size and s.stop - s.start <= _MAX_SPAN_BYTES)), None)
    if wrong is not None:
        raise CorruptRecordError(
            f"{public_url(url)}: bytes {wrong.start} to {wrong.stop} are no clip in a file of {size:,} bytes; write its "
            "index again"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        _mark_used(path)
        if os.fstat(fd).st_size < size:
            try:
                os.ftruncate(fd, size)
            except (OSError, OverflowError) as error:
                raise FetchError(
                    f"{public_url(url)}: no room for a file of {size:,} bytes ({error}); is its index right?"
                ) from error
        absent = _absent_spans(fd, spans)
        if not absent:
            return 0
        try:
            contents = read_ranges(url, [(span.start, span.stop) for span in absent], retry=retry)
        except RangesNotSupported:
            _warn_without_ranges(url.rpartition("/")[0])
            with waiting_lock(path.with_name(path.name + _LOCK)):
                if _absent_spans(fd, absent):
                    read_chunks(url, lambda chunk, offset: write_at(fd, offset, chunk), retry, max_bytes=size)
            contents = [_read(fd, span) for span in absent]
        for span, content in zip(absent, contents, strict=True):
            if xxh3_64_intdigest(content) != span.xxh3:
                raise CorruptRecordError(
                    f"{url}: bytes {span.start} to {span.stop} are not what the index says, the checksum differs; copy the "
                    "file to the server again"
                )
            write_at(fd, span.start, content)
        _mark_used(path)
    finally:
        os.close(fd)
    return len(absent)


def _absent_spans(fd: int, spans: Sequence[Span]) -> list[Span]:
    return [span for span in spans if xxh3_64_intdigest(_read(fd, span)) != span.xxh3]


@cache
def _warn_without_ranges(folder: str) -> None:
    """Warn once per remote folder and process."""
    _LOGGER.warning("%s: the server has no byte ranges and sends entire files; use fetch='whole'", folder)


def _read(fd: int, span: Span) -> bytes:
    return read_at(fd, span.stop - span.start, span.start)


def _mark_used(path: Path) -> None:
    """Set the time of the last use, for eviction, and a constant modification time."""
    os.utime(path, ns=(time.time_ns(), 0))
