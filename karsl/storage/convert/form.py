"""What there is to say of one way that clips lie on a disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from karsl.storage.clip_source import ClipSource
from karsl.storage.convert.job import Job


@dataclass(frozen=True)
class Form:
    """One way that clips lie on a disk.

    Args:
        name: What `--to` and `--from` call it.
        layout: What lies there, in a few words.
        loses: What it cannot hold; for a form that is only read, what of it is read.
        looks_like: Whether a path may be this form; looks at names, not into files.
        reader: Opens a path; None if it is never read.
        writer: Writes every clip of a job to a path; None if it is never written.
        is_file: The form is one file, not a folder.
        skeleton: The points that it always has; None holds any.
        keeps: Of `'z'`, `'score'` and `'mask'`, see `Losses.check`.
        takes_half: Its arrays may be float16.
        takes_sheet: It knows SignIDs alone; a label sheet gives glosses.
        needs: The extra that brings what reads and writes it.
    """

    name: str
    layout: str
    loses: str
    looks_like: Callable[[Path], bool]
    reader: Callable[..., ClipSource] | None = None
    writer: Callable[[Path, Job], None] | None = None
    is_file: bool = False
    skeleton: str | None = None
    keeps: frozenset[str] = frozenset({"z", "score"})
    takes_half: bool = False
    takes_sheet: bool = False
    needs: str = ""
