"""Remote files over HTTP, with the standard library, or any scheme of fsspec: downloads, byte ranges and retries.

An interrupted download resumes where it stopped. A file that cannot be read ends in one `FetchError`. The size of an answer
is bounded by what is known of the file, never by what the server declares.
"""

from __future__ import annotations

import random
import re
import time
import urllib.error
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from threading import Event
from typing import IO, TypeVar
from urllib.parse import unquote

from karsl.errors import FetchError, MissingExtraError, missing_extra
from karsl.io.http import InvalidAnswerError, open_http, public_url, valid_version

# HTTP status codes for which a retry is useless; redirects that cannot be followed among them
_FINAL_STATUS = frozenset((301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410))
_CHUNK_BYTES = 1 << 18
_MAX_GAP = 1 << 16  # at 10 MB/s reading a gap of this size costs less than another round trip
LIST_BYTES = 128 << 20
"""Maximum size of a file that is read into memory."""
MAX_BYTES = 1 << 42
"""Size that no shard has, for files of unknown size."""
_CLOSED_EARLY = "the connection was closed early"
_T = TypeVar("_T")


class NotModified(Exception):  # noqa: N818 - an answer, not an error
    """The remote file still has the known version."""


class RangesNotSupported(Exception):  # noqa: N818 - an answer, not an error
    """The server has no byte ranges: it sends the file from its beginning."""


@dataclass(frozen=True)
class Retry:
    """Retry policy.

    Args:
        attempts: Maximum number of attempts in a row without progress.
        wait_s: Seconds before the second attempt, doubled each time, with jitter.
        timeout_s: Seconds to wait for one response.
    """

    attempts: int = 5
    wait_s: float = 0.5
    timeout_s: float = 30.0

    def backoff(self, failures: int) -> None:
        """Sleep after `failures` failed attempts in a row."""
        time.sleep(self.wait_s * 2 ** (failures - 1) * random.uniform(0.5, 1.0))


DEFAULT_RETRY = Retry()


@dataclass(frozen=True)
class Response:
    """An open remote file.

    Attributes:
        stream: Bytes from `start` on.
        start: Offset of the first byte; 0 if ranges are not supported.
        size: Size of the file in bytes, None if unknown.
        version: The server's tag of this content, or ''.
        ranged: The server supports byte ranges.
    """

    stream: IO[bytes]
    start: int
    size: int | None
    version: str
    ranged: bool = True


def is_remote(path: str | Path) -> bool:
    """Return True for URLs other than `file://`."""
    match = re.match(r"([a-z][a-z0-9+.-]*)://", str(path), re.IGNORECASE)
    return match is not None and match[1].lower() != "file"


def local_path(path: str | Path) -> str:
    """Return the path of a `file://` URL, and any other text as it is.

    Example:
        >>> local_path("file:///my%20data/a.tar"), local_path("file://localhost/a"), local_path("50%20.tar")
        ('/my data/a.tar', '/a', '50%20.tar')
    """
    text = str(path)
    if not text.lower().startswith("file://"):
        return text
    return unquote(text[len("file://") :].removeprefix("localhost"))


