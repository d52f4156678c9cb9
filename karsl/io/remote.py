"""Read files that lie elsewhere: over HTTP with the standard library, through fsspec for any other scheme.

A transfer that breaks off goes on where it stopped; one that cannot be had ends in one error.
"""

from __future__ import annotations

import random
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlsplit, urlunsplit

from karsl.errors import FetchError, MissingExtraError, missing_extra

_CHUNK = 1 << 18
GIVE_UP = frozenset((400, 401, 403, 404, 405, 410))  # HTTP answers that do not change


class Unchanged(Exception):  # noqa: N818 - an answer, not an error
    """A file elsewhere is the one that is known."""


@dataclass(frozen=True)
class Retry:
    """How often to ask again.

    Args:
        attempts: In a row without a new byte.
        wait_s: Before the second; doubled each time, with chance, so that many workers do not ask at once.
        timeout_s: Of one answer.
    """

    attempts: int = 5
    wait_s: float = 0.5
    timeout_s: float = 30.0

    def pause(self, failures: int) -> None:
        """Wait after so many failures in a row."""
        time.sleep(self.wait_s * 2 ** (failures - 1) * random.uniform(0.5, 1.0))


def is_remote(path: str | Path) -> bool:
    """Whether a path names another place than this machine's file system."""
    return re.match(r"[a-z][a-z0-9+.-]*://", str(path), re.IGNORECASE) is not None and not str(path).startswith("file://")


@dataclass(frozen=True)
class Answer:
    """A stream of bytes.

    Attributes:
        stream: From `first` on.
        first: Its first byte in the file; 0 where ranges are not supported.
        size: Of the file, None if nobody says.
        version: The server's tag of this content, or ''.
        ranged: Whether parts of the file can be had.
    """

    stream: IO[bytes]
    first: int
    size: int | None
    version: str
    ranged: bool = True


@contextmanager
def open_at(
    url: str, first: int = 0, *, stop: int | None = None, known: str = "", timeout_s: float = 30.0
) -> Iterator[Answer]:
    """Open a file elsewhere at a byte.

    Args:
        url: `http(s)://`, or any scheme that fsspec knows.
        first: The byte.
        stop: Where to end; None is the end of the file.
        known: A version that need not be sent again.
        timeout_s: Of HTTP.

    Raises:
        Unchanged: The file is of the version `known`.
        OSError: No answer, or none that helps.
        MissingExtraError: Another scheme without fsspec, or without the package that fsspec wants for it.
    """
    if not url.lower().startswith(("http://", "https://")):
        with _open_fsspec(url, first) as answer:
            if known and answer.version == known:
                raise Unchanged
            yield answer
        return
    headers = {"Accept-Encoding": "identity"} | ({"If-None-Match": known} if known else {})
    if first or stop:
        headers["Range"] = f"bytes={first}-{'' if stop is None else stop - 1}"
    try:
        reply = urllib.request.urlopen(urllib.request.Request(quoted(url), headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == 304:
            raise Unchanged from None
        raise
    with reply:
        version = reply.headers.get("ETag") or reply.headers.get("Last-Modified") or ""
        partial = re.match(r"bytes (\d+)-\d+/(\d+|\*)", reply.headers.get("Content-Range", ""))
        if reply.status == 206 and partial:
            size = None if partial[2] == "*" else int(partial[2])
            yield Answer(reply, int(partial[1]), size, version)
        else:
            length = reply.headers.get("Content-Length")
            yield Answer(reply, 0, int(length) if length else None, version, ranged=False)


def quoted(url: str) -> str:
    """A URL as HTTP writes it: letters of other scripts and spaces as %xx; what is written so already stays.

    Example:
        >>> quoted("http://host/my clips/a%20b.tar?key=1")
        'http://host/my%20clips/a%20b.tar?key=1'
    """
    parts = urlsplit(re.sub("%(?![0-9a-fA-F]{2})", "%25", url))
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    path, query = (quote(part, safe="%/?:@!$&'()*+,;=~[]") for part in (parts.path, parts.query))
    return urlunsplit((parts.scheme, host, path, query, ""))


@contextmanager
def _open_fsspec(url: str, first: int) -> Iterator[Answer]:
    try:
        import fsspec
    except ImportError:
        raise missing_extra("stream", "fsspec") from None
    try:
        files, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # a scheme whose package is absent, or that nobody knows
        raise MissingExtraError(
            f"{url}: fsspec says '{error}'; each scheme has a package of its own, as s3fs for s3:// and gcsfs for gs://"
        ) from error
    facts = files.info(path)
    with files.open(path, "rb") as stream:
        stream.seek(first)
        yield Answer(stream, first, facts.get("size"), str(facts.get("ETag") or facts.get("mtime") or ""))


def download(url: str, part: Path, *, retry: Retry = Retry()) -> int:  # noqa: B008 - frozen
    """Bring a file to `part`, going on from what an earlier try left there.

    Args:
        url: See `open_at`.
        part: Grows; the caller moves it once it is whole.
        retry: How often to ask again.

    Returns:
        Its size.

    Raises:
        FetchError: It cannot be had.
    """
    note = part.with_name(part.name + ".version")
    failures, reason = 0, ""
    cause: Exception | None = None
    while failures < retry.attempts:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _transfer(url, part, note, before, retry.timeout_s):
                note.unlink(missing_ok=True)
                return part.stat().st_size
            reason = "the connection was closed early"
        except (OSError, HTTPException) as error:
            reason, cause = reason_of(error), error
            if isinstance(error, urllib.error.HTTPError) and error.code in GIVE_UP:
                break
        failures = 1 if part.exists() and part.stat().st_size > before else failures + 1
        if failures < retry.attempts:
            retry.pause(failures)
    here = part.stat().st_size if part.exists() else 0
    raise FetchError(
        f"{url}: stopped at byte {here} ({reason}); start again to go on from there, or leave the shard out with "
        "on_error='skip'"
    ) from cause


def _transfer(url: str, part: Path, note: Path, have: int, timeout_s: float) -> bool:
    """One try; gives whether the file is whole."""
    try:
        with open_at(url, have, timeout_s=timeout_s) as answer:
            changed = bool(have) and note.exists() and note.read_text() != answer.version
            if changed and answer.first:
                part.unlink()
                raise OSError("the file has changed meanwhile; from its beginning again")
            note.write_text(answer.version)
            with part.open("r+b" if part.exists() else "wb") as target:
                target.truncate(answer.first)
                target.seek(answer.first)
                while chunk := answer.stream.read(_CHUNK):
                    target.write(chunk)
                return answer.size is None or target.tell() == answer.size
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        size = re.match(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if size and int(size[1]) == have:
            return True
        part.unlink()
        raise OSError("what was here is longer than the file; from its beginning again") from error


def reason_of(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        first, *_ = str(error.reason).splitlines() or [""]  # of redirects without end urllib says three lines
        return f"the server answered {error.code} {first}".rstrip()
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__
