"""A progress bar for work that turns out to take over a second, and one log line when it is done."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from mmengine.logging import print_log
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

T = TypeVar("T")
_PATIENCE_S = 1.0
_EVERY = 2048  # records between two looks at the clock


def reported(records: Iterable[T], what: str = "indexing records", *, every: int = _EVERY) -> Iterator[T]:
    """The same records; a bar on a terminal, and a log line, when they take over a second.

    Args:
        records: Any number of anything.
        what: Names the work.
        every: Records between two looks at the clock; few where each takes long.
    """
    start = time.monotonic()
    total = len(records) if isinstance(records, Sized) else None
    iterator, count = iter(records), 0
    for record in iterator:
        yield record
        count += 1
        if count % every == 0 and time.monotonic() - start > _PATIENCE_S:
            break
    else:
        return
    with _bar() as bar:
        task = bar.add_task(what, total=total, completed=count)
        for record in iterator:
            yield record
            count += 1
            if count % every == 0:
                bar.update(task, completed=count)
    seconds = time.monotonic() - start
    print_log(f"{what}: {count:,} in {seconds:.1f} s", logger="current", level=logging.INFO)


def _bar() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
