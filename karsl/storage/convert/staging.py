"""Where a conversion is written before it is there: all or nothing, one writer at a time, no ruins of killed ones."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from karsl.errors import ConfigError

_LOCK = "lock"


@contextmanager
def atomic_target(path: Path, *, is_file: bool = False) -> Iterator[Path]:
    """Give a place to write to; move it to `path` when the block ends well, remove it when not.

    What a killed process has left of the same target is removed first. The place is in a hidden folder beside `path`, with
    a lock that the system lets go when its process dies.

    Args:
        path: The final name; absent, or an empty folder, or a file to be replaced.
        is_file: The block writes a file; otherwise it finds an empty folder.

    Raises:
        ConfigError: Another process writes the same target.

    Example:
        >>> out = Path(tempfile.mkdtemp()) / "clips"
        >>> with atomic_target(out) as part:
        ...     _ = (part / "a.txt").write_text("hello")
        >>> [p.name for p in out.parent.rglob("*")]
        ['clips', 'a.txt']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder, lock = _claim(path)
    part = folder / f"new{path.suffix}"
    try:
        _clear_others(path, folder)
        if not is_file:
            part.mkdir()
        yield part
        if is_file:
            with part.open("rb+") as written:  # Windows syncs only what can be written
                os.fsync(written.fileno())
        os.replace(part, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _claim(path: Path) -> tuple[Path, FileLock]:
    """A folder beside a target, and its lock, held."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        lock = FileLock(folder / _LOCK, timeout=0)
        try:
            lock.acquire()
        except (Timeout, FileNotFoundError):
            continue  # taken for a ruin and removed before it was locked
        if (folder / _LOCK).exists():
            return folder, lock
        lock.release()


def _clear_others(path: Path, own: Path) -> None:
    """Remove the folders of writers that are dead.

    Raises:
        ConfigError: One is alive.
    """
    named = re.compile(rf"\.{re.escape(path.name)}\.\w{{8}}\.part")
    for folder in path.parent.iterdir():
        if folder == own or not named.fullmatch(folder.name) or not (folder / _LOCK).is_file():
            continue
        try:
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except Timeout:
            raise ConfigError(f"another process is writing {path}; wait until it is done, or end it") from None
        except OSError:
            continue  # another user's, or gone
