"""Open a picture or a page in the desktop's viewer, where there is a desktop."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path

__all__ = ["has_display", "open_url", "show"]


def has_display() -> bool:
    """Whether somebody may be looking: a terminal, and a desktop or a browser that `$BROWSER` names.

    Without a desktop the standard library would start a text browser and wait for it.
    """
    if os.environ.get("BROWSER"):
        return True
    desktop = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(desktop) and sys.stdout.isatty()


def show(paths: Sequence[Path], *, every: float = 0) -> None:
    """Open the first file, or with `every` all of them, that many seconds apart; nothing without a display."""
    if not has_display():
        return
    for number, path in enumerate(paths if every else paths[:1]):
        if number:
            time.sleep(every)
        webbrowser.open(path.absolute().as_uri())


def open_url(url: str) -> None:
    """Open an address; nothing without a display."""
    if has_display():
        webbrowser.open(url)
