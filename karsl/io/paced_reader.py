"""Bytes of a socket that must arrive at a minimum rate, so that a peer that sends a byte now and then holds nothing."""

from __future__ import annotations

import io
import socket
import time
from typing import Any


class PacedReader(io.RawIOBase):
    """Raw stream of a socket. Each read may take the time that is left; bytes that arrive give some of it back.

    Args:
        sock: Connected socket.
        seconds: Time for the first bytes, and the most that is ever left.
        bytes_per_s: Minimum rate. None gives `seconds` for everything.

    Raises:
        TimeoutError: On a read for which no time is left.
    """

    def __init__(self, sock: socket.socket, *, seconds: float, bytes_per_s: float | None = None) -> None:
        self._sock, self._raw = sock, sock.makefile("rb", buffering=0)
        self._seconds, self._left, self._rate = seconds, seconds, bytes_per_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._left <= 0:
            raise TimeoutError("the peer sends too slowly")
        self._sock.settimeout(self._left)
        start = time.monotonic()
        count = self._raw.readinto(buffer)
        self._left -= time.monotonic() - start
        if self._rate is not None and count:
            self._left = min(self._left + count / self._rate, self._seconds)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
