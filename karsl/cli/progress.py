"""Bars of the commands: on stderr, where that is a terminal, and gone when the work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["bar", "step_bar", "tracked"]


def tracked(what: str) -> Callable[[Iterable, int], Iterable]:
    """A function of items and their number that gives the same items, with a bar.

    Args:
        what: Stands before the bar.
    """
    return partial(_track, what)


def _track(what: str, items: Iterable, total: int) -> Iterator[Any]:
    with _progress() as progress:
        yield from progress.track(items, total=total, description=what)


@contextmanager
def bar(what: str, total: int | None) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told how many are done, of how many.

    Args:
        what: Stands before the bar.
        total: Until more is known.
    """
    with _progress() as progress:
        task = progress.add_task(what, total=total)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def step_bar(total: int) -> Iterator[Callable[[str, int], None]]:
    """A bar that is told what is done now, and how many steps more are done."""
    with _progress() as progress:
        task = progress.add_task("", total=total)

        def say(text: str, done: int) -> None:
            progress.update(task, advance=done, description=f"{text:<32}" if text else None)

        yield say


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
