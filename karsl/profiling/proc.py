"""Memory of a process on Linux, and the pages in which a dataset keeps its records.

Totals come from `/proc/PID/smaps_rollup`, single pages from `/proc/PID/pagemap`. Nothing here touches a record: reading one
would make the copy that is looked for.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from karsl.datasets.index.record_list import RecordList
from karsl.datasets.tree import walk_datasets

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_PRESENT, _FILE_OR_SHARED, _EXCLUSIVE = (np.uint64(1 << bit) for bit in (63, 61, 56))  # kernel doc: admin-guide/mm/pagemap
_ROLLUP = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
_MAX_ADDRESSES = 4096
_LIST_ITEMS_OFFSET = 24  # CPython's PyListObject: reference count, type, size, then the pointer to the items


@dataclass(frozen=True)
class ProcessMemory:
    """Memory of one process in bytes. PSS adds up over processes: a page shared by n of them counts 1/n in each.

    Args:
        rss: All resident pages; shared ones count in every process.
        uss: Pages that only this process has.
        pss: Proportional share; None where the system does not report it.
        pss_anon: Part of `pss` that is memory of the program.
        pss_shmem: Part of `pss` that is shared memory.
    """

    rss: int
    uss: int
    pss: int | None = None
    pss_anon: int | None = None
    pss_shmem: int | None = None

    @property
    def shared(self) -> int:
        """Resident bytes that other processes have too."""
        return self.rss - self.uss


@dataclass(frozen=True)
class PageCount:
    """Pages of a memory area in one process.

    Args:
        total: Number of pages in the area.
        present: Pages resident in this process.
        private: Resident pages that only this process has: a copy. Pages of a file or of shared memory are never private.
    """

    total: int
    present: int
    private: int

    def __add__(self, other: PageCount) -> PageCount:
        return PageCount(self.total + other.total, self.present + other.present, self.private + other.private)

    @classmethod
    def total_of(cls, counts: Iterable[PageCount | None]) -> PageCount | None:
        """Return the sum, or None if one of the areas cannot be read."""
        total = cls(0, 0, 0)
        for count in counts:
            if count is None:
                return None
            total += count
        return total

    @property
    def private_ratio(self) -> float:
        """Fraction of the pages that are private copies."""
        return self.private / self.total if self.total else 0.0


def read_memory(pid: int) -> ProcessMemory | None:
    """Return the memory of a process, or None if it has ended.

    Example:
        >>> import os
        >>> 0 < read_memory(os.getpid()).uss <= read_memory(os.getpid()).rss
        True
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return _memory_from_psutil(pid)
    kb = {name: int(value) for name, value in _ROLLUP.findall(text)}
    if not kb:
        return None  # a zombie
    uss = kb["Private_Clean"] + kb["Private_Dirty"] + kb.get("Private_Hugetlb", 0)
    sizes = (kb["Rss"], uss, kb["Pss"], kb.get("Pss_Anon", 0), kb.get("Pss_Shmem", 0))
    return ProcessMemory(*(1024 * size for size in sizes))


def _memory_from_psutil(pid: int) -> ProcessMemory | None:
    try:
        info = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return None
    return ProcessMemory(info.rss, info.uss, getattr(info, "pss", None))


def mapped_areas(pid: int, inode: int, name: str) -> list[tuple[int, int]]:
    """Return the areas in which a process maps a file, as (start, end) addresses.

    Args:
        pid: Any process of this user.
        inode: Inode of the file.
        name: Path of the file, or name of a memory file.
    """
    areas = []
    for line in Path(f"/proc/{pid}/maps").read_text(errors="surrogateescape").splitlines():
        area, _, _, _, number, *path = line.split(None, 5)
        if int(number) == inode and path and name in path[0]:  # inodes repeat over devices
            start, end = (int(address, 16) for address in area.split("-"))
            areas.append((start, end))
    return areas


def count_area(pid: int, start: int, length: int) -> PageCount | None:
    """Count all pages of an area; None where the page map cannot be read."""
    first, last = start // PAGE_BYTES, -(-(start + length) // PAGE_BYTES)
    try:
        with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
            entries = np.frombuffer(os.pread(pagemap.fileno(), 8 * (last - first), 8 * first), np.uint64)
    except OSError:
        return None
    return _count(entries) if len(entries) == last - first else None


