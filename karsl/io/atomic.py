"""Writing files so that a reader, or a kill, never meets half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; move it there when the block ends well, remove it when not.

    Args:
        path: The final name. Missing parent folders are made.

    Example:
        >>> import tempfile
        >>> out = Path(tempfile.mkdtemp()) / "a" / "hello.txt"
        >>> with atomic_path(out) as part:
        ...     _ = part.write_text("hello")
        >>> out.read_text(), len(list(out.parent.iterdir()))
        ('hello', 1)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # two containers, or nodes of one file system, may have processes of one number
    part = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield part
        with open(part, "rb+") as written:  # Windows syncs only what can be written
            os.fsync(written.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):  # a disk that cannot be written: the first error says so
            part.unlink()
        raise
