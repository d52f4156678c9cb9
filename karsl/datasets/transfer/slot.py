"""Memory that is lent to a batch and comes back when nobody looks at the batch any more."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch

HEADER_BYTES = 4096  # one page, so that the batch behind it starts on a page
FREE, SENT, HELD, RETIRED = range(4)
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, which Python does not name
_forks = 0  # of this process so far


class Loan:
    """Owns the bytes of one batch: arrays and tensors over it keep it alive, `end` is called when the last one dies.

    Views, slices, `tensor.numpy()` and whatever shares a tensor's storage all hold the loan. A process that inherits a
    loan through a fork does not end it.

    Args:
        memory: uint8 (bytes,).
        end: Called once, in any thread.
        args: For `end`.

    Example:
        >>> ended = []
        >>> array = Loan(np.zeros(8, np.uint8), ended.append, "now").array()
        >>> tensor = torch.from_numpy(array)[2:4]
        >>> del array
        >>> ended
        []
        >>> del tensor
        >>> ended
        ['now']
    """

    def __init__(self, memory: np.ndarray, end: Callable, *args: object) -> None:
        self.__array_interface__ = memory.__array_interface__
        self._memory = memory
        self._end = weakref.finalize(self, _end_in, os.getpid(), end, args)
        self._end.atexit = False

    def array(self) -> np.ndarray:
        """uint8 (bytes,) that holds this loan."""
        return np.asarray(self)

    def give_away(self) -> bool:
        """From now on somebody else ends it. False: it was given away before."""
        return self._end.detach() is not None


class Slot:
    """A piece of shared memory for one batch after the other: a page with its state, then the bytes.

    One side at a time writes the state, so no lock is needed: the worker takes a FREE slot and makes it SENT, the
    process that receives the batch makes it HELD, and FREE when the batch is gone, or RETIRED if it is of no more use.

    Args:
        mapped: uint8 (bytes,), shared and writable.
    """

    def __init__(self, mapped: np.ndarray) -> None:
        self._state, self._turn, self.memory = mapped[:1], mapped[8:16].view(np.uint64), mapped[HEADER_BYTES:]
        self._loan: Callable[[], Loan | None] = _nobody

    @classmethod
    def create(cls, fd: int, size: int) -> Slot:
        """In the worker: give an empty file its memory, all at once.

        Page by page, by faults, the first batch of 9 MB took 15 ms here; this way 4.

        Args:
            fd: Descriptor; not kept.
            size: Header and batch.

        Raises:
            OSError: The memory is not there; later it would be a bus error.
        """
        os.posix_fallocate(fd, 0, size)
        region = mmap.mmap(fd, size)
        with suppress(OSError):  # Linux before 5.14
            region.madvise(_POPULATE_WRITE)
        return cls(np.frombuffer(region, np.uint8))

    @classmethod
    def open(cls, fd: int, size: int) -> Slot:
        """In the receiver: map a worker's file.

        torch maps by name and keeps no descriptor; Python's mmap keeps one each, and kept batches would end at EMFILE.

        Raises:
            RuntimeError: It cannot be mapped.
        """
        return cls(torch.from_file(f"/proc/self/fd/{fd}", shared=True, size=size, dtype=torch.uint8).numpy())

    @property
    def state(self) -> int:
        """FREE, SENT, HELD or RETIRED."""
        return int(self._state[0])

    @property
    def is_free(self) -> bool:
        """Neither the receiver nor this process looks at it."""
        return self.state == FREE and self._loan() is None

    def retire(self) -> None:
        """No batch will lie in it again, and nobody need keep it mapped."""
        self._state[0] = RETIRED

    def take(self) -> tuple[Loan, int]:
        """In the worker: lend a free slot to a new batch.

        Returns:
            The loan, and the number of the turn that the message has to name.
        """
        self._turn[0] += np.uint64(1)
        self._state[0] = SENT
        return self._lend(), int(self._turn[0])

    def receive(self, turn: int) -> Loan | None:
        """In the receiver: hold the batch of a turn; None if it was received before."""
        if self.state != SENT or int(self._turn[0]) != turn:
            return None
        self._state[0] = HELD
        return self._lend()

    def _lend(self) -> Loan:
        loan = Loan(self.memory, _set_free, self._state, _forks)
        self._loan = weakref.ref(loan)
        return loan


def fits(size: int, nbytes: int) -> bool:
    """Whether memory of `size` bytes suits a batch: large enough, and not kept busy by a batch much smaller."""
    return nbytes <= size <= 8 * max(nbytes, HEADER_BYTES)


def _end_in(pid: int, end: Callable, args: tuple) -> None:
    if os.getpid() == pid:
        end(*args)


def _set_free(state: np.ndarray, forks_before: int) -> None:
    """A child that was forked meanwhile may hold the batch too: then the slot is not used again."""
    state[0] = FREE if _forks == forks_before else RETIRED


def _count_fork() -> None:
    global _forks
    _forks += 1


def _nobody() -> None:
    return None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_count_fork)
