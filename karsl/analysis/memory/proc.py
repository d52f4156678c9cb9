"""What Linux tells about the memory of a process: totals from smaps, single pages from the page map."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_PRESENT, _FILE_OR_SHARED, _EXCLUSIVE = (np.uint64(1 << bit) for bit in (63, 61, 56))  # kernel doc: admin-guide/mm/pagemap
_ROLLUP = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class ProcessMemory:
    """Bytes of one process. PSS adds up over processes: a page that n of them share counts 1/n in each.

    Args:
        rss: All resident pages; shared ones count in every process.
        uss: Pages that only this process has.
        pss: Proportional share; None where the system does not tell.
        pss_anon: Of it, memory of the program.
        pss_shmem: Of it, shared memory.
    """

    rss: int
    uss: int
    pss: int | None = None
    pss_anon: int | None = None
    pss_shmem: int | None = None

    @property
    def shared(self) -> int:
        """Resident pages that other processes have too."""
        return self.rss - self.uss


@dataclass(frozen=True)
class PageCount:
    """Pages of something in one process.

    Args:
        total: Pages looked at.
        present: Of them, resident in this process.
        private: Of those, memory that this process alone has: a copy. Pages of a file, or of shared memory, never are.
    """

    total: int
    present: int
    private: int

    def __add__(self, other: PageCount) -> PageCount:
        return PageCount(self.total + other.total, self.present + other.present, self.private + other.private)

    @classmethod
    def total_of(cls, counts: Iterable[PageCount | None]) -> PageCount | None:
        """The sum; None if one of them could not be seen."""
        total = cls(0, 0, 0)
        for count in counts:
            if count is None:
                return None
            total += count
        return total

    @property
    def private_ratio(self) -> float:
        """Share of the pages that are private copies."""
        return self.private / self.total if self.total else 0.0


def read_memory(pid: int) -> ProcessMemory | None:
    """Memory of a process, None when it has ended.

    Example:
        >>> import os
        >>> 0 < read_memory(os.getpid()).uss <= read_memory(os.getpid()).rss
        True
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return _from_psutil(pid)
    kb = {name: int(value) for name, value in _ROLLUP.findall(text)}
    if not kb:
        return None  # a zombie
    uss = kb["Private_Clean"] + kb["Private_Dirty"] + kb.get("Private_Hugetlb", 0)
    sizes = (kb["Rss"], uss, kb["Pss"], kb.get("Pss_Anon", 0), kb.get("Pss_Shmem", 0))
    return ProcessMemory(*(1024 * size for size in sizes))


def _from_psutil(pid: int) -> ProcessMemory | None:
    try:
        facts = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return None
    return ProcessMemory(facts.rss, facts.uss, getattr(facts, "pss", None))


def mapped_areas(pid: int, inode: int, name: str) -> list[tuple[int, int]]:
    """Where a process maps a file, as (start, end) addresses.

    Args:
        pid: Of any process of this user.
        inode: Of the file.
        name: The file's path, or the name of a memory file.
    """
    areas = []
    for line in Path(f"/proc/{pid}/maps").read_text(errors="surrogateescape").splitlines():
        place, _, _, _, number, *path = line.split(None, 5)
        if int(number) == inode and path and name in path[0]:  # inodes repeat over devices
            start, end = (int(part, 16) for part in place.split("-"))
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
    """Count the pages of single addresses; None where the page map cannot be read.

    Args:
        pid: Of any process of this user.
        addresses: (n,) int.
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
