"""Consoles, and progress bars on stderr, which show on a terminal only and disappear when the work is done."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from karsl.terminal import unescaped

__all__ = ["bar", "make_console", "step_bar", "track", "tracker"]

T = TypeVar("T")
_DELAY_S = 1.0


def track(records: Iterable[T], description: str = "indexing records", *, interval: int = 2048) -> Iterator[T]:
    """Yield records. Work that takes over a second gets a bar, and one log line at its end.

    Args:
        records: Any iterable; one with a length gives the bar a total.
        description: Name of the work.
        interval: Number of records after which the time is checked. Use a small number for slow records.
    """
    start = time.monotonic()
    total = len(records) if isinstance(records, Sized) else None
    iterator, count = iter(records), 0
    for record in iterator:
        yield record
        count += 1
        if count % interval == 0 and time.monotonic() - start > _DELAY_S:
            break
    else:
        return
    with _progress() as progress:
        task = progress.add_task(description, total=total, completed=count)
        for record in iterator:
            yield record
            count += 1
            if count % interval == 0:
                progress.update(task, completed=count)
    seconds = time.monotonic() - start
    print_log(f"{description}: {count:,} in {seconds:.1f} s")


def print_log(text: str) -> None:
    """Log a line with MMEngine, an optional dependency that is imported here, since commands on files do without it."""
    import mmengine.logging

    mmengine.logging.print_log(text, logger="current", level=logging.INFO)


def tracker(description: str) -> Callable[[Iterable, int], Iterable]:
    """Return a function `(items, total) -> items` that shows a bar while the items are consumed."""
    return partial(_track_items, description)


def _track_items(description: str, items: Iterable, total: int) -> Iterator[Any]:
    with _progress() as progress:
        yield from progress.track(items, total=total, description=description)


@contextmanager
def bar(description: str, total: int | None) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the context is open.

    Args:
        description: Text before the bar.
        total: Number of steps, None if unknown at the start.

    Yields:
        The callback `progress(done, total)`.
    """
    with _progress() as progress:
        task = progress.add_task(description, total=total)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def step_bar(total: int) -> Iterator[Callable[[str, int], None]]:
    """Show a bar whose description changes from step to step.

    Yields:
        The callback `step(description, num_done)`; an empty description keeps the last one.
    """
    with _progress() as progress:
        task = progress.add_task("", total=total)

        def step(description: str, num_done: int) -> None:
            progress.update(task, advance=num_done, description=f"{description:<32}" if description else None)

        yield step


def make_console(*, stderr: bool = False) -> Console:
    """Return a console for tables and bars. It can move the cursor, so escape names with `escape_controls`."""
    return Console(file=unescaped(sys.stderr if stderr else sys.stdout), stderr=stderr)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = make_console(stderr=True)
    console.quiet = not console.is_terminal  # before version 14.3 a bar that does not show ends with an empty line
    return Progress(*columns, console=console, transient=True, disable=console.quiet)
