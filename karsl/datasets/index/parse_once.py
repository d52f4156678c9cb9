"""Parse an annotation once a node: whoever comes first builds the index, everyone else maps it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.logging import print_log

from karsl.datasets.index.buffer import SerializedList
from karsl.datasets.index.cache import open_or_build
from karsl.datasets.index.folder import IndexFolder
from karsl.datasets.index.identity import PARSING, index_identity
from karsl.errors import IndexFileError

if TYPE_CHECKING:
    from karsl.datasets.indexed import IndexedDataset

COLUMNS = {
    "label": "int64",
    "num_frames": "int64",
    "pack": "category",
    "frame_start": "int64",  # in a shard of a pack
    "byte_start": "int64",  # in a mapped file, as are the next two
    "dtype": "category",
    "xxh3": "uint64",
}
LEARNED = ("metainfo", "contents", "absent", "left_out")
_NOT_PARSING = frozenset(
    ("pipeline", "data_list", "max_refetch", "serialize_data", "index_cache")
    + ("_index", "_columns", "_epoch_state", "_skips", "_shards", *LEARNED)
)
"""Attributes that do not shape records."""


def parse_once(dataset: IndexedDataset, parse: Callable[[], list[dict]]) -> tuple[SerializedList, dict]:
    """The records of a dataset that is not initialised yet, and what it learned while parsing: its attributes `LEARNED`.

    Args:
        dataset: Its `index_cache` says where indexes are kept.
        parse: Called only if no process of this user ever parsed the same inputs.
    """

    def make_records() -> tuple[Iterator[dict], Callable[[], dict]]:
        return _drained(parse()), lambda: {key: getattr(dataset, key) for key in LEARNED}

    return open_or_build(_identity(dataset), make_records, columns=COLUMNS, cache=dataset.index_cache)


def _drained(records: list[dict]) -> Iterator[dict]:
    """Give records in order and let go of each, so that list and buffer never stand whole side by side."""
    records.reverse()
    while records:
        yield records.pop()


def _identity(dataset: IndexedDataset) -> str | None:
    if dataset.index_cache is None or "://" in (dataset.ann_file or ""):
        return None  # a remote file may change unseen
    own = _undeclared(type(dataset))
    if own is not None:
        print_log(
            f"{own} may read anything, so the index is kept for this run only; let {type(dataset).__name__}.index_inputs() "
            "list the files it reads, and the next start parses nothing",
            logger="current",
            level=logging.INFO,
        )
        return None
    memory: Path | None = None
    with suppress(OSError, IndexFileError):
        memory = IndexFolder(dataset.index_cache).path
    return index_identity(dataset, ignore=_NOT_PARSING, memory=memory)


def _undeclared(cls: type[IndexedDataset]) -> str | None:
    """A parsing method from outside karsl, of a class that does not declare what it reads."""
    declared = not cls.index_inputs.__module__.startswith("karsl.")
    for name in PARSING:
        module = getattr(getattr(cls, name), "__module__", "") or ""
        if not module.startswith("karsl.") and not declared:
            return f"{cls.__name__}.{name}"
    return None
