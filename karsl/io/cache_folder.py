"""Folder of the user's caches, also for users without a home."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import platformdirs


def user_cache_folder() -> Path:
    """Return the folder for caches of this user: `~/.cache/karsl` on Linux, or below XDG_CACHE_HOME. It need not exist.

    Services and containers run programs as users that have no home, or one that they may not write to. Their caches are in
    a private folder among the system's temporary files.
    """
    try:
        folder = platformdirs.user_cache_path("karsl")
    except RuntimeError:  # no home; older versions of platformdirs return a path that starts with '~'
        folder = Path("~")
    if folder.is_absolute() and _is_writable(folder):
        return folder
    if not hasattr(os, "geteuid"):  # Windows, whose temporary files are each user's own
        return Path(tempfile.gettempdir(), "karsl")
    folder = Path(tempfile.gettempdir(), f"karsl-{os.geteuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    is_private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
    return folder if is_private else Path(tempfile.mkdtemp(prefix="karsl-"))  # another user may have made it, with files


def _is_writable(folder: Path) -> bool:
    """Return True if files can be created in a folder, or in the first of its parents that exists."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
