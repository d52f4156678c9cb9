"""Some parts of a file that lies elsewhere, at their places in a local file whose other parts are holes."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from karsl.errors import CorruptRecordError
from karsl.storage.remote import Retry
from karsl.storage.remote_ranges import read_ranges


class Span(NamedTuple):
    """Bytes `first` to `stop` of a file, and their checksum."""

    first: int
    stop: int
    xxh3: int


def bring_spans(url: str, path: Path, size: int, spans: Sequence[Span], *, retry: Retry = Retry()) -> int:  # noqa: B008
    """Have some spans of a file here; those that lack are fetched together.

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
        RemoteError: They cannot be had.
        CorruptRecordError: What came is not what its checksum says.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _use(path)
        if os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)
        lacking = [
            span for span in spans if xxh3_64_intdigest(os.pread(fd, span.stop - span.first, span.first)) != span.xxh3
        ]
        if not lacking:
            return 0
        contents = read_ranges(url, [(span.first, span.stop) for span in lacking], retry=retry)
        for span, content in zip(lacking, contents, strict=True):
            if xxh3_64_intdigest(content) != span.xxh3:
                raise CorruptRecordError(
                    f"{url}: bytes {span.first} to {span.stop} are not what the index says, the checksum differs; copy the "
                    "file to the server again"
                )
            os.pwrite(fd, content, span.first)
        _use(path)
    finally:
        os.close(fd)
    return len(lacking)


def _use(path: Path) -> None:
    """Say that a file is in use, so that a cache keeps it; the time of its content stays."""
    os.utime(path, ns=(time.time_ns(), 0))