def count_addresses(pid: int, addresses: np.ndarray) -> PageCount | None:
    """Count the pages that hold some addresses; None where the page map cannot be read.

    Args:
        pid: Any process of this user.
        addresses: int (n,).
    """
    pages = np.unique(addresses // PAGE_BYTES)
    try:
        with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
            data = b"".join(os.pread(pagemap.fileno(), 8, 8 * int(page)) for page in pages)
    except OSError:
        return None
    entries = np.frombuffer(data, np.uint64)
    return _count(entries) if len(entries) == len(pages) else None


def _count(entries: np.ndarray) -> PageCount:
    present = (entries & _PRESENT) != 0
    private = present & ((entries & _EXCLUSIVE) != 0) & ((entries & _FILE_OR_SHARED) == 0)
    return PageCount(len(entries), int(present.sum()), int(private.sum()))


@dataclass(frozen=True)
class RecordPages:
    """Location of the records of one dataset in one process.

    Args:
        kind: `'index'` (karsl's mapped index), `'buffer'` (MMEngine's numpy buffer) or `'list'` (plain Python records).
        num_bytes: Size; for a list, the size of the pages on which records begin.
        inode: Inode of the index.
        name: Path of the index, or name of its memory file.
        start: Address of the buffer.
        addresses: Addresses of a sample of the records of a list.
    """

    kind: str
    num_bytes: int
    inode: int = 0
    name: str = ""
    start: int = 0
    addresses: tuple[int, ...] = ()

    def count(self, pid: int) -> PageCount | None:
        """Count the pages of these records in a process; None where they cannot be read."""
        if self.kind == "index":
            try:
                areas = mapped_areas(pid, self.inode, self.name)
            except OSError:
                return None
            if not areas:
                return PageCount(-(-self.num_bytes // PAGE_BYTES), 0, 0)  # not mapped before the first access
            return PageCount.total_of(count_area(pid, start, end - start) for start, end in areas)
        if self.kind == "buffer":
            return count_area(pid, self.start, self.num_bytes)
        return count_addresses(pid, np.array(self.addresses, np.int64))


def record_pages(dataset: Any) -> list[RecordPages]:
    """Locate the records of a dataset and of all that it wraps in this process; each index once."""
    found = [pages for node in walk_datasets(dataset) for pages in _record_pages_of_leaf(node)]
    return list(dict.fromkeys(found))


def _record_pages_of_leaf(dataset: Any) -> Iterator[RecordPages]:
    index = getattr(dataset, "index", None)
    if isinstance(index, RecordList):
        stat = os.fstat(index.reader.file.fd)
        name = "memfd:karsl" if index.reader.file.path is None else str(index.reader.file.path)
        yield RecordPages("index", stat.st_size, inode=stat.st_ino, name=name)
        return
    records = getattr(dataset, "data_list", None)
    if isinstance(records, list) and records:
        num_pages, sample = _pages_of_items(records)
        yield RecordPages("list", num_pages * PAGE_BYTES, addresses=tuple(sample.tolist()))
        return
    buffer = getattr(dataset, "data_bytes", None)
    if isinstance(buffer, np.ndarray) and buffer.size:
        yield RecordPages("buffer", buffer.nbytes, start=buffer.__array_interface__["data"][0])


def _pages_of_items(records: list) -> tuple[int, np.ndarray]:
    """Return the number of pages on which records begin, and the addresses of records on a sample of them."""
    if sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)():
        items = ctypes.c_void_p.from_address(id(records) + _LIST_ITEMS_OFFSET).value
        addresses = np.ctypeslib.as_array(ctypes.cast(items or 0, ctypes.POINTER(ctypes.c_int64)), (len(records),))
    else:
        addresses = np.array([id(record) for record in records], np.int64)
    pages, first = np.unique(addresses // PAGE_BYTES, return_index=True)
    chosen = np.linspace(0, len(pages) - 1, min(len(pages), _MAX_ADDRESSES)).astype(int)
    return len(pages), addresses[first[chosen]]
