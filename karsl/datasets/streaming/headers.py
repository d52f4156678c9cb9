"""Local copies of the headers of remote array files, so that their clips are listed before a file is downloaded.

A copy is a sparse file of the size of the remote one: it has the headers, and everything else is a hole. Whatever lists
array files reads it as if it were complete.
"""

from __future__ import annotations

import html
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from functools import partial
from io import RawIOBase
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from filelock import FileLock
from xxhash import xxh3_64_intdigest

from karsl.errors import ConfigError, CorruptRecordError, DatasetNotFoundError, FetchError
from karsl.formats.array_clips import is_label_array, strip_suffix
from karsl.io.array_files import HDF5_SUFFIXES
from karsl.io.atomic import atomic_path
from karsl.io.file_index import CLIP_FILES
from karsl.io.npy import BROKEN_ARCHIVE
from karsl.io.remote import NotModified, is_final_error, is_remote, merge_ranges, open_at, read_ranges, with_retries
from karsl.io.remote_cache import FileCache
from karsl.io.shared_file import write_at

_HEAD_BYTES = _TAIL_BYTES = 1 << 16  # a file of this size is copied completely
_MEMBER_BYTES = 1 << 11  # local header of an archive and header of its array
_MAX_DIRECTORY = 64 << 20
_MAX_PAGE = 8 << 20
_THREADS = 8
_COPIES = "headers://"
_LOGGER = logging.getLogger(__name__)
_LINK = re.compile(r"""<a\s[^>]*href\s*=\s*["']([^"']+)["']""", re.IGNORECASE)


Ranges = list[tuple[int, bytes]]


class HeaderCopy(NamedTuple):
    """Copy of the headers of a remote file.

    Attributes:
        url: URL of the file.
        path: Local path of the copy.
        size: Size of the file in bytes.
        mtime_ns: Modification time of the copy.
        head: xxh3 of its first 64 KiB.
    """

    url: str
    path: Path
    size: int
    mtime_ns: int
    head: int

    @property
    def name(self) -> str:
        """Name of the file without its folder."""
        return self.path.name

    def check(self, downloaded: Path) -> None:
        """Check a download, and give it the time of the copy, which the index of its clips has.

        Raises:
            CorruptRecordError: If it is not the file whose headers were read.
        """
        size = downloaded.stat().st_size
        if size != self.size or _head_hash(downloaded) != self.head:
            raise CorruptRecordError(
                f"{self.url}: the download has {size} bytes, its headers were those of a file of {self.size}, or differ; it "
                "changed on the server, start again"
            )
        os.utime(downloaded, ns=(self.mtime_ns, self.mtime_ns))


def list_remote_files(source: str, pattern: str | None, cache: FileCache) -> list[str]:
    """Return the URLs of array files, and of arrays of labels, that a server lists on the page of a folder.

    Args:
        source: URL of the folder.
        pattern: Glob pattern of names. None takes every array file; so does a regular expression, which the scan applies.
        cache: Its retry policy is used.

    Raises:
        DatasetNotFoundError: If the server lists no such file.
        FetchError: If the server does not respond.
    """
    folder = source.rstrip("/")
    try:
        with open_at(f"{folder}/", timeout_s=cache.retry.timeout_s) as response:
            page = response.stream.read(_MAX_PAGE).decode("utf-8", "replace")
    except OSError as error:
        page, reason = "", f" ({error})"
    else:
        reason = ""
    names = {PurePosixPath(unquote(urlsplit(html.unescape(link)).path)).name for link in _LINK.findall(page)}
    arrays = sorted(name for name in names if is_array_name(name))
    glob = None if pattern is None or "(?P<" in pattern else pattern
    matched = [name for name in arrays if glob is None or fnmatch(name, glob)]
    if not matched:
        raise DatasetNotFoundError(
            f"{folder}: the server lists no file {glob or 'of arrays'}{reason}; name the files with braces, such as "
            f"{folder}/shard_{{0000..0012}}.npy"
        )
    labels = [name for name in arrays if is_label_array(strip_suffix(name)) and name not in matched]
    return [f"{folder}/{name}" for name in (*matched, *labels)]


def is_array_name(name: str) -> bool:
    """Return True if a path or URL has the suffix of an array file.

    Example:
        >>> [is_array_name(name) for name in ("a/x.npy", "http://x/a.NPZ?key=1", "a.tar", "a/npy")]
        [True, True, False, False]
    """
    path = urlsplit(name).path if is_remote(name) else name
    return PurePosixPath(path).suffix.lower() in CLIP_FILES and not PurePosixPath(path).name.startswith(".")


def copy_headers(urls: Sequence[str], cache: FileCache) -> list[HeaderCopy]:
    """Copy the headers of files in one remote folder; files that changed on the server are removed from the cache.

    Raises:
        ConfigError: If the files are in several folders.
        FetchError: If one cannot be read.
    """
    folders = sorted({url.partition("?")[0].rpartition("/")[0] for url in urls})
    if len(folders) != 1:
        raise ConfigError(f"array files in {len(folders)} remote folders, {', '.join(folders[:2])}; make a stream of each")
    cache.path(_COPIES + urls[0]).parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(partial(_copy_header, cache=cache), urls))


