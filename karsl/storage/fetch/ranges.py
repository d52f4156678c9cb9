"""Parts of a file that lies elsewhere, fetched together."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from threading import Event
from typing import TypeVar

from karsl.errors import FetchError
from karsl.storage.fetch.download import GIVE_UP, Retry, open_at, reason_of

_GAP_BYTES = 1 << 16  # two ranges closer than this are one request: at 10 MB/s the gap costs less than a round trip
_T = TypeVar("_T")


class WholeAnswer(Exception):  # noqa: N818 - an answer, not an error
    """A server without ranges: it sends the file from its beginning, whatever is asked for."""


def read_ranges(
    url: str,
    ranges: Sequence[tuple[int, int]],
    *,
    retry: Retry = Retry(),  # noqa: B008 - frozen
    threads: int = 4,
) -> list[bytes]:
    """Some byte ranges of a file elsewhere, fetched together: near ones in one request, others side by side.

    Args:
        url: See `open_at`.
        ranges: `(first, stop)`, any order.
        retry: How often to ask again.
        threads: Requests at a time.

    Raises:
        FetchError: One cannot be had.
        WholeAnswer: The server knows no ranges; nothing of its answers was read.
    """
    runs = merge_ranges(ranges)
    pool, failed = ThreadPoolExecutor(min(threads, max(1, len(runs)))), Event()

    def read(run: tuple[int, int]) -> bytes:
        if failed.is_set():
            return b""  # not looked at: the error of whoever failed is raised
        try:
            return _read_run(url, run, retry)
        except BaseException:
            failed.set()
            raise

    try:
        contents = dict(zip(runs, pool.map(read, runs), strict=True))
    finally:
        pool.shutdown(cancel_futures=True)
    found = []
    for first, stop in ranges:
        run = next(r for r in runs if r[0] <= first and stop <= r[1])
        found.append(contents[run][first - run[0] : stop - run[0]])
    return found


def merge_ranges(ranges: Sequence[tuple[int, int]], *, gap: int = _GAP_BYTES) -> list[tuple[int, int]]:
    """Ranges in order, those that nearly touch as one.

    Example:
        >>> merge_ranges([(90, 100), (0, 10), (12, 20)], gap=5)
        [(0, 20), (90, 100)]
    """
    runs: list[tuple[int, int]] = []
    for first, stop in sorted(ranges):
        if runs and first <= runs[-1][1] + gap:
            runs[-1] = runs[-1][0], max(stop, runs[-1][1])
        else:
            runs.append((first, stop))
    return runs


def _read_run(url: str, run: tuple[int, int], retry: Retry) -> bytes:
    first, stop = run

    def read() -> bytes:
        with open_at(url, first, stop=stop, timeout_s=retry.timeout_s) as answer:
            if not answer.ranged:
                raise WholeAnswer
            if answer.first != first:
                raise OSError(f"the answer begins at byte {answer.first}")
            content = answer.stream.read(stop - first)
        if len(content) != stop - first:
            raise OSError("the connection was closed early")
        return content

    return with_retries(read, retry, f"{url}: bytes {first} to {stop}")


def with_retries(ask: Callable[[], _T], retry: Retry, what: str) -> _T:
    """Ask until there is an answer.

    Raises:
        FetchError: None after `retry.attempts`.
    """
    for failures in range(1, retry.attempts + 1):
        try:
            return ask()
        except (OSError, HTTPException) as error:
            hopeless = isinstance(error, urllib.error.HTTPError) and error.code in GIVE_UP
            if hopeless or failures == retry.attempts:
                raise FetchError(
                    f"{what} cannot be read ({reason_of(error)}); is the address right and the server up?"
                ) from error
            retry.pause(failures)
    raise AssertionError("unreachable")