@contextmanager
def open_at(
    url: str, start: int = 0, *, stop: int | None = None, known_version: str = "", timeout_s: float = 30.0
) -> Iterator[Response]:
    """Open a remote file at an offset.

    Args:
        url: `http(s)://`, or any scheme of fsspec.
        start: Offset of the first byte.
        stop: End offset; None is the end of the file.
        known_version: Version that need not be sent again.
        timeout_s: Timeout of HTTP in seconds.

    Raises:
        NotModified: If the file has the version `known_version`.
        OSError: If there is no response or an error status.
        MissingExtraError: If fsspec, or its package for the scheme, is not installed.
    """
    if not url.lower().startswith(("http://", "https://")):
        with _open_fsspec(url, start) as response:
            if known_version and response.version == known_version:
                raise NotModified
            yield response
        return
    headers = {"If-None-Match": known_version} if known_version else {}
    if start or stop:
        headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
    try:
        reply = open_http(url, headers, timeout_s=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == 304 and known_version:
            raise NotModified from None
        raise
    with reply:
        version = valid_version(reply.headers.get("ETag") or reply.headers.get("Last-Modified"))
        partial = re.match(r"bytes (\d{1,18})-\d+/(\d{1,18}|\*)", reply.headers.get("Content-Range", ""))
        if reply.status == 206 and partial:
            size = None if partial[2] == "*" else int(partial[2])
            yield Response(reply, int(partial[1]), size, version)
        else:
            yield Response(reply, 0, _declared_size(reply.headers.get("Content-Length")), version, ranged=False)


def _declared_size(length: str | None) -> int | None:
    if length is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", length.strip(" ")):  # int() rejects other characters that strip() removes
        raise InvalidAnswerError(f"it declares a length of {length[:30]!r}")
    return int(length)


def _read_bounded(response: Response, max_bytes: int) -> Iterator[bytes]:
    """Yield the content from the offset of the response on, if the file has at most `max_bytes`."""
    if (response.size or 0) > max_bytes:
        raise InvalidAnswerError(f"it declares {response.size:,} bytes, more than {max_bytes:,}")
    left = max_bytes - response.start
    while chunk := response.stream.read(_CHUNK_BYTES):
        left -= len(chunk)
        if left < 0:
            raise InvalidAnswerError(f"it sends more than {max_bytes:,} bytes")
        yield chunk


@contextmanager
def _open_fsspec(url: str, start: int) -> Iterator[Response]:
    try:
        import fsspec
    except ImportError:
        raise missing_extra("stream", "fsspec") from None
    try:
        files, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # the package of the scheme is absent, or the scheme is unknown
        raise MissingExtraError(
            f"{url}: fsspec reports '{error}'; each scheme has its own package, such as s3fs for s3://, "
            "gcsfs for gs:// and huggingface_hub for hf://"
        ) from error
    info = files.info(path)
    with files.open(path, "rb") as stream:
        stream.seek(start)
        yield Response(stream, start, info.get("size"), str(info.get("ETag") or info.get("mtime") or ""))


def download(url: str, target: Path, *, retry: Retry = DEFAULT_RETRY, max_bytes: int = MAX_BYTES) -> int:
    """Download a file, resuming what an earlier attempt left in `target`.

    Args:
        url: See `open_at`.
        target: Grows during the download; the caller moves it once it is complete.
        retry: Retry policy.
        max_bytes: Size of the file if it is known, otherwise the largest allowed one.

    Returns:
        Size of the file in bytes.

    Raises:
        FetchError: If the file cannot be read.
    """
    version_file = target.with_name(target.name + ".version")
    failures, reason = 0, ""
    cause: Exception | None = None
    while failures < retry.attempts:
        before = _size_of(target)
        try:
            if _transfer(url, target, version_file, retry.timeout_s, max_bytes):
                version_file.unlink(missing_ok=True)
                return _size_of(target)
            reason = _CLOSED_EARLY
        except (OSError, HTTPException) as error:
            reason, cause = describe_error(error), error
            if _is_final(error):
                break
        failures = 1 if _size_of(target) > before else failures + 1
        if failures < retry.attempts:
            retry.backoff(failures)
    raise FetchError(
        f"{public_url(url)}: stopped at byte {_size_of(target)} ({reason}); start again to resume from there, or leave "
        "the shard out with on_error='skip'"
    ) from cause


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _transfer(url: str, target: Path, version_file: Path, timeout_s: float, max_bytes: int) -> bool:
    """Make one attempt to download; return True if the file is complete."""
    have = _size_of(target)
    try:
        with open_at(url, have, timeout_s=timeout_s) as response:
            changed = bool(have) and version_file.exists() and version_file.read_text() != response.version
            if changed and response.start:
                target.unlink()
                raise OSError("the file has changed meanwhile; starting from its beginning")
            if response.start not in (0, have):
                raise InvalidAnswerError(f"it begins at byte {response.start:,}, not {have:,}")
            version_file.write_text(response.version)
            with target.open("r+b" if target.exists() else "wb") as stream:
                stream.truncate(response.start)
                stream.seek(response.start)
                for chunk in _read_bounded(response, max_bytes):
                    stream.write(chunk)
                return response.size is None or stream.tell() == response.size
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        size = re.match(r"bytes \*/(\d{1,18})", error.headers.get("Content-Range", ""))
        if size and int(size[1]) == have:
            return True
        target.unlink()
        raise OSError("the local part is longer than the file; starting from its beginning") from error


def read_ranges(
    url: str, ranges: Sequence[tuple[int, int]], *, retry: Retry = DEFAULT_RETRY, threads: int = 4
) -> list[bytes]:
    """Read some byte ranges of a remote file concurrently; neighboring ranges share one request.

    Args:
        url: See `open_at`.
        ranges: `(start, stop)` pairs in any order.
        retry: Retry policy.
        threads: Maximum number of concurrent requests.

    Raises:
        FetchError: If a range cannot be read.
        RangesNotSupported: If the server has no ranges; no response was read.
    """
    runs = merge_ranges(ranges)
    pool, failed = ThreadPoolExecutor(min(threads, max(1, len(runs)))), Event()

    def read(run: tuple[int, int]) -> bytes:
        if failed.is_set():
            return b""  # unused: the error of the other thread is raised
        try:
            return _read_run(url, run, retry)
        except BaseException:
            failed.set()
            raise

    try:
        contents = dict(zip(runs, pool.map(read, runs), strict=True))
    finally:
        pool.shutdown(cancel_futures=True)
    result = []
    for start, stop in ranges:
        run = next(r for r in runs if r[0] <= start and stop <= r[1])
        result.append(contents[run][start - run[0] : stop - run[0]])
    return result


def merge_ranges(ranges: Sequence[tuple[int, int]], *, max_gap: int = _MAX_GAP) -> list[tuple[int, int]]:
    """Sort ranges and join those at most `max_gap` bytes apart.

    Example:
        >>> merge_ranges([(90, 100), (0, 10), (12, 20)], max_gap=5)
        [(0, 20), (90, 100)]
    """
    runs: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if runs and start <= runs[-1][1] + max_gap:
            runs[-1] = runs[-1][0], max(stop, runs[-1][1])
        else:
            runs.append((start, stop))
    return runs


def _read_run(url: str, run: tuple[int, int], retry: Retry) -> bytes:
    start, stop = run

    def read() -> bytes:
        with open_at(url, start, stop=stop, timeout_s=retry.timeout_s) as response:
            if not response.ranged:
                raise RangesNotSupported
            if response.start != start:
                raise OSError(f"the answer begins at byte {response.start}")
            content = response.stream.read(stop - start)
        if len(content) != stop - start:
            raise OSError(_CLOSED_EARLY)
        return content

    return with_retries(read, retry, f"{public_url(url)}: bytes {start} to {stop}")


def read_file(url: str, known_version: str, retry: Retry, *, max_bytes: int = LIST_BYTES) -> tuple[bytes, str]:
    """Read a small remote file; return its content and version.

    Raises:
        NotModified: If the file has the version `known_version`.
        FetchError: If it cannot be read, or has more than `max_bytes`.
    """

    def read() -> tuple[bytes, str]:
        content = bytearray()
        with open_at(url, known_version=known_version, timeout_s=retry.timeout_s) as response:
            for chunk in _read_bounded(response, max_bytes):
                content += chunk
            if response.size is not None and len(content) != response.size:
                raise OSError(_CLOSED_EARLY)
            return bytes(content), response.version

    return with_retries(read, retry, public_url(url))


def read_chunks(url: str, write: Callable[[bytes, int], object], retry: Retry, *, max_bytes: int) -> None:
    """Read a remote file of at most `max_bytes` from its beginning, calling `write(chunk, offset)`.

    Raises:
        FetchError: If it cannot be read.
    """

    def read() -> None:
        with open_at(url, timeout_s=retry.timeout_s) as response:
            offset = 0
            for chunk in _read_bounded(response, max_bytes):
                write(chunk, offset)
                offset += len(chunk)
        if response.size is not None and offset != response.size:
            raise OSError(_CLOSED_EARLY)

    with_retries(read, retry, public_url(url))


def with_retries(request: Callable[[], _T], retry: Retry, what: str) -> _T:
    """Repeat a request until it succeeds.

    Raises:
        FetchError: If `retry.attempts` requests fail, or the status is final.
    """
    failures = 0
    while True:
        try:
            return request()
        except (OSError, HTTPException) as error:
            failures += 1
            if _is_final(error) or failures >= retry.attempts:
                raise FetchError(
                    f"{what} cannot be read ({describe_error(error)}); is the address right and the server up?"
                ) from error
            retry.backoff(failures)


def is_final_error(error: FetchError) -> bool:
    """Return True if the server answered, and a retry would get the same answer."""
    return isinstance(error.__cause__, FileNotFoundError) or _is_final(error.__cause__)


def _is_final(error: BaseException | None) -> bool:
    return isinstance(error, InvalidAnswerError) or (
        isinstance(error, urllib.error.HTTPError) and error.code in _FINAL_STATUS
    )


def describe_error(error: BaseException) -> str:
    """Return the reason of a failed request in one line."""
    if isinstance(error, urllib.error.HTTPError):
        first, *_ = str(error.reason).splitlines() or [""]  # for endless redirects urllib gives three lines
        return f"the server answered {error.code} {first}".rstrip()
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__
