"""The slots of shared memory that a worker fills with batches, and whether its parent can reach them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from karsl.datasets.transfer.slot import HEADER_BYTES, RETIRED, Loan, Slot, fits
from karsl.io.shared_file import SharedFile

NAME = "karsl-batch"
MAX_SLOTS = 64  # a descriptor each in the worker; a usual limit is 1,024
MAX_BYTES = 1 << 30  # of a worker, and only once its batches are kept: then torch's own transfer takes over


class Address(NamedTuple):
    """Where the receiver finds a batch: the slot, as the worker's process holds it, and the turn of the slot."""

    pid: int
    fd: int
    inode: int
    size: int
    turn: int


_Entry = tuple[Slot, SharedFile, Address]


class BatchArena:
    """Slots in anonymous memory (`memfd`): no names, no limit of `/dev/shm`, gone with the last process that maps them.

    Slots are added while none is free, up to a bound; the first free one is used, so that a loop that drops its
    batches stays on few, warm pages. Used by the process that made it only, see `pid`.

    Args:
        max_slots: At most so many.
        max_bytes: All together.

    Example:
        >>> import pytest; _ = hasattr(os, "memfd_create") or pytest.skip("no memfd")
        >>> arena = BatchArena(max_slots=1)
        >>> loan, address = arena.take(1000)
        >>> arena.take(1000) is None
        True
        >>> del loan
        >>> arena.take(1000)[1].turn
        2
    """

    def __init__(self, *, max_slots: int = MAX_SLOTS, max_bytes: int = MAX_BYTES) -> None:
        self.pid = os.getpid()
        self.max_slots, self.max_bytes = max_slots, max_bytes
        self._slots: list[_Entry] = []
        self._lock = threading.Lock()

    def take(self, nbytes: int) -> tuple[Loan, Address] | None:
        """Memory for a batch, its contents those of an earlier one.

        Args:
            nbytes: Of the batch.

        Returns:
            None at the bound.

        Raises:
            OSError: The system gives no memory or descriptor.
        """
        with self._lock:
            self._slots = [entry for entry in self._slots if entry[0].state != RETIRED]
            suiting = (entry for entry in self._slots if entry[0].is_free and fits(len(entry[0].memory), nbytes))
            entry = next(suiting, None) or self._added(HEADER_BYTES + _rounded(nbytes))
            if entry is None:
                return None
            loan, turn = entry[0].take()
            return loan, entry[2]._replace(turn=turn)

    def _added(self, size: int) -> _Entry | None:
        if not self._make_room(size):
            return None
        file = SharedFile.in_memory(NAME)
        slot = Slot.create(file.fd, size)
        address = Address(self.pid, file.fd, os.fstat(file.fd).st_ino, size, 0)
        self._slots.append((slot, file, address))
        return self._slots[-1]

    def _make_room(self, size: int) -> bool:
        """Retire free slots, of other sizes then, if a new one would pass the bound."""
        for entry in [None, *self._slots]:
            if entry is not None and entry[0].is_free:
                entry[0].retire()
                self._slots.remove(entry)
            room = self.max_bytes - sum(address.size for *_, address in self._slots)
            if len(self._slots) < self.max_slots and size <= room:
                return True
        return False


def parent_reaches_us() -> bool:
    """Whether the process that started this one may open its descriptors through `/proc`.

    Asked the other way round, for a worker cannot wait for an answer: who may read the parent's `/proc` entries and has
    the same user, groups, capabilities and namespace may be read by it too (the kernel's rule, `ptrace(2)`).
    """
    parent = multiprocessing.parent_process()
    if parent is None or not hasattr(os, "memfd_create"):
        return False
    with suppress(OSError):
        os.readlink(f"/proc/{parent.pid}/exe")
        return _credentials("self") == _credentials(str(parent.pid))
    return False


def _credentials(process: str) -> tuple:
    folder = Path("/proc", process)
    wanted = ("Uid:", "Gid:", "CapPrm:", "CapEff:")
    lines = [x for x in (folder / "status").read_text().splitlines() if x.startswith(wanted)]
    return lines, (folder / "fd").stat().st_uid, os.readlink(folder / "ns/user"), os.readlink(folder / "ns/pid")


def _rounded(nbytes: int) -> int:
    """Up to whole pages and by at most an eighth, so that batches that differ a little share slots."""
    step = max(HEADER_BYTES, 1 << max(0, nbytes.bit_length() - 4))
    return -(-nbytes // step) * step
