"""A tree of datasets as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from karsl.datasets.walk import datasets_within
from karsl.errors import type_name


def draw_tree(dataset: Any) -> str:
    """One line a dataset, members below what holds them."""
    return "\n".join(_lines(dataset))


def _lines(dataset: Any) -> Iterator[str]:
    yield _headline(dataset)
    members = datasets_within(dataset)
    for number, member in enumerate(members):
        last = number == len(members) - 1
        first, *rest = _lines(member)
        yield ("└─ " if last else "├─ ") + first
        yield from (("   " if last else "│  ") + line for line in rest)


def _headline(dataset: Any) -> str:
    describe = getattr(dataset, "_describe", None)
    arguments = describe() if callable(describe) else source_of(dataset)
    ready = getattr(dataset, "_fully_initialized", True)
    return f"{type_name(dataset)}({arguments}): {f'{len(dataset):,} clips' if ready else 'not initialised'}"


def source_of(dataset: Any) -> str:
    """What it is read from, as it was given; empty where it does not say."""
    for name in ("ann_file", "data_root"):
        if getattr(dataset, name, None):
            return f"{name}={getattr(dataset, name)!r}"
    return ""
