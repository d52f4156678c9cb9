"""Where the records of a dataset lie in memory, told without touching them: a look must not make the copy it looks for."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from karsl.analysis.memory.proc import PAGE_BYTES, PageCount, count_addresses, count_area, mapped_areas
from karsl.datasets.index.record_list import RecordList
from karsl.datasets.walk import walk_datasets

_SAMPLES = 4096
_LIST_ITEMS_OFFSET = 24  # CPython's PyListObject: reference count, type, size, then the pointer to the items


@dataclass(frozen=True)
class RecordPages:
    """The records of one dataset in one process.

    Args:
        kind: 'index' (karsl's mapped index), 'buffer' (MMEngine's numpy buffer) or 'list' (plain Python records).
        num_bytes: How much there is; for a list, the pages on which records begin.
        inode: Of the index.
        name: Path of the index, or the name of its memory file.
        start: Address of the buffer.
        addresses: A sample of where records begin.
    """

    kind: str
    num_bytes: int
    inode: int = 0
    name: str = ""
    start: int = 0
    addresses: tuple[int, ...] = ()

    def count(self, pid: int) -> PageCount | None:
        """Pages of these records in a process; None where they cannot be seen."""
        if self.kind == "index":
            try:
                areas = mapped_areas(pid, self.inode, self.name)
            except OSError:
                return None
            if not areas:
                return PageCount(-(-self.num_bytes // PAGE_BYTES), 0, 0)  # not read yet, so not mapped yet
            return PageCount.total_of(count_area(pid, start, end - start) for start, end in areas)
        if self.kind == "buffer":
            return count_area(pid, self.start, self.num_bytes)
        return count_addresses(pid, np.array(self.addresses, np.int64))


def record_pages(dataset: Any) -> list[RecordPages]:
    """Where the records of a dataset, and of all that it wraps, lie in this process; each index once."""
    found = [pages for part in walk_datasets(dataset) for pages in _of_one(part)]
    return list(dict.fromkeys(found))


def _of_one(dataset: Any) -> Iterator[RecordPages]:
    index = getattr(dataset, "index", None)
    if isinstance(index, RecordList):
        facts = os.fstat(index.store.file.fd)
        name = "memfd:karsl" if index.store.file.path is None else str(index.store.file.path)
        yield RecordPages("index", facts.st_size, inode=facts.st_ino, name=name)
        return
    records = getattr(dataset, "data_list", None)
    if isinstance(records, list) and records:
        pages, sample = _pages_of_items(records)
        yield RecordPages("list", pages * PAGE_BYTES, addresses=tuple(sample.tolist()))
        return
    buffer = getattr(dataset, "data_bytes", None)
    if isinstance(buffer, np.ndarray) and buffer.size:
        yield RecordPages("buffer", buffer.nbytes, start=buffer.__array_interface__["data"][0])


def _pages_of_items(records: list) -> tuple[int, np.ndarray]:
    """How many pages hold the beginning of a record, and addresses on a sample of them."""
    if sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)():
        items = ctypes.c_void_p.from_address(id(records) + _LIST_ITEMS_OFFSET).value
        addresses = np.ctypeslib.as_array(ctypes.cast(items or 0, ctypes.POINTER(ctypes.c_int64)), (len(records),))
    else:
        addresses = np.array([id(record) for record in records], np.int64)
    pages, first = np.unique(addresses // PAGE_BYTES, return_index=True)
    chosen = np.linspace(0, len(pages) - 1, min(len(pages), _SAMPLES)).astype(int)
    return len(pages), addresses[first[chosen]]
