"""Some parts of a file that lies elsewhere, at their places in a local file whose other parts are holes."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock
from xxhash import xxh3_64_intdigest

from karsl.errors import CorruptRecordError
from karsl.storage.fetch.download import Retry, open_at
from karsl.storage.fetch.ranges import WholeAnswer, read_ranges, with_retries

_CHUNK = 1 << 18
_LOGGER = logging.getLogger(__name__)


class Span(NamedTuple):
    """Bytes `first` to `stop` of a file, and their checksum."""

    first: int
    stop: int
    xxh3: int


def bring_spans(url: str, path: Path, size: int, spans: Sequence[Span], *, retry: Retry = Retry()) -> int:  # noqa: B008
    """Have some spans of a file here; those that lack are fetched together, or all of it where the server has no ranges.

    A span is here when its checksum says so: nothing else has to be kept, and what a killed process left half written comes
    again. The file's time stays as it is, so that whoever has it mapped need not map it anew.

    Args:
        url: Of the file.
        path: Of the local one; made with holes if absent.
        size: Of the file.
        spans: In any order.
        retry: How often to ask again.

    Returns:
        How many were fetched.

    Raises:
        FetchError: They cannot be had.
        CorruptRecordError: What came is not what its checksum says.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        _use(path)
        if os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)
        lacking = _lacking(fd, spans)
        if not lacking:
            return 0
        try:
            contents = read_ranges(url, [(span.first, span.stop) for span in lacking], retry=retry)
        except WholeAnswer:
            _warn(url.rpartition("/")[0])
            with FileLock(path.with_name(path.name + ".lock")):
                if _lacking(fd, lacking):
                    with_retries(lambda: _bring_whole(url, fd, retry), retry, url)
            contents = [_read(fd, span) for span in lacking]
        for span, content in zip(lacking, contents, strict=True):
            if xxh3_64_intdigest(content) != span.xxh3:
                raise CorruptRecordError(
                    f"{url}: bytes {span.first} to {span.stop} are not what the index says, the checksum differs; copy the "
                    "file to the server again"
                )
            _write(fd, content, span.first)
        _use(path)
    finally:
        os.close(fd)
    return len(lacking)


def _lacking(fd: int, spans: Sequence[Span]) -> list[Span]:
    return [span for span in spans if xxh3_64_intdigest(_read(fd, span)) != span.xxh3]


@cache
def _warn(place: str) -> None:
    """Once for each place and process."""
    _LOGGER.warning("%s: a server without ranges sends whole files; fetch='whole' asks for them at once", place)


def _bring_whole(url: str, fd: int, retry: Retry) -> None:
    with open_at(url, timeout_s=retry.timeout_s) as answer:
        at = 0
        while chunk := answer.stream.read(_CHUNK):
            _write(fd, chunk, at)
            at += len(chunk)
    if answer.size is not None and at != answer.size:
        raise OSError("the connection was closed early")


def _read(fd: int, span: Span) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, span.stop - span.first, span.first)
    os.lseek(fd, span.first, os.SEEK_SET)  # Windows; the descriptor is this call's own
    return os.read(fd, span.stop - span.first)


def _write(fd: int, content: bytes, start: int) -> None:
    if hasattr(os, "pwrite"):
        os.pwrite(fd, content, start)
    else:
        os.lseek(fd, start, os.SEEK_SET)
        os.write(fd, content)


def _use(path: Path) -> None:
    """Say that a file is in use, so that a cache keeps it; the time of its content stays."""
    os.utime(path, ns=(time.time_ns(), 0))