def _copy_header(url: str, *, cache: FileCache) -> HeaderCopy:
    path = cache.path(_COPIES + url)
    version_file = path.with_name(f".{path.name}.version")
    with FileLock(path.with_name(f".{path.name}.lock")):
        stored_version = version_file.read_text() if version_file.is_file() else ""
        is_known = path.is_file()  # the copy may have been evicted
        try:
            size, version, ranges = _read_headers(url, stored_version if is_known else "", cache)
        except NotModified:  # the copy is that of the server
            pass
        except FetchError as error:
            if not is_known or is_final_error(error):
                raise
            _LOGGER.warning("%s; the version of an earlier start is used", error)
        else:
            if version != stored_version or not (version or (is_known and size == path.stat().st_size)):
                cache.drop(url)
            with atomic_path(path) as temp:
                if ranges is None:
                    _link(cache.get(url), temp)
                else:
                    _write_sparse(temp, size, ranges)
            version_file.write_text(version)
        stat = path.stat()
        return HeaderCopy(url, path, stat.st_size, stat.st_mtime_ns, _head_hash(path))


def _read_headers(url: str, known_version: str, cache: FileCache) -> tuple[int, str, Ranges | None]:
    """Return size and version of a file, and its headers by offset; None if the complete file is needed.

    Raises:
        NotModified: If it has the known version.
        FetchError: If it cannot be read.
    """

    def read() -> tuple[bytes, int | None, str, bool]:
        with open_at(url, stop=_HEAD_BYTES, known_version=known_version, timeout_s=cache.retry.timeout_s) as response:
            content = response.stream.read(_HEAD_BYTES)
            if response.size is not None and len(content) < min(response.size, _HEAD_BYTES):
                raise OSError("the connection was closed early")
            return content, response.size, response.version, response.ranged

    head, size, version, is_ranged = with_retries(read, cache.retry, url)
    if size == len(head):
        return size, version, [(0, head)]
    name = PurePosixPath(urlsplit(url).path)
    suffix = name.suffix.lower()
    if size is None or not is_ranged or is_label_array(name.stem):
        return size or 0, version, None
    if suffix == ".npy":
        return size, version, [(0, head)]
    if suffix in HDF5_SUFFIXES:
        return size, version, None
    ranges = _read_archive(url, size, cache, is_torch=suffix != ".npz")
    return size, version, None if ranges is None else [(0, head), *ranges]


def _read_archive(url: str, size: int, cache: FileCache, *, is_torch: bool) -> Ranges | None:
    """Return the directory of a zip archive, the headers of its members and its labels; None for the complete file."""
    file = _RangeFile(url, size, cache)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except BROKEN_ARCHIVE:
        return None  # the complete file shows what is wrong
    spans = []
    for member in members:
        name = member.filename.removesuffix(".npy")
        is_small = member.compress_size <= _MEMBER_BYTES or name.endswith("/data.pkl")
        stored = member.compress_size if is_small or (not is_torch and is_label_array(name)) else 0
        spans.append((member.header_offset, min(size, member.header_offset + _MEMBER_BYTES + stored)))
    tensors = sum("/data/" in member.filename for member in members)
    needed = sum(stop - start for start, stop in merge_ranges(spans))
    if needed > size // 2 or (is_torch and tensors > 1):  # which tensor has labels is not in its directory
        return None
    contents = read_ranges(url, spans, retry=cache.retry)
    return [*file.ranges, *((start, content) for (start, _), content in zip(spans, contents, strict=True))]


class _RangeFile(RawIOBase):
    """A remote file that is read by ranges, from which zipfile reads a directory.

    Attributes:
        ranges: What was read, by offset.
    """

    def __init__(self, url: str, size: int, cache: FileCache) -> None:
        self._url, self._size, self._retry, self._position = url, size, cache.retry, 0
        self.ranges: Ranges = []
        self._load(max(0, size - _TAIL_BYTES), size)

    def _load(self, start: int, stop: int) -> bytes:
        self.ranges.append((start, read_ranges(self._url, [(start, stop)], retry=self._retry)[0]))
        return self.ranges[-1][1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def read(self, size: int = -1) -> bytes:
        start = min(self._position, self._size)
        stop = self._size if size < 0 else min(start + size, self._size)
        if stop - start > _MAX_DIRECTORY:
            raise ValueError(f"a directory of {stop - start} bytes")
        known = next(((first, part) for first, part in self.ranges if first <= start and stop <= first + len(part)), None)
        content = self._load(start, stop) if known is None else known[1][start - known[0] : stop - known[0]]
        self._position = stop
        return content


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def _write_sparse(path: Path, size: int, ranges: Ranges) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        os.ftruncate(fd, size)
        for start, content in ranges:
            write_at(fd, start, content)
    finally:
        os.close(fd)


def _head_hash(path: Path) -> int:
    with path.open("rb") as stream:
        return xxh3_64_intdigest(stream.read(_HEAD_BYTES))
