"""Text for a terminal. Control characters, which names in files may contain, are shown and not obeyed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["escape_controls", "escaped_output", "unescaped"]

# C0 without tab and newline, DEL, C1, and the marks that change the direction of the text that follows.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LOG_LEVEL = re.compile(r"((?:\x1b\[\d{1,2}m)+(?:DEBUG|INFO|WARNING|ERROR)\x1b\[0m)")  # as MMEngine colors it


def escape_controls(text: str) -> str:
    r"""Return a text with its control characters as escapes. Letters of every script, tabs and newlines stay.

    Example:
        >>> print(escape_controls("sign\x1b[2J \u202egnp.exe"), escape_controls("شكرا"))
        sign\x1b[2J \u202egnp.exe شكرا
    """
    if not _CONTROL.search(text):
        return text
    parts = _LOG_LEVEL.split(text)
    parts[::2] = [_CONTROL.sub(_escape, part) for part in parts[::2]]
    return "".join(parts)


def _escape(found: re.Match) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x20 else f"\\u{code:04x}"  # the latter also in JSON, which escapes the former itself


class EscapedStream:
    """A text stream that escapes the control characters of what is written to it.

    Args:
        stream: Stream of a terminal, pipe or file; all but writing is its own.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text; return its length."""
        self.stream.write(escape_controls(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write some texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def unescaped(stream: Any) -> Any:
    """Return the stream below an `EscapedStream`, for programs that move the cursor; other streams as they are."""
    return stream.stream if isinstance(stream, EscapedStream) else stream


@contextmanager
def escaped_output() -> Iterator[None]:
    """Escape control characters in everything that is printed and logged while the context is open."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and EscapedStream(unescaped(stream)) for stream in before)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
